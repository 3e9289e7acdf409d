/** XACK and XPENDING: what was given to consumers and not acknowledged. */
import { idText, openStream, type StreamConsumer, type StreamGroup, type StreamId } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { errors, integerArgument, NIL_ARRAY, optionName, type Reply } from '../../protocol/index.ts';
import { ID_PIECES_DIFFER, idPieces } from '../pieces.ts';
import { declareStream, noGroup } from './declare-stream.ts';
import { countOfIds, endArgument, idArgument, isAbove, startArgument } from './ids.ts';

function acknowledge(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const stream = openStream(ctx, args[1]!);
  const group = stream?.group(args[2]!);
  if (stream === undefined || group === undefined) return 0;
  const ids = args.slice(3).map((argument) => idArgument(argument));
  group.prefetch(ids);
  let acknowledged = 0;
  for (const id of ids) if (group.release(id)) acknowledged++;
  stream.save();
  return acknowledged;
}

interface PendingRange {
  readonly start: StreamId;
  readonly end: StreamId;
  readonly limit: number;
  readonly minIdleMs: number;
  readonly consumer: Buffer | undefined;
}

/** @throws RedisError */
function parseRange(args: readonly Buffer[]): PendingRange | undefined {
  if (args.length === 3) return undefined;
  if (args.length < 6 || args.length > 9) throw errors.syntax();
  const isIdle = optionName(args[3]!) === 'IDLE';
  const minIdleMs = isIdle ? Number(integerArgument(args[4]!)) : 0;
  if (isIdle && args.length < 8) throw errors.syntax();
  const [start, end, count, consumer] = args.slice(isIdle ? 5 : 3);
  const limit = Math.max(0, Number(integerArgument(count!)));
  return { start: startArgument(start!), end: endArgument(end!), limit, minIdleMs, consumer };
}

function pending(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const range = parseRange(args);
  const group = openStream(ctx, args[1]!)?.group(args[2]!);
  if (group === undefined) throw noGroup(args[1]!, args[2]!);
  if (range === undefined) return summary(group);
  const consumer = range.consumer && group.consumer(range.consumer);
  if (range.consumer !== undefined && consumer === undefined) return [];
  return details(ctx, group, range, consumer);
}

function summary(group: StreamGroup): Reply {
  const { firstPending, lastPending } = group;
  if (firstPending === undefined || lastPending === undefined) return [0, null, null, NIL_ARRAY];
  const consumers: Reply[] = [];
  for (const { name, pending: own } of group.consumers()) if (own.count > 0) consumers.push([name, `${own.count}`]);
  return [group.pendingCount, idText(firstPending), idText(lastPending), consumers];
}

function details(
  ctx: CommandContext,
  group: StreamGroup,
  { start, end, limit, minIdleMs }: PendingRange,
  consumer: StreamConsumer | undefined,
): Reply {
  const found: Reply[] = [];
  if (limit === 0) return found;
  for (const entry of group.pendingFrom(start, limit, consumer)) {
    if (isAbove(entry.id, end)) break;
    const idleMs = Math.max(0, ctx.nowMs - entry.deliveredMs);
    if (ctx.nowMs - entry.deliveredMs < minIdleMs) continue;
    found.push([idText(entry.id), group.consumerOf(entry.consumer).name, idleMs, entry.deliveries]);
    if (found.length === limit) break;
  }
  return found;
}

export const pendingCommands: readonly CommandSpec[] = defineCommands([
  declareStream({
    name: 'xack',
    arity: -4,
    flags: ['write', 'fast'],
    summary: 'Says that entries which a group was given are done.',
    complexity: 'O(log N) for each, of N that are pending',
    differences: ID_PIECES_DIFFER,
    pieces: idPieces(3, 'sum', (args) => countOfIds(args, 3)),
    run: acknowledge,
  }),
  declareStream({
    name: 'xpending',
    arity: -3,
    flags: ['readonly'],
    summary: 'What a group was given and has not acknowledged.',
    complexity: 'O(log N + M) for M of N that are pending, O(C) for the summary of C consumers',
    readsPart: () => true,
    run: pending,
  }),
]);
