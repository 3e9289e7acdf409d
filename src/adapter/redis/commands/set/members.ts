/** Members of one set, and of two between which one moves. */
import { openSet, type SetBody } from '../../bodies/index.ts';
import type { CommandContext } from '../../command/index.ts';
import { countArgument, errors, type Reply, SetReply } from '../../protocol/index.ts';
import { parseRandomCount } from '../element-random.ts';
import { elementCursor, parseElementScan } from '../element-scan.ts';

/** SADD. */
export function add(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const set = openSet(ctx, args[1]!);
  const members = args.slice(2);
  set.prefetch(members);
  let added = 0;
  for (const member of members) if (set.add(member)) added++;
  set.save();
  if (added > 0) ctx.event('set', 'sadd', args[1]!);
  return added;
}

/** SREM. */
export function* remove(ctx: CommandContext, args: readonly Buffer[]): Generator<void, Reply> {
  const set = openSet(ctx, args[1]!);
  if (set.size === 0) return 0;
  const removed = yield* set.deleteInParts(args.slice(2));
  set.save();
  if (removed > 0) ctx.tookFrom('set', 'srem', args[1]!);
  return removed;
}

/** SCARD. */
export const size = (ctx: CommandContext, args: readonly Buffer[]): Reply => openSet(ctx, args[1]!).size;

/** SISMEMBER. */
export const isMember = (ctx: CommandContext, args: readonly Buffer[]): Reply => has(openSet(ctx, args[1]!), args[2]!);

/** SMISMEMBER. */
export function areMembers(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const set = openSet(ctx, args[1]!);
  const asked = args.slice(2);
  set.prefetch(asked);
  return asked.map((member) => has(set, member));
}

const has = (set: SetBody, member: Buffer): number => (set.has(member) ? 1 : 0);

/** SMEMBERS. */
export const allMembers = (ctx: CommandContext, args: readonly Buffer[]): Reply =>
  new SetReply([...openSet(ctx, args[1]!).members()]);

/** SPOP: one member, or with a count a set of them. */
export function pop(ctx: CommandContext, args: readonly Buffer[]): Reply {
  if (args.length > 3) throw errors.syntax();
  const count = args.length === 3 ? countArgument(args[2]!, 0) : undefined;
  const set = openSet(ctx, args[1]!);
  const members = set.pop(count ?? 1);
  set.save();
  if (members.length > 0) ctx.tookFrom('set', 'spop', args[1]!);
  return count === undefined ? (members[0] ?? null) : new SetReply(members);
}

/** SRANDMEMBER: one member, or with a count an array of them, with repetitions when it is negative. */
export function randomMembers(ctx: CommandContext, args: readonly Buffer[]): Reply {
  if (args.length > 3) throw errors.syntax();
  if (args.length === 2) return openSet(ctx, args[1]!).random() ?? null;
  const { count, isDistinct } = parseRandomCount(args);
  const set = openSet(ctx, args[1]!);
  if (count === 0 || set.size === 0) return [];
  return isDistinct ? set.randomDistinct(count) : set.randomRepeated(count);
}

/** SMOVE. */
export function move(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const [, from, to, member] = args as readonly [Buffer, Buffer, Buffer, Buffer];
  const source = openSet(ctx, from);
  if (source.size === 0) return 0;
  if (from.equals(to)) return has(source, member);
  const target = openSet(ctx, to);
  if (source.delete([member]) === 0) return 0;
  const isNew = target.add(member);
  source.save();
  ctx.tookFrom('set', 'srem', from);
  target.save();
  if (isNew) ctx.event('set', 'sadd', to);
  return 1;
}

/** SSCAN. */
export function scan(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const cursor = elementCursor(args[2]!);
  const set = openSet(ctx, args[1]!);
  if (set.size === 0) return ['0', []];
  const { atLeast, matches } = parseElementScan(args, false);
  const part = set.scan(cursor, atLeast);
  return [String(part.cursor), part.names.filter(matches)];
}
