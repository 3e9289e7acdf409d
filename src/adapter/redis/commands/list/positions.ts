/** Values of lists by their positions, and positions by values. */
import { openList } from '../../bodies/index.ts';
import type { CommandContext } from '../../command/index.ts';
import {
  countArgument,
  errors,
  INT64_MIN,
  OK,
  optionName,
  RedisError,
  type Reply,
  requireInteger,
  requirePosition,
} from '../../protocol/index.ts';

/** LLEN. */
export const length = (ctx: CommandContext, args: readonly Buffer[]): Reply => openList(ctx, args[1]!).length;

/** LINDEX. */
export function valueAt(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const list = openList(ctx, args[1]!);
  if (list.length === 0) return null;
  const index = requirePosition(args[2]!);
  return list.at(index < 0 ? list.length + index : index) ?? null;
}

/** LSET. */
export function setAt(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const list = openList(ctx, args[1]!);
  if (list.length === 0) throw errors.noSuchKey();
  const asked = requirePosition(args[2]!);
  const index = asked < 0 ? list.length + asked : asked;
  if (index < 0 || index >= list.length) throw errors.indexOutOfRange();
  list.set(index, args[3]!);
  list.save();
  ctx.event('list', 'lset', args[1]!);
  return OK;
}

/** First and last position of a range that may count from the end: within the list, or in the wrong order for an empty one. */
function rangeIn(length: number, start: number, stop: number): readonly [number, number] {
  const from = start < 0 ? Math.max(0, length + start) : start;
  const to = stop < 0 ? length + stop : stop;
  return [from, Math.min(to, length - 1)];
}

/** LRANGE. */
export function range(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const [start, stop] = [requirePosition(args[2]!), requirePosition(args[3]!)];
  const list = openList(ctx, args[1]!);
  return list.range(...rangeIn(list.length, start, stop));
}

/** LTRIM. */
export function trim(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const [start, stop] = [requirePosition(args[2]!), requirePosition(args[3]!)];
  const list = openList(ctx, args[1]!);
  if (list.length === 0) return OK;
  list.trim(...rangeIn(list.length, start, stop));
  list.save();
  ctx.tookFrom('list', 'ltrim', args[1]!);
  return OK;
}

/** LINSERT. */
export function insert(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const place = optionName(args[2]!);
  if (place !== 'BEFORE' && place !== 'AFTER') throw errors.syntax();
  const list = openList(ctx, args[1]!);
  if (list.length === 0) return 0;
  if (!list.insertBeside(args[3]!, args[4]!, place === 'BEFORE' ? 'before' : 'after')) return -1;
  list.save();
  ctx.event('list', 'linsert', args[1]!);
  return list.length;
}

/** LREM. */
export function remove(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const count = requirePosition(args[2]!);
  const list = openList(ctx, args[1]!);
  const removed = list.remove(args[3]!, count);
  list.save();
  if (removed > 0) ctx.tookFrom('list', 'lrem', args[1]!);
  return removed;
}

/** LPOS' options; undefined where they were not given. */
interface SearchOptions {
  readonly rank: number;
  readonly count: number | undefined;
  readonly atMost: number;
}

/** @throws RedisError when it is 0 */
function rankArgument(argument: Buffer): number {
  // Redis cannot negate the lowest integer: it finds every match from the end on.
  if (requireInteger(argument) === INT64_MIN) return -1;
  const rank = requirePosition(argument);
  if (rank === 0) {
    throw new RedisError(
      "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
    );
  }
  return rank;
}

/** @throws RedisError */
function parseSearch(args: readonly Buffer[]): SearchOptions {
  let rank = 1;
  let count: number | undefined;
  let atMost = 0;
  for (let index = 3; index < args.length; index += 2) {
    const option = optionName(args[index]!);
    const argument = args[index + 1];
    if (argument === undefined) throw errors.syntax();
    if (option === 'RANK') rank = rankArgument(argument);
    else if (option === 'COUNT') count = countArgument(argument, 0, "ERR COUNT can't be negative");
    else if (option === 'MAXLEN') atMost = countArgument(argument, 0, "ERR MAXLEN can't be negative");
    else throw errors.syntax();
  }
  return { rank, count, atMost };
}

const orAll = (limit: number): number => (limit === 0 ? Number.POSITIVE_INFINITY : limit);

/** LPOS. */
export function positionsOf(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const { rank, count, atMost } = parseSearch(args);
  const list = openList(ctx, args[1]!);
  const found = list.positions(args[2]!, { rank, count: orAll(count ?? 1), atMost: orAll(atMost) });
  return count === undefined ? (found[0] ?? null) : found;
}
