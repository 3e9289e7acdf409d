/** Values that go from replies to Lua and from Lua to replies. */
import {
  BigNumberReply,
  BooleanReply,
  DoubleReply,
  ErrorReply,
  MapReply,
  NIL_ARRAY,
  NilArrayReply,
  type Reply,
  readDoublePrefix,
  SetReply,
  SimpleString,
  VerbatimReply,
} from '../../protocol/index.ts';
import { type LuaApi, LuaType } from '../engine/index.ts';

/** Deepest nesting of arrays that scripts answer; as deep as Lua's stack lets Redis go is not deep enough to tell. */
const NESTED_MAX = 1_000;
const INT64_MIN = -(2n ** 63n);

/** Pushes what `redis.call` answers to a script. @param resp the version that the script has asked for */
export function pushReply(api: LuaApi, state: number, reply: Reply, resp: 2 | 3): void {
  if (Buffer.isBuffer(reply)) api.pushBytes(state, reply);
  else if (typeof reply === 'string') api.pushBytes(state, Buffer.from(reply, 'utf8'));
  else if (typeof reply === 'number' || typeof reply === 'bigint') api.pushNumber(state, Number(reply));
  else if (reply === null || reply instanceof NilArrayReply) pushNull(api, state, resp);
  else if (reply instanceof SimpleString) pushField(api, state, 'ok', reply.text);
  else if (reply instanceof ErrorReply) pushError(api, state, reply.text);
  else if (Array.isArray(reply)) pushArray(api, state, reply as readonly Reply[], resp);
  else if (reply instanceof MapReply) pushMap(api, state, reply, resp);
  else if (reply instanceof SetReply) pushSet(api, state, reply, resp);
  else if (reply instanceof DoubleReply) pushDouble(api, state, reply.text, resp);
  else if (reply instanceof BooleanReply) {
    if (resp === 3) api.pushBoolean(state, reply.value);
    else api.pushNumber(state, reply.value ? 1 : 0);
  } else if (reply instanceof VerbatimReply) pushVerbatim(api, state, reply, resp);
  else if (reply instanceof BigNumberReply) {
    if (resp === 3) pushField(api, state, 'big_number', reply.value.toString());
    else api.pushText(state, reply.value.toString());
  } else throw new TypeError('a data command has answered what no script can get');
}

/** Pushes an error as scripts see it. @param text prefix and message */
export function pushError(api: LuaApi, state: number, text: string): void {
  api.newTable(state, 0, 2);
  api.pushBytes(state, Buffer.from(text, 'utf8'));
  api.setField(state, -2, 'err');
  api.pushBoolean(state, true);
  api.setField(state, -2, 'ignore_error_stats_update');
}

/** Pushes a table with one text in it: how scripts see a status. */
export function pushField(api: LuaApi, state: number, name: string, text: string): void {
  api.newTable(state, 0, 1);
  api.pushBytes(state, Buffer.from(text, 'utf8'));
  api.setField(state, -2, name);
}

function pushNull(api: LuaApi, state: number, resp: 2 | 3): void {
  if (resp === 3) api.pushNil(state);
  else api.pushBoolean(state, false);
}

function pushArray(api: LuaApi, state: number, items: readonly Reply[], resp: 2 | 3): void {
  api.newTable(state, items.length);
  for (const [index, item] of items.entries()) {
    pushReply(api, state, item, resp);
    api.rawSetAt(state, -2, index + 1);
  }
}

function pushMap(api: LuaApi, state: number, { entries }: MapReply, resp: 2 | 3): void {
  if (resp === 2) {
    pushArray(api, state, entries.flat(), resp);
    return;
  }
  api.newTable(state, 0, 1);
  api.newTable(state, 0, entries.length);
  for (const [key, value] of entries) {
    pushReply(api, state, key, resp);
    pushReply(api, state, value, resp);
    api.rawSet(state, -3);
  }
  api.setField(state, -2, 'map');
}

function pushSet(api: LuaApi, state: number, { members }: SetReply, resp: 2 | 3): void {
  if (resp === 2) {
    pushArray(api, state, members, resp);
    return;
  }
  api.newTable(state, 0, 1);
  api.newTable(state, 0, members.length);
  for (const member of members) {
    pushReply(api, state, member, resp);
    api.pushBoolean(state, true);
    api.rawSet(state, -3);
  }
  api.setField(state, -2, 'set');
}

function pushDouble(api: LuaApi, state: number, text: string, resp: 2 | 3): void {
  if (resp === 2) {
    api.pushText(state, text);
    return;
  }
  api.newTable(state, 0, 1);
  api.pushNumber(state, readDoublePrefix(text).value);
  api.setField(state, -2, 'double');
}

function pushVerbatim(api: LuaApi, state: number, { text, format }: VerbatimReply, resp: 2 | 3): void {
  const bytes = Buffer.from(text, 'utf8');
  if (resp === 2) {
    api.pushBytes(state, bytes);
    return;
  }
  api.newTable(state, 0, 1);
  api.newTable(state, 0, 2);
  api.pushBytes(state, bytes);
  api.setField(state, -2, 'string');
  api.pushText(state, format);
  api.setField(state, -2, 'format');
  api.setField(state, -2, 'verbatim_string');
}

