/** What is done at the ends of lists: pushing, popping, and moving values from one end to another. */
import { type ListBody, openList } from '../../bodies/index.ts';
import type { CommandContext } from '../../command/index.ts';
import { countArgument, errors, NIL_ARRAY, optionName, type Reply } from '../../protocol/index.ts';

/** An end of a list. */
export type End = 'first' | 'last';

/** What is said of a list to which, or from which, something was moved at an end. */
const PUSHED = { first: 'lpush', last: 'rpush' } as const;
const POPPED = { first: 'lpop', last: 'rpop' } as const;

/** @throws RedisError when it is neither LEFT nor RIGHT */
export function endArgument(argument: Buffer): End {
  const name = optionName(argument);
  if (name === 'LEFT') return 'first';
  if (name === 'RIGHT') return 'last';
  throw errors.syntax();
}

function pushTo(list: ListBody, end: End, values: readonly Buffer[]): void {
  if (end === 'first') list.pushFirst(values);
  else list.pushLast(values);
}

const popFrom = (list: ListBody, end: End, count: number): Buffer[] =>
  end === 'first' ? list.popFirst(count) : list.popLast(count);

/** Takes values from an end, and saves what is left. @param list that of the key */
export function take(ctx: CommandContext, key: Buffer, list: ListBody, end: End, count: number): Buffer[] {
  const values = popFrom(list, end, count);
  list.save();
  if (values.length > 0) ctx.tookFrom('list', POPPED[end], key);
  return values;
}

/** LPUSH, RPUSH and, with `mustExist`, LPUSHX and RPUSHX. */
export function push(ctx: CommandContext, args: readonly Buffer[], end: End, mustExist: boolean): Reply {
  const list = openList(ctx, args[1]!);
  if (mustExist && list.length === 0) return 0;
  pushTo(list, end, args.slice(2));
  list.save();
  ctx.event('list', PUSHED[end], args[1]!);
  return list.length;
}

/** LPOP and RPOP: one value, or with a count an array of them. */
export function pop(ctx: CommandContext, args: readonly Buffer[], name: string, end: End): Reply {
  if (args.length > 3) throw errors.wrongArity(name);
  const count = args.length === 3 ? countArgument(args[2]!, 0) : undefined;
  const list = openList(ctx, args[1]!);
  if (list.length === 0) return count === undefined ? null : NIL_ARRAY;
  const values = take(ctx, args[1]!, list, end, count ?? 1);
  return count === undefined ? values[0]! : values;
}

/** @param source the list that is at the first key */
export function moveFrom(
  ctx: CommandContext,
  source: ListBody,
  keys: readonly [Buffer, Buffer],
  ends: readonly [End, End],
): Reply {
  const [from, to] = keys;
  const target = from.equals(to) ? source : openList(ctx, to);
  const [value] = popFrom(source, ends[0], 1);
  pushTo(target, ends[1], [value!]);
  source.save();
  if (target !== source) target.save();
  ctx.event('list', PUSHED[ends[1]], to);
  ctx.tookFrom('list', POPPED[ends[0]], from);
  return value!;
}

function moveBetween(ctx: CommandContext, keys: readonly [Buffer, Buffer], ends: readonly [End, End]): Reply {
  const source = openList(ctx, keys[0]);
  return source.length === 0 ? null : moveFrom(ctx, source, keys, ends);
}

/** LMOVE. */
export function move(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const ends = [endArgument(args[3]!), endArgument(args[4]!)] as const;
  return moveBetween(ctx, [args[1]!, args[2]!], ends);
}

/** RPOPLPUSH. */
export const popLastPushFirst = (ctx: CommandContext, args: readonly Buffer[]): Reply =>
  moveBetween(ctx, [args[1]!, args[2]!], ['last', 'first']);

/** What LMPOP asks for, behind its name. */
export interface PopOfSeveral {
  readonly keys: readonly Buffer[];
  readonly end: End;
  readonly count: number;
}

/** @throws RedisError */
export function parsePopOfSeveral(args: readonly Buffer[]): PopOfSeveral {
  const keyCount = countArgument(args[1]!, 1, 'ERR numkeys should be greater than 0');
  const endAt = 2 + keyCount;
  if (endAt >= args.length) throw errors.syntax();
  const end = endArgument(args[endAt]!);
  let count: number | undefined;
  for (let index = endAt + 1; index < args.length; index += 2) {
    const argument = args[index + 1];
    if (count !== undefined || optionName(args[index]!) !== 'COUNT' || argument === undefined) throw errors.syntax();
    count = countArgument(argument, 1, 'ERR count should be greater than 0');
  }
  return { keys: args.slice(2, endAt), end, count: count ?? 1 };
}

/** LMPOP: pops from the first list that has values. */
export function popOfSeveral(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const { keys, end, count } = parsePopOfSeveral(args);
  for (const key of keys) {
    const list = openList(ctx, key);
    if (list.length > 0) return [Buffer.from(key), take(ctx, key, list, end, count)];
  }
  return NIL_ARRAY;
}
