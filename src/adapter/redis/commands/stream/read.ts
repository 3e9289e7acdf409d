/** XREAD and XREADGROUP. */
import type { Millis } from '../../../../platform/index.ts';
import {
  idAfter,
  idText,
  MAX_ID,
  MIN_ID,
  openStream,
  type StreamBody,
  type StreamConsumer,
  type StreamGroup,
  type StreamId,
} from '../../bodies/index.ts';
import {
  type CommandContext,
  type CommandSpec,
  defineCommands,
  type KeyFinder,
  LINES,
  lookedAt,
  nothingYet,
  type WaitingSpec,
} from '../../command/index.ts';
import {
  errors,
  integerArgument,
  MapReply,
  NIL_ARRAY,
  optionName,
  RedisError,
  type Reply,
  timeoutArgument,
  wordOf,
} from '../../protocol/index.ts';
import { passingOver } from '../blocking.ts';
import { newConsumer } from './consumers.ts';
import { declareStream, noGroup } from './declare-stream.ts';
import { entryReply, idArgument, isAbove, isHighest, isSign } from './ids.ts';
import { advance } from './progress.ts';

/** Of each stream, for a client that has waited and did not say how many. */
const LIMIT_AFTER_WAITING = 1_000;
/** What XREADGROUP gives at once, of all streams together: each entry is written down as pending, in one turn of the leader. */
const MOST_DELIVERED = 500;

interface ReadOptions {
  /** Most entries of each stream; undefined when it is not said. */
  readonly limit: number | undefined;
  /** How long to wait; undefined: not at all, infinite for ever. */
  readonly patienceMs: Millis | undefined;
  readonly isUnacknowledged: boolean;
  readonly group: { readonly name: Buffer; readonly consumer: Buffer } | undefined;
  readonly keys: readonly Buffer[];
  readonly ids: readonly Buffer[];
}

/** @throws RedisError */
function parseRead(args: readonly Buffer[], isGroup: boolean): ReadOptions {
  let limit = 0;
  let patienceMs: Millis | undefined;
  let isUnacknowledged = false;
  let group: ReadOptions['group'];
  let streams: readonly Buffer[] | undefined;
  const only = (option: string): RedisError =>
    new RedisError(`ERR The ${option} option is only supported by XREADGROUP. You called XREAD instead.`);
  for (let at = 1; at < args.length && streams === undefined; at++) {
    const name = optionName(args[at]!);
    const left = args.length - 1 - at;
    if (name === 'BLOCK' && left > 0) patienceMs = timeoutArgument(args[++at]!) || Number.POSITIVE_INFINITY;
    else if (name === 'COUNT' && left > 0) limit = Math.max(0, Number(integerArgument(args[++at]!)));
    else if (name === 'STREAMS' && left > 0) {
      streams = args.slice(at + 1);
      if (streams.length % 2 !== 0)
        throw new RedisError(
          "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
        );
    } else if (name === 'GROUP' && left >= 2) {
      if (!isGroup) throw only(name);
      group = { name: args[at + 1]!, consumer: args[at + 2]! };
      at += 2;
    } else if (name === 'NOACK') {
      if (!isGroup) throw only(name);
      isUnacknowledged = true;
    } else throw errors.syntax();
  }
  if (streams === undefined) throw errors.syntax();
  if (isGroup && group === undefined) throw new RedisError('ERR Missing GROUP option for XREADGROUP');
  const half = streams.length / 2;
  return {
    ...{ limit: limit === 0 ? undefined : limit, patienceMs, isUnacknowledged, group },
    ...{ keys: streams.slice(0, half), ids: streams.slice(half) },
  };
}

/** Where the keys are; none where the arguments make no sense. */
const readKeys: KeyFinder = (args) => {
  const values: Readonly<Record<string, number>> = { block: 1, count: 1, group: 2, noack: 0 };
  for (let at = 1; at < args.length; at++) {
    const word = wordOf(args[at]!);
    if (word === 'streams') {
      const count = (args.length - at - 1) / 2;
      return Number.isInteger(count) ? Array.from({ length: count }, (_, nth) => at + 1 + nth) : [];
    }
    const following = values[word];
    if (following === undefined) return [];
    at += following;
  }
  return [];
};

