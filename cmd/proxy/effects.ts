/**
 * What the second side is told when the first one has answered: the same command, or what it has come to where chance, waiting or time decided. What a
 * command that waited has taken out is told by its value: other clients' pushes to the same list may come before or behind it and change nothing.
 */
import { type CommandLine, type ReplyValue, ServerError } from '../redis/index.ts';

export interface Effect {
  readonly command: CommandLine;
  /** What the second side should answer, to be compared as an answer to a command of this name; undefined: that would say nothing. */
  readonly expected: { readonly name: string; readonly reply: ReplyValue } | undefined;
}

/** Scripts that fail keep what they have written. */
const SCRIPTS = new Set(['eval', 'evalsha', 'fcall']);

/**
 * @param name lower case
 * @param reply of the first side
 * @param nowMs unix milliseconds: rests of time count from here
 * @returns nothing when nothing has happened
 */
export function effectsOf(name: string, args: readonly Buffer[], reply: ReplyValue, nowMs: number): readonly Effect[] {
  const same: Effect = { command: args, expected: { name, reply } };
  if (reply instanceof ServerError) return SCRIPTS.has(name) ? [same] : [];
  const parts = Array.isArray(reply) ? (reply as readonly ReplyValue[]) : undefined;
  switch (name) {
    case 'blpop':
    case 'brpop':
      return parts === undefined ? [] : taken(parts[0] as Buffer, name === 'blpop', [parts[1] as Buffer]);
    case 'blmpop': {
      if (parts === undefined) return [];
      const side = args[3 + Number(args[2]!.toString())];
      return taken(parts[0] as Buffer, isLeft(side), parts[1] as readonly Buffer[]);
    }
    case 'bzpopmin':
    case 'bzpopmax':
      return parts === undefined ? [] : [removed('ZREM', parts[0] as Buffer, [parts[1] as Buffer])];
    case 'bzmpop': {
      if (parts === undefined) return [];
      const members = (parts[1] as readonly (readonly Buffer[])[]).map(([member]) => member!);
      return [removed('ZREM', parts[0] as Buffer, members)];
    }
    case 'blmove':
      return Buffer.isBuffer(reply) ? moved(args[1]!, args[2]!, isLeft(args[3]), isLeft(args[4]), reply) : [];
    case 'brpoplpush':
      return Buffer.isBuffer(reply) ? moved(args[1]!, args[2]!, false, true, reply) : [];
    case 'spop': {
      const members = parts === undefined ? (Buffer.isBuffer(reply) ? [reply] : []) : (parts as readonly Buffer[]);
      return members.length === 0 ? [] : [removed('SREM', args[1]!, members)];
    }
    case 'xadd':
      return Buffer.isBuffer(reply) ? [{ command: withId(args, reply), expected: { name, reply } }] : [];
    case 'xreadgroup':
      return parts === undefined ? [] : deliveries(args, parts);
    case 'expire':
    case 'pexpire':
      return reply === 1 ? [expiry(args[1]!, args[2]!, name === 'expire', nowMs)] : [same];
    case 'setex':
    case 'psetex': {
      const set: Effect = { command: ['SET', args[1]!, args[3]!], expected: same.expected };
      return [set, expiry(args[1]!, args[2]!, name === 'setex', nowMs)];
    }
    case 'set':
      return reply === null ? [same] : withMoment(args, same, nowMs);
    default:
      return [same];
  }
}

/** The moment of an expiry that was given as a rest: who is told later would let it begin later. */
function expiry(key: Buffer, rest: Buffer, isSeconds: boolean, nowMs: number): Effect {
  const restMs = Number(rest.toString('latin1')) * (isSeconds ? 1000 : 1);
  return { command: ['PEXPIREAT', key, nowMs + restMs], expected: { name: 'pexpireat', reply: 1 } };
}

/** SET in two commands, which all servers know, when it says how long the key lives. */
function withMoment(args: readonly Buffer[], same: Effect, nowMs: number): Effect[] {
  const words = args.map((arg) => arg.toString('latin1').toUpperCase());
  const at = words.findIndex((word, index) => index > 2 && (word === 'EX' || word === 'PX'));
  // What GET has answered does not say whether anything was set.
  if (at < 0 || words.includes('GET', 3)) return [same];
  const set: Effect = { command: [...args.slice(0, at), ...args.slice(at + 2)], expected: same.expected };
  return [set, expiry(args[1]!, args[at + 1]!, words[at] === 'EX', nowMs)];
}

