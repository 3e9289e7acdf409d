/** Ranges of sorted sets: by position, by score and by member, read, stored and removed. */
import {
  newOrdered,
  type OrderedBody,
  type OrderedRange,
  openOrdered,
  type RangeOptions,
  type RankRange,
  type ScoredMember,
} from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import { errors, optionName, RedisError, type Reply, requirePosition } from '../../protocol/index.ts';
import { declareSortedSet } from './declare-sorted-set.ts';
import { lexRange, scoreRange } from './range-bounds.ts';
import { memberReply, scoredReply } from './scored-replies.ts';

/** What a command's name says about its range; what it leaves open options may say. */
interface RangeForm {
  readonly by?: OrderedRange['by'];
  readonly isReverse?: boolean;
  /** The result goes to a key instead of to the client. */
  readonly isStore?: boolean;
}

interface RangeRequest {
  /** Positions may be negative: counted from the end. */
  readonly range: OrderedRange;
  readonly options: RangeOptions;
  readonly withScores: boolean;
}

/** @param at where the range's beginning is among the arguments */
function parseRange(args: readonly Buffer[], at: number, form: RangeForm): RangeRequest {
  let { by, isReverse } = form;
  let withScores = false;
  let offset = 0;
  let limit = -1;
  for (let index = at + 2; index < args.length; index++) {
    const name = optionName(args[index]!);
    if (name === 'WITHSCORES' && form.isStore !== true) {
      withScores = true;
    } else if (name === 'LIMIT' && index + 2 < args.length) {
      offset = requirePosition(args[index + 1]!);
      limit = requirePosition(args[index + 2]!);
      index += 2;
    } else if (name === 'REV' && form.isReverse === undefined && !isReverse) {
      isReverse = true;
    } else if ((name === 'BYSCORE' || name === 'BYLEX') && by === undefined) {
      by = name === 'BYSCORE' ? 'score' : 'lex';
    } else {
      throw errors.syntax();
    }
  }
  if (limit !== -1 && (by ?? 'rank') === 'rank') {
    throw new RedisError('ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX');
  }
  if (withScores && by === 'lex') {
    throw new RedisError('ERR syntax error, WITHSCORES not supported in combination with BYLEX');
  }
  const range = rangeOf(by ?? 'rank', args[at]!, args[at + 1]!, isReverse === true);
  // A negative offset leaves out everything, a negative limit is none.
  const options = {
    isReverse: isReverse === true,
    offset: Math.max(0, offset),
    limit: offset < 0 ? 0 : limit < 0 ? Number.POSITIVE_INFINITY : limit,
  };
  return { range, options: range.by === 'rank' ? { isReverse: options.isReverse } : options, withScores };
}

/** A range by score or member that goes downwards is given from its upper end to its lower one. */
function rangeOf(by: OrderedRange['by'], from: Buffer, to: Buffer, isReverse: boolean): OrderedRange {
  if (by === 'rank') return { by, from: requirePosition(from), to: requirePosition(to) };
  const [lower, upper] = isReverse ? [to, from] : [from, to];
  return by === 'score' ? scoreRange(lower, upper) : lexRange(lower, upper);
}

/** Positions with negative ones counted from the end. */
const positions = ({ from, to }: RankRange, size: number): RankRange => ({
  by: 'rank',
  from: from < 0 ? Math.max(0, size + from) : from,
  to: to < 0 ? size + to : to,
});

const elementsOf = (set: OrderedBody, { range, options }: RangeRequest): Iterable<ScoredMember> =>
  set.range(range.by === 'rank' ? positions(range, set.size) : range, options);

const readRange =
  (form: RangeForm) =>
  (ctx: CommandContext, args: readonly Buffer[]): Reply => {
    const request = parseRange(args, 2, form);
    const elements = elementsOf(openOrdered(ctx, args[1]!), request);
    return request.withScores ? scoredReply(ctx, elements) : memberReply(elements);
  };

function storeRange(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const request = parseRange(args, 3, { isStore: true });
  const elements = [...elementsOf(openOrdered(ctx, args[2]!), request)];
  return ctx.stored('zset', 'zrangestore', args[1]!, () => {
    const stored = newOrdered(ctx, args[1]!);
    for (const { member, score } of elements) stored.set(member, score);
    stored.save();
    return stored.size;
  });
}