/** What a declaration says about waiting. @param isGroup whether it is XREADGROUP */
function waits(isGroup: boolean): WaitingSpec {
  const parsed = (args: readonly Buffer[]): ReadOptions | undefined => {
    try {
      return parseRead(args, isGroup);
    } catch {
      return undefined;
    }
  };
  return {
    patienceMs: (args) => parsed(args)?.patienceMs,
    keys: (args) => parsed(args)?.keys ?? [],
    atTimeout: NIL_ARRAY,
  };
}

/** A key that is looked at, and where its id is among all ids. */
interface Look {
  readonly key: Buffer;
  readonly at: number;
}

/** Those that this evaluation concerns. */
function looksOf(ctx: CommandContext, keys: readonly Buffer[]): Look[] {
  const looked = new Set(lookedAt(ctx, keys));
  return keys.flatMap((key, at) => (looked.has(key) ? [{ key, at }] : []));
}

/** How many entries of each stream a command takes; undefined: all. */
function limitOf(ctx: CommandContext, { limit }: ReadOptions): number | undefined {
  return limit ?? (ctx.waiting?.hasWaited === true ? LIMIT_AFTER_WAITING : undefined);
}

/** One stream of a command. */
interface PlainSource extends Look {
  readonly stream: StreamBody | undefined;
  /** What is wanted is above. */
  readonly after: StreamId;
}

/** @throws RedisError */
function plainSource(ctx: CommandContext, { key, at }: Look, id: Buffer): PlainSource {
  const stream = passingOver(ctx, () => openStream(ctx, key));
  if (isSign(id, '$')) return { key, at, stream, after: stream?.lastId ?? MIN_ID };
  if (isSign(id, '>'))
    throw new RedisError(
      'ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.',
    );
  return { key, at, stream, after: idArgument(id) };
}

function read(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const options = parseRead(args, false);
  const { keys, ids } = options;
  const sources = looksOf(ctx, keys).map((look) => plainSource(ctx, look, ids[look.at]!));
  const answered: [Buffer, Reply][] = [];
  for (const { key, stream, after } of sources) {
    const last = stream?.lastEntryId;
    if (stream === undefined || last === undefined || !isAbove(last, after)) continue;
    const limit = limitOf(ctx, options);
    const range = stream.range(idAfter(after)!, MAX_ID, limit === undefined ? {} : { limit });
    answered.push([key, Array.from(range, entryReply)]);
  }
  if (answered.length > 0) return streamsReply(ctx, answered);
  // What is the last entry now is the one to wait behind.
  const resolved = [...args];
  for (const { at, after } of sources) resolved[args.length - ids.length + at] = Buffer.from(idText(after));
  return nothingYet(ctx, keys, LINES.stream, NIL_ARRAY, resolved);
}

interface GroupSource {
  readonly key: Buffer;
  readonly stream: StreamBody;
  readonly group: StreamGroup;
  /** Entries of the consumer's own history above an id; undefined: what nobody was given. */
  readonly after: StreamId | undefined;
}

/** @throws RedisError */
function groupSource(ctx: CommandContext, key: Buffer, name: Buffer, id: Buffer): GroupSource {
  const hasWaited = ctx.waiting?.hasWaited === true;
  const stream = passingOver(ctx, () => openStream(ctx, key));
  if (stream === undefined && hasWaited) throw new RedisError('UNBLOCKED the stream key no longer exists');
  const group = stream?.group(name);
  if (stream !== undefined && group === undefined && hasWaited)
    throw new RedisError('NOGROUP the consumer group this client was blocked on no longer exists');
  if (stream === undefined || group === undefined) throw noGroup(key, name, ' in XREADGROUP with GROUP option');
  if (isSign(id, '$'))
    throw new RedisError(
      'ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or ' +
        'use the > ID to get new messages. The $ ID would just return an empty result set.',
    );
  const after = isSign(id, '>') ? MAX_ID : idArgument(id);
  return { key, stream, group, after: isHighest(after) ? undefined : after };
}