/**
 * Takes the topmost value off the stack and turns it into a reply: numbers lose their fraction, false is nil, a table is a status, an error, a
 * RESP3 value by the name of its field, or else an array up to its first nil.
 * @param resp the version that the script has asked for
 */
export function takeReply(api: LuaApi, state: number, resp: 2 | 3, depth = 0): Reply {
  const reply = replyAt(api, state, resp, depth);
  api.pop(state, 1);
  return reply;
}

function replyAt(api: LuaApi, state: number, resp: 2 | 3, depth: number): Reply {
  switch (api.type(state, -1)) {
    case LuaType.String:
      return api.toBytes(state, -1)!;
    case LuaType.Number:
      return integerOf(api.toNumber(state, -1));
    case LuaType.Boolean:
      if (resp === 3) return new BooleanReply(api.toBoolean(state, -1));
      return api.toBoolean(state, -1) ? 1 : null;
    case LuaType.Table:
      if (depth >= NESTED_MAX || !api.hasRoom(state, 4)) return new ErrorReply('ERR reached lua stack limit');
      return tableAt(api, state, resp, depth);
    default:
      return null;
  }
}

function tableAt(api: LuaApi, state: number, resp: 2 | 3, depth: number): Reply {
  const field = (name: string): Reply | undefined => rawField(api, state, name);
  const error = field('err');
  if (Buffer.isBuffer(error)) return new ErrorReply(oneLine(error));
  const status = field('ok');
  if (Buffer.isBuffer(status)) return new SimpleString(oneLine(status));
  const double = field('double');
  if (double instanceof DoubleReply) return double;
  const map = pairsIn(api, state, 'map', resp, depth);
  if (map !== undefined) return new MapReply(map);
  const set = pairsIn(api, state, 'set', resp, depth);
  if (set !== undefined) return new SetReply(set.map(([member]) => member));
  const number = field('big_number');
  if (Buffer.isBuffer(number)) return bigNumberOf(oneLine(number));
  const verbatim = verbatimIn(api, state);
  if (verbatim !== undefined) return verbatim;
  const items: Reply[] = [];
  for (let position = 1; ; position++) {
    api.rawGetAt(state, -1, position);
    if (api.type(state, -1) === LuaType.Nil) {
      api.pop(state, 1);
      return items;
    }
    items.push(takeReply(api, state, resp, depth + 1));
  }
}

/** A field's string, or number as a double, whatever its metatable says; undefined for everything else. */
function rawField(api: LuaApi, state: number, name: string): Buffer | DoubleReply | undefined {
  api.pushText(state, name);
  api.rawGet(state, -2);
  const type = api.type(state, -1);
  let value: Buffer | DoubleReply | undefined;
  if (type === LuaType.String) value = api.toBytes(state, -1)!;
  else if (type === LuaType.Number) value = new DoubleReply(api.toNumber(state, -1));
  api.pop(state, 1);
  return value;
}

/** Keys and values of the table in a field; undefined when there is none. */
function pairsIn(api: LuaApi, state: number, name: string, resp: 2 | 3, depth: number): [Reply, Reply][] | undefined {
  api.pushText(state, name);
  api.rawGet(state, -2);
  if (api.type(state, -1) !== LuaType.Table) {
    api.pop(state, 1);
    return undefined;
  }
  const pairs: [Reply, Reply][] = [];
  api.pushNil(state);
  while (api.next(state, -2)) {
    // A copy of the key: reading it as a string must not change the one that the walk goes on from.
    api.pushValue(state, -2);
    const key = takeReply(api, state, resp, depth + 1);
    pairs.push([key, takeReply(api, state, resp, depth + 1)]);
  }
  api.pop(state, 1);
  return pairs;
}

function verbatimIn(api: LuaApi, state: number): VerbatimReply | undefined {
  api.pushText(state, 'verbatim_string');
  api.rawGet(state, -2);
  let reply: VerbatimReply | undefined;
  if (api.type(state, -1) === LuaType.Table) {
    const text = rawField(api, state, 'string');
    const format = rawField(api, state, 'format');
    if (Buffer.isBuffer(text) && Buffer.isBuffer(format)) {
      reply = new VerbatimReply(text.toString('utf8'), format.toString('latin1') === 'mkd' ? 'mkd' : 'txt');
    }
  }
  api.pop(state, 1);
  return reply;
}

/** A number without its fraction as 64 bits have it; what does not fit is the lowest of them, as on the usual machines. */
function integerOf(value: number): number | bigint {
  if (Number.isSafeInteger(value)) return value + 0;
  if (Number.isNaN(value)) return INT64_MIN;
  const whole = Math.trunc(value);
  if (Number.isSafeInteger(whole)) return whole + 0;
  return whole >= 2 ** 63 || whole < -(2 ** 63) ? INT64_MIN : BigInt(whole);
}

function bigNumberOf(digits: string): Reply {
  return /^-?[0-9]+$/.test(digits) ? new BigNumberReply(BigInt(digits)) : NIL_ARRAY;
}

/** Text for a line of its own. */
const oneLine = (bytes: Buffer): string => bytes.toString('utf8').replaceAll(/[\r\n]/g, ' ');