/** What is said of a sorted set from which a range was removed. */
const REMOVED = { rank: 'zremrangebyrank', score: 'zremrangebyscore', lex: 'zremrangebylex' } as const;

const removeRange =
  (by: OrderedRange['by']) =>
  (ctx: CommandContext, args: readonly Buffer[]): Reply => {
    const range = rangeOf(by, args[2]!, args[3]!, false);
    const set = openOrdered(ctx, args[1]!);
    const removed = set.removeRange(range.by === 'rank' ? positions(range, set.size) : range);
    set.save();
    if (removed > 0) ctx.tookFrom('zset', REMOVED[by], args[1]!);
    return removed;
  };

const LEX_DIFFERENCE =
  'Where scores differ the answer has no meaning; it is the one that Redis gives for a small set, whatever the size.';

export const rangeCommands: readonly CommandSpec[] = defineCommands([
  declareSortedSet({
    name: 'zrange',
    arity: -4,
    flags: ['readonly'],
    since: '1.2.0',
    summary: 'Members in a range of positions, scores or members, in either direction.',
    complexity: 'O(log(N)+M) for M members',
    run: readRange({}),
  }),
  declareSortedSet({
    name: 'zrangestore',
    writesWholeValue: true,
    arity: -5,
    flags: ['write', 'denyoom'],
    keys: { first: 1, last: 2, step: 1 },
    since: '6.2.0',
    summary: 'Keeps a range of members in another key.',
    complexity: 'O(log(N)+M) for M members',
    run: storeRange,
  }),
  declareSortedSet({
    name: 'zrevrange',
    arity: -4,
    flags: ['readonly'],
    since: '1.2.0',
    summary: 'Members in a range of positions from the highest score on.',
    complexity: 'O(log(N)+M) for M members',
    run: readRange({ by: 'rank', isReverse: true }),
  }),
  declareSortedSet({
    name: 'zrangebyscore',
    arity: -4,
    flags: ['readonly'],
    since: '1.0.5',
    summary: 'Members with scores in a range, from the lowest on.',
    complexity: 'O(log(N)+M) for M members',
    run: readRange({ by: 'score', isReverse: false }),
  }),
  declareSortedSet({
    name: 'zrevrangebyscore',
    arity: -4,
    flags: ['readonly'],
    since: '2.2.0',
    summary: 'Members with scores in a range, from the highest on.',
    complexity: 'O(log(N)+M) for M members',
    run: readRange({ by: 'score', isReverse: true }),
  }),
  declareSortedSet({
    name: 'zrangebylex',
    arity: -4,
    flags: ['readonly'],
    since: '2.8.9',
    differences: LEX_DIFFERENCE,
    summary: 'Members in a range of members, where all scores are the same.',
    complexity: 'O(log(N)+M) for M members',
    run: readRange({ by: 'lex', isReverse: false }),
  }),
  declareSortedSet({
    name: 'zrevrangebylex',
    arity: -4,
    flags: ['readonly'],
    since: '2.8.9',
    differences: LEX_DIFFERENCE,
    summary: 'Members in a range of members from its end on, where all scores are the same.',
    complexity: 'O(log(N)+M) for M members',
    run: readRange({ by: 'lex', isReverse: true }),
  }),
  declareSortedSet({
    name: 'zremrangebyrank',
    arity: 4,
    flags: ['write'],
    since: '2.0.0',
    summary: 'Removes the members in a range of positions.',
    complexity: 'O(log(N)+M) for M members, or O(N-M) when most go',
    run: removeRange('rank'),
  }),
  declareSortedSet({
    name: 'zremrangebyscore',
    arity: 4,
    flags: ['write'],
    since: '1.2.0',
    summary: 'Removes the members with scores in a range.',
    complexity: 'O(log(N)+M) for M members, or O(N-M) when most go',
    run: removeRange('score'),
  }),
  declareSortedSet({
    name: 'zremrangebylex',
    arity: 4,
    flags: ['write'],
    since: '2.8.9',
    differences: LEX_DIFFERENCE,
    summary: 'Removes the members in a range of members, where all scores are the same.',
    complexity: 'O(log(N)+M) for M members, or O(N-M) when most go',
    run: removeRange('lex'),
  }),
]);
