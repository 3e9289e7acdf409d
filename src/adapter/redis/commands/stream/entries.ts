/** Commands on the entries of a stream: XADD, XTRIM, XDEL, XLEN, XSETID, XRANGE, XREVRANGE. */
import {
  idAfter,
  idText,
  MAX_ID,
  MIN_ID,
  msOf,
  newStream,
  openStream,
  type StreamBody,
  type StreamId,
  seqOf,
  streamId,
} from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { errors, integerArgument, NIL_ARRAY, OK, optionName, RedisError, type Reply } from '../../protocol/index.ts';
import { ID_PIECES_DIFFER, idPieces } from '../pieces.ts';
import { declareStream } from './declare-stream.ts';
import {
  countOfIds,
  endArgument,
  entryReply,
  type GivenId,
  idArgument,
  isAbove,
  isHighest,
  startArgument,
} from './ids.ts';
import { parseTrimming } from './trimming.ts';

const notAboveTop = (): RedisError =>
  new RedisError('ERR The ID specified in XADD is equal or smaller than the target stream top item');

/** The id of an entry that is to be added. @throws RedisError */
function nextId(stream: StreamBody, given: GivenId | undefined, nowMs: number): StreamId {
  const { lastId } = stream;
  if (isHighest(lastId))
    throw new RedisError('ERR The stream has exhausted the last possible ID, unable to add more items');
  if (given === undefined) return BigInt(nowMs) > msOf(lastId) ? streamId(BigInt(nowMs), 0n) : idAfter(lastId)!;
  const { ms, seq } = given;
  const isSameMs = seq === undefined && ms === msOf(lastId);
  // Redis' text: it has nothing better to say when the numbers of a millisecond are used up.
  if (isSameMs && seqOf(lastId) === seqOf(MAX_ID)) throw new RedisError('ERR Elements are too large to be stored');
  const id = streamId(ms, isSameMs ? seqOf(lastId) + 1n : (seq ?? 0n));
  if (!isAbove(id, lastId)) throw notAboveTop();
  return id;
}

function add(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const { trimming, mayNotCreate, id: given, at } = parseTrimming(args, true);
  const parts = args.slice(at + 1);
  if (parts.length < 2 || parts.length % 2 !== 0) throw errors.wrongArity('xadd');
  if (given?.ms === 0n && given.seq === 0n)
    throw new RedisError('ERR The ID specified in XADD must be greater than 0-0');
  let stream = openStream(ctx, args[1]!);
  if (stream === undefined && mayNotCreate) return null;
  stream ??= newStream(ctx, args[1]!);
  const id = nextId(stream, given, ctx.nowMs);
  stream.add(id, parts);
  const trimmed = trimming === undefined ? 0 : stream.trim(trimming.kept, trimming.effort);
  stream.save();
  ctx.event('stream', 'xadd', args[1]!);
  if (trimmed > 0) ctx.event('stream', 'xtrim', args[1]!);
  return idText(id);
}

function trim(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const { trimming } = parseTrimming(args, false);
  const stream = openStream(ctx, args[1]!);
  if (stream === undefined || trimming === undefined) return 0;
  const removed = stream.trim(trimming.kept, trimming.effort);
  stream.save();
  if (removed > 0) ctx.event('stream', 'xtrim', args[1]!);
  return removed;
}

function remove(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const stream = openStream(ctx, args[1]!);
  if (stream === undefined) return 0;
  const ids = args.slice(2).map((argument) => idArgument(argument));
  stream.prefetch(ids);
  let removed = 0;
  for (const id of ids) if (stream.delete(id)) removed++;
  stream.save();
  if (removed > 0) ctx.event('stream', 'xdel', args[1]!);
  return removed;
}