const isLeft = (side: Buffer | undefined): boolean => side?.toString('latin1').toUpperCase() === 'LEFT';

/** Values that were popped from an end of a list: the nearest of their kind to that end go. */
function taken(key: Buffer, isFromLeft: boolean, values: readonly Buffer[]): Effect[] {
  return values.map((value) => ({
    command: ['LREM', key, isFromLeft ? 1 : -1, value],
    expected: { name: 'lrem', reply: 1 },
  }));
}

function moved(from: Buffer, to: Buffer, isFromLeft: boolean, isToLeft: boolean, value: Buffer): Effect[] {
  const push: Effect = { command: [isToLeft ? 'LPUSH' : 'RPUSH', to, value], expected: undefined };
  return [...taken(from, isFromLeft, [value]), push];
}

function removed(command: 'SREM' | 'ZREM', key: Buffer, members: readonly Buffer[]): Effect {
  return { command: [command, key, ...members], expected: { name: command.toLowerCase(), reply: members.length } };
}

/** XADD with the id that the first side has chosen. */
function withId(args: readonly Buffer[], id: Buffer): CommandLine {
  let at = 2;
  for (; at < args.length; at++) {
    const word = args[at]!.toString('latin1').toUpperCase();
    if (word === 'NOMKSTREAM') continue;
    if (word === 'LIMIT') at += 1;
    else if (word === 'MAXLEN' || word === 'MINID') at += /^[=~]$/.test(args[at + 1]?.toString('latin1') ?? '') ? 2 : 1;
    else break;
  }
  return [...args.slice(0, at), id, ...args.slice(at + 1)];
}

/** What stands in front of the streams of XREADGROUP. */
interface GroupRead {
  readonly group: Buffer;
  readonly consumer: Buffer;
  readonly count: CommandLine;
  readonly noAck: CommandLine;
  readonly keys: readonly Buffer[];
  readonly ids: readonly Buffer[];
}

/** Options come in any order. */
function groupReadOf(args: readonly Buffer[]): GroupRead {
  let [group, consumer] = [args[2]!, args[3]!];
  let count: CommandLine = [];
  let noAck: CommandLine = [];
  let at = 1;
  for (; at < args.length; at++) {
    const word = args[at]!.toString('latin1').toUpperCase();
    if (word === 'STREAMS') break;
    if (word === 'GROUP') {
      [group, consumer] = [args[at + 1]!, args[at + 2]!];
      at += 2;
    } else if (word === 'NOACK') noAck = ['NOACK'];
    else {
      if (word === 'COUNT') count = args.slice(at, at + 2);
      at += 1;
    }
  }
  const rest = args.slice(at + 1);
  return { group, consumer, count, noAck, keys: rest.slice(0, rest.length / 2), ids: rest.slice(rest.length / 2) };
}

/** Reads of a group, stream by stream, of exactly as many new entries as were delivered: others may have been added since. */
function deliveries(args: readonly Buffer[], reply: readonly ReplyValue[]): Effect[] {
  const { group, consumer, count, noAck, keys, ids } = groupReadOf(args);
  // RESP2 has a pair a stream, RESP3 a map.
  const flat = Array.isArray(reply[0]) ? (reply as readonly (readonly ReplyValue[])[]).flat() : reply;
  const effects: Effect[] = [];
  for (let at = 0; at < flat.length; at += 2) {
    const [key, entries] = [flat[at] as Buffer, flat[at + 1] as readonly ReplyValue[]];
    const id = ids[keys.findIndex((each) => each.equals(key))]!;
    const range = id.toString('latin1') === '>' ? ['COUNT', entries.length] : count;
    effects.push({
      command: ['XREADGROUP', 'GROUP', group, consumer, ...range, ...noAck, 'STREAMS', key, id],
      expected: { name: 'xreadgroup', reply: [[key, entries]] },
    });
  }
  return effects;
}
