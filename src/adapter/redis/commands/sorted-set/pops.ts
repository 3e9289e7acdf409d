/** ZPOPMIN, ZPOPMAX and ZMPOP. */
import { type OrderedBody, openOrdered, type ScoredMember } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { countArgument, DoubleReply, errors, NIL_ARRAY, optionName, type Reply } from '../../protocol/index.ts';
import { countedKeys } from '../declare.ts';
import { declareSortedSet } from './declare-sorted-set.ts';
import { scoredReply } from './scored-replies.ts';

export type PopEnd = 'MIN' | 'MAX';

/** Takes members from an end, and saves what is left. @param set that of the key */
export function take(ctx: CommandContext, key: Buffer, set: OrderedBody, end: PopEnd, count: number): ScoredMember[] {
  const popped = end === 'MIN' ? set.popMin(count) : set.popMax(count);
  set.save();
  if (popped.length > 0) ctx.tookFrom('zset', end === 'MIN' ? 'zpopmin' : 'zpopmax', key);
  return popped;
}

/** One member is answered flat in both protocols, counted ones are pairs in RESP3. */
function pop(ctx: CommandContext, args: readonly Buffer[], end: PopEnd): Reply {
  if (args.length > 3) throw errors.syntax();
  const count = args.length === 3 ? countArgument(args[2]!, 0) : 1;
  const popped = take(ctx, args[1]!, openOrdered(ctx, args[1]!), end, count);
  return scoredReply(args.length === 3 ? ctx : { resp: 2 }, popped);
}

/** What ZMPOP asks for, behind its name. */
export interface PopOfSeveral {
  readonly keys: readonly Buffer[];
  readonly end: PopEnd;
  readonly count: number;
}

/** @throws RedisError */
export function parsePopOfSeveral(args: readonly Buffer[]): PopOfSeveral {
  const keyCount = countArgument(args[1]!, 1, 'ERR numkeys should be greater than 0');
  const endArgument = args[keyCount + 2];
  const end = endArgument === undefined ? '' : optionName(endArgument);
  if (end !== 'MIN' && end !== 'MAX') throw errors.syntax();
  let count: number | undefined;
  for (let at = keyCount + 3; at < args.length; at += 2) {
    const argument = args[at + 1];
    if (optionName(args[at]!) !== 'COUNT' || argument === undefined || count !== undefined) throw errors.syntax();
    count = countArgument(argument, 1, 'ERR count should be greater than 0');
  }
  return { keys: args.slice(2, keyCount + 2), end, count: count ?? 1 };
}

/** The reply for what was popped from the first of several keys. */
export const poppedFrom = (key: Buffer, popped: readonly ScoredMember[]): Reply => [
  Buffer.from(key),
  popped.map(({ member, score }): Reply => [member, new DoubleReply(score)]),
];

function popFromFirst(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const { keys, end, count } = parsePopOfSeveral(args);
  for (const key of keys) {
    const set = openOrdered(ctx, key);
    if (set.size > 0) return poppedFrom(key, take(ctx, key, set, end, count));
  }
  return NIL_ARRAY;
}

export const popCommands: readonly CommandSpec[] = defineCommands([
  declareSortedSet({
    name: 'zpopmin',
    arity: -2,
    flags: ['write', 'fast'],
    since: '5.0.0',
    summary: 'Removes and answers the members with the lowest scores.',
    complexity: 'O(M) for M members',
    run: (ctx, args) => pop(ctx, args, 'MIN'),
  }),
  declareSortedSet({
    name: 'zpopmax',
    arity: -2,
    flags: ['write', 'fast'],
    since: '5.0.0',
    summary: 'Removes and answers the members with the highest scores.',
    complexity: 'O(M) for M members',
    run: (ctx, args) => pop(ctx, args, 'MAX'),
  }),
  declareSortedSet({
    name: 'zmpop',
    arity: -4,
    flags: ['write', 'movablekeys'],
    keys: countedKeys(1),
    since: '7.0.0',
    summary: 'Removes members with the lowest or highest scores from the first of several keys that has any.',
    complexity: 'O(K+M) for K keys and M members',
    run: popFromFirst,
  }),
]);