function setId(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const id = idArgument(args[2]!);
  let entriesAdded: bigint | undefined;
  let maxDeletedId = MIN_ID;
  for (let at = 3; at < args.length; at += 2) {
    const name = optionName(args[at]!);
    const argument = args[at + 1];
    if (name === 'ENTRIESADDED' && argument !== undefined) {
      entriesAdded = integerArgument(argument);
      if (entriesAdded < 0n) throw new RedisError('ERR entries_added must be positive');
    } else if (name === 'MAXDELETEDID' && argument !== undefined) {
      maxDeletedId = idArgument(argument);
      if (isAbove(maxDeletedId, id))
        throw new RedisError('ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id');
    } else throw errors.syntax();
  }
  const stream = openStream(ctx, args[1]!);
  if (stream === undefined) throw errors.noSuchKey();
  const top = stream.lastEntryId;
  if (top !== undefined && isAbove(top, id))
    throw new RedisError('ERR The ID specified in XSETID is smaller than the target stream top item');
  if (top !== undefined && entriesAdded !== undefined && BigInt(stream.length) > entriesAdded)
    throw new RedisError('ERR The entries_added specified in XSETID is smaller than the target stream length');
  stream.lastId = id;
  if (entriesAdded !== undefined) stream.entriesAdded = entriesAdded;
  if (!maxDeletedId.equals(MIN_ID)) stream.maxDeletedId = maxDeletedId;
  stream.save();
  ctx.event('stream', 'xsetid', args[1]!);
  return OK;
}

function range(ctx: CommandContext, args: readonly Buffer[], isReverse: boolean): Reply {
  const [from, to] = isReverse ? [args[3]!, args[2]!] : [args[2]!, args[3]!];
  const [start, end] = [startArgument(from), endArgument(to)];
  let limit: number | undefined;
  for (let at = 4; at < args.length; at += 2) {
    const argument = args[at + 1];
    if (optionName(args[at]!) !== 'COUNT' || argument === undefined) throw errors.syntax();
    limit = Math.max(0, Number(integerArgument(argument)));
  }
  const stream = openStream(ctx, args[1]!);
  if (stream === undefined) return [];
  if (limit === 0) return NIL_ARRAY;
  return Array.from(stream.range(start, end, limit === undefined ? { isReverse } : { isReverse, limit }), entryReply);
}

/** Whether a range is to be of so many entries. */
const hasCount = (args: readonly Buffer[]): boolean => args.length > 4;

const WHOLE_LEAVES =
  '`~` removes whole leaves of entries, of which there are some ten in one, where Redis has nodes of a hundred.';

export const entryCommands: readonly CommandSpec[] = defineCommands([
  declareStream({
    name: 'xadd',
    arity: -5,
    flags: ['write', 'denyoom', 'fast'],
    summary: 'Adds an entry to the end of a stream, and perhaps removes some from its beginning.',
    complexity: 'O(1) for the entry, O(N) for N that are removed',
    differences: WHOLE_LEAVES,
    run: add,
  }),
  declareStream({
    name: 'xtrim',
    arity: -4,
    flags: ['write'],
    summary: 'Removes entries from the beginning of a stream.',
    complexity: 'O(N) for N entries that are removed',
    differences: WHOLE_LEAVES,
    run: trim,
  }),
  declareStream({
    name: 'xdel',
    arity: -3,
    flags: ['write', 'fast'],
    summary: 'Removes entries by their ids.',
    complexity: 'O(log N) for each in a stream of N entries',
    differences: ID_PIECES_DIFFER,
    pieces: idPieces(2, 'sum', (args) => countOfIds(args, 2)),
    run: remove,
  }),
  declareStream({
    name: 'xlen',
    arity: 2,
    flags: ['readonly', 'fast'],
    summary: 'Number of entries.',
    complexity: 'O(1)',
    run: (ctx, args) => openStream(ctx, args[1]!)?.length ?? 0,
  }),
  declareStream({
    name: 'xsetid',
    arity: -3,
    flags: ['write', 'denyoom', 'fast'],
    summary: 'Sets the last id of a stream, and what it remembers of entries that are gone.',
    complexity: 'O(1)',
    run: setId,
  }),
  declareStream({
    name: 'xrange',
    arity: -4,
    flags: ['readonly'],
    summary: 'Entries of an interval of ids.',
    complexity: 'O(log N + M) for M entries of N',
    readsPart: hasCount,
    run: (ctx, args) => range(ctx, args, false),
  }),
  declareStream({
    name: 'xrevrange',
    arity: -4,
    flags: ['readonly'],
    summary: 'Entries of an interval of ids, from the highest to the lowest.',
    complexity: 'O(log N + M) for M entries of N',
    readsPart: hasCount,
    run: (ctx, args) => range(ctx, args, true),
  }),
]);
