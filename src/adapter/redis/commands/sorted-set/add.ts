/** ZADD and ZINCRBY. */
import { openOrdered, type ScoredMember } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import {
  DoubleReply,
  errors,
  optionName,
  parseDouble,
  parseShortInteger,
  RedisError,
  type Reply,
} from '../../protocol/index.ts';
import { MANY_ELEMENTS, MANY_ELEMENTS_DIFFER } from '../fills.ts';
import { declareSortedSet } from './declare-sorted-set.ts';

/** How members are added. */
export interface AddOptions {
  /** Only members that are not there. */
  readonly isNx?: boolean;
  /** Only members that are there. */
  readonly isXx?: boolean;
  /** Members that are there only get higher scores. */
  readonly isGt?: boolean;
  /** Members that are there only get lower scores. */
  readonly isLt?: boolean;
  /** The reply counts changed members too. */
  readonly isCh?: boolean;
  /** The score is added to the one that is there. */
  readonly isIncr?: boolean;
}

const OPTIONS: Readonly<Record<string, keyof AddOptions>> = {
  NX: 'isNx',
  XX: 'isXx',
  GT: 'isGt',
  LT: 'isLt',
  CH: 'isCh',
  INCR: 'isIncr',
};

/** ZADD and ZINCRBY; options and members from argument 2 on. */
function add(ctx: CommandContext, args: readonly Buffer[], isIncr: boolean): Reply {
  const options = { isNx: false, isXx: false, isGt: false, isLt: false, isCh: false, isIncr };
  let from = 2;
  for (; from < args.length; from++) {
    const option = OPTIONS[optionName(args[from]!)];
    if (option === undefined) break;
    options[option] = true;
  }
  const scores = readScores(options, args, from);
  const members = scores.map((score, nth) => ({ member: args[from + nth * 2 + 1]!, score }));
  return addMembers(ctx, args[1]!, members, options);
}

/**
 * Adds members to the sorted set of a key, or changes their scores.
 * @returns how many are new, with `isCh` how many are new or changed, with `isIncr` the score of the only one
 * @throws RedisError WRONGTYPE, or when a score would be no number
 */
export function addMembers(
  ctx: CommandContext,
  key: Buffer,
  members: readonly ScoredMember[],
  options: AddOptions,
): Reply {
  const set = openOrdered(ctx, key);
  set.prefetchChanges(members);
  let [added, changed] = [0, 0];
  let result: number | undefined;
  for (const { member, score } of members) {
    const outcome = set.change(member, (current) => {
      result = scoreAfter(options, current, score);
      return result;
    });
    if (outcome === 'added') added++;
    else if (outcome === 'changed') changed++;
  }
  set.save();
  if (added + changed > 0) ctx.event('zset', options.isIncr === true ? 'zincr' : 'zadd', key);
  if (options.isIncr === true) return result === undefined ? null : new DoubleReply(result);
  return options.isCh === true ? added + changed : added;
}

/** Checks options and reads scores in Redis' order. @throws RedisError */
function readScores({ isNx, isXx, isGt, isLt, isIncr }: AddOptions, args: readonly Buffer[], from: number): number[] {
  const given = args.length - from;
  if (given === 0 || given % 2 !== 0) throw errors.syntax();
  if (isNx && isXx) throw new RedisError('ERR XX and NX options at the same time are not compatible');
  if ((isGt && isNx) || (isLt && isNx) || (isGt && isLt)) {
    throw new RedisError('ERR GT, LT, and/or NX options at the same time are not compatible');
  }
  if (isIncr && given > 2) throw new RedisError('ERR INCR option supports a single increment-element pair');
  const scores: number[] = [];
  for (let at = from; at < args.length; at += 2) {
    const short = parseShortInteger(args[at]!);
    const score = Number.isNaN(short) ? parseDouble(args[at]!) : short;
    if (score === undefined) throw errors.notFloat();
    scores.push(score);
  }
  return scores;
}

/** The score that a member gets; undefined when it stays as it is. @throws RedisError */
function scoreAfter(
  { isNx, isXx, isGt, isLt, isIncr }: AddOptions,
  current: number | undefined,
  given: number,
): number | undefined {
  if (current === undefined) return isXx ? undefined : given;
  if (isNx) return undefined;
  const score = isIncr ? current + given : given;
  if (Number.isNaN(score)) throw new RedisError('ERR resulting score is not a number (NaN)');
  return (isGt && score <= current) || (isLt && score >= current) ? undefined : score;
}

export const addCommands: readonly CommandSpec[] = defineCommands([
  declareSortedSet({
    name: 'zadd',
    arity: -4,
    flags: ['write', 'denyoom', 'fast'],
    since: '1.2.0',
    summary: 'Adds members with scores, or changes the scores of members that are there.',
    differences: `A score of -0 is kept as 0, also in large sets: Redis does so in small ones only. ${MANY_ELEMENTS_DIFFER}`,
    complexity: 'O(log(N)) for each member',
    fills: MANY_ELEMENTS,
    run: (ctx, args) => add(ctx, args, false),
  }),
  declareSortedSet({
    name: 'zincrby',
    arity: 4,
    flags: ['write', 'denyoom', 'fast'],
    since: '1.2.0',
    summary: 'Adds an amount to the score of a member.',
    complexity: 'O(log(N))',
    run: (ctx, args) => add(ctx, args, true),
  }),
]);