function readGroup(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const options = parseRead(args, true);
  const { keys, ids, group } = options;
  // A stream that is named twice is one stream.
  const opened = new Map<string, GroupSource>();
  const sources = looksOf(ctx, keys).map(({ key, at }) => {
    const source = groupSource(ctx, key, group!.name, ids[at]!);
    const known = opened.get(key.toString('latin1'));
    const same = known === undefined ? source : { ...source, stream: known.stream, group: known.group };
    opened.set(key.toString('latin1'), same);
    return same;
  });
  const answered: [Buffer, Reply][] = [];
  let room = MOST_DELIVERED;
  for (const source of sources) {
    if (room === 0) break;
    const entries = serve(ctx, source, options, Math.min(limitOf(ctx, options) ?? room, room));
    if (entries === undefined) continue;
    answered.push([source.key, entries]);
    room -= entries.length;
  }
  for (const { stream } of opened.values()) stream.save();
  return answered.length > 0 ? streamsReply(ctx, answered) : nothingYet(ctx, keys, LINES.stream, NIL_ARRAY);
}

/** What a consumer is given of one stream, up to a limit; undefined when there is nothing new. */
function serve(ctx: CommandContext, source: GroupSource, options: ReadOptions, limit: number): Reply[] | undefined {
  const { stream, group, after } = source;
  const last = stream.lastEntryId;
  const isNew = after === undefined;
  if (isNew && (last === undefined || !isAbove(last, group.lastDelivered))) return undefined;
  const name = options.group!.consumer;
  const consumer = group.consumer(name) ?? newConsumer(ctx, source.key, group, name);
  consumer.seenMs = ctx.nowMs;
  return isNew
    ? deliver(ctx, source, consumer, options.isUnacknowledged, limit)
    : history(ctx, source, consumer, limit);
}

function deliver(
  ctx: CommandContext,
  { stream, group }: GroupSource,
  consumer: StreamConsumer,
  isUnacknowledged: boolean,
  limit: number,
): Reply[] {
  const entries = [...stream.range(idAfter(group.lastDelivered)!, MAX_ID, { limit })];
  for (const { id } of entries) {
    advance(stream, group, id);
    if (!isUnacknowledged) group.assign(id, consumer, ctx.nowMs, 1);
  }
  return entries.map(entryReply);
}

/** What was given to the consumer before and not acknowledged; entries that are gone have no fields. */
function history(
  ctx: CommandContext,
  { stream, group, after }: GroupSource,
  consumer: StreamConsumer,
  limit: number,
): Reply[] {
  const ids: StreamId[] = [];
  for (const id of group.pendingOf(consumer, idAfter(after!)!, limit)) if (ids.push(id) === limit) break;
  stream.prefetch(ids);
  group.prefetch(ids);
  return ids.map((id): Reply => {
    const entry = stream.get(id);
    if (entry === undefined) return [idText(id), NIL_ARRAY];
    group.assign(id, consumer, ctx.nowMs, group.pendingEntry(id)!.deliveries + 1);
    return entryReply(entry);
  });
}

function streamsReply(ctx: CommandContext, answered: readonly [Buffer, Reply][]): Reply {
  return ctx.resp === 3 ? new MapReply(answered) : answered;
}

const AT_ONCE = `Gives ${MOST_DELIVERED.toLocaleString('en')} entries at most at a time, whatever COUNT says.`;
const LOST_WAIT =
  'With BLOCK answers `UNKNOWN` when the node that kept the wait is lost: entries may have been delivered, and are pending then.';

export const readCommands: readonly CommandSpec[] = defineCommands([
  declareStream({
    name: 'xread',
    arity: -4,
    flags: ['readonly', 'blocking', 'movablekeys'],
    keys: readKeys,
    summary: 'Entries of streams above given ids, and perhaps a wait until there are some.',
    waits: waits(false),
    complexity: 'O(log N + M) for M entries of a stream of N',
    run: read,
  }),
  declareStream({
    name: 'xreadgroup',
    arity: -7,
    flags: ['write', 'blocking', 'movablekeys'],
    keys: readKeys,
    summary:
      'Entries of streams for a consumer of a group: those that nobody of the group was given, or its own again.',
    complexity: 'O(log N + M) for M entries of a stream of N',
    differences: `${AT_ONCE} ${LOST_WAIT}`,
    waits: waits(true),
    run: readGroup,
  }),
]);
