/** Commands that look at members by name, or remove them by name, and counts. */
import { openOrdered } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands, inParts } from '../../command/index.ts';
import { DoubleReply, errors, NIL_ARRAY, optionName, type Reply } from '../../protocol/index.ts';
import { declareSortedSet } from './declare-sorted-set.ts';
import { lexRange, scoreRange } from './range-bounds.ts';

const scoreOrNil = (score: number | undefined): Reply => (score === undefined ? null : new DoubleReply(score));

function* remove(ctx: CommandContext, args: readonly Buffer[]): Generator<void, Reply> {
  const set = openOrdered(ctx, args[1]!);
  const members = args.slice(2);
  set.prefetchRemovals(members);
  const removed = yield* set.deleteInParts(members);
  set.save();
  if (removed > 0) ctx.tookFrom('zset', 'zrem', args[1]!);
  return removed;
}

function scores(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const set = openOrdered(ctx, args[1]!);
  const members = args.slice(2);
  set.prefetch(members);
  return members.map((member) => scoreOrNil(set.score(member)));
}

function rank(ctx: CommandContext, args: readonly Buffer[], isReverse: boolean): Reply {
  if (args.length > 4) throw errors.wrongArity(isReverse ? 'zrevrank' : 'zrank');
  const withScore = args.length === 4;
  if (withScore && optionName(args[3]!) !== 'WITHSCORE') throw errors.syntax();
  const set = openOrdered(ctx, args[1]!);
  const position = set.rank(args[2]!, isReverse);
  if (!withScore) return position ?? null;
  return position === undefined ? NIL_ARRAY : [position, scoreOrNil(set.score(args[2]!))];
}

export const memberCommands: readonly CommandSpec[] = defineCommands([
  declareSortedSet({
    name: 'zrem',
    arity: -3,
    flags: ['write', 'fast'],
    since: '1.2.0',
    summary: 'Removes members.',
    complexity: 'O(log(N)) for each member',
    handler: inParts(remove),
  }),
  declareSortedSet({
    name: 'zcard',
    arity: 2,
    flags: ['readonly', 'fast'],
    since: '1.2.0',
    summary: 'Number of members.',
    complexity: 'O(1)',
    run: (ctx, args) => openOrdered(ctx, args[1]!).size,
  }),
  declareSortedSet({
    name: 'zscore',
    arity: 3,
    flags: ['readonly', 'fast'],
    since: '1.2.0',
    summary: 'Score of a member.',
    complexity: 'O(1)',
    run: (ctx, args) => scoreOrNil(openOrdered(ctx, args[1]!).score(args[2]!)),
  }),
  declareSortedSet({
    name: 'zmscore',
    arity: -3,
    flags: ['readonly', 'fast'],
    since: '6.2.0',
    summary: 'Scores of several members.',
    complexity: 'O(N) in the number of members that are named',
    run: scores,
  }),
  declareSortedSet({
    name: 'zcount',
    arity: 4,
    flags: ['readonly', 'fast'],
    since: '2.0.0',
    summary: 'Counts the members with scores in a range.',
    complexity: 'O(log(N))',
    run: (ctx, args) => {
      const range = scoreRange(args[2]!, args[3]!);
      return openOrdered(ctx, args[1]!).count(range);
    },
  }),
  declareSortedSet({
    name: 'zlexcount',
    arity: 4,
    flags: ['readonly', 'fast'],
    since: '2.8.9',
    summary: 'Counts the members in a range of members, where all scores are the same.',
    complexity: 'O(log(N))',
    run: (ctx, args) => {
      const range = lexRange(args[2]!, args[3]!);
      return openOrdered(ctx, args[1]!).count(range);
    },
  }),
  declareSortedSet({
    name: 'zrank',
    arity: -3,
    flags: ['readonly', 'fast'],
    since: '2.0.0',
    summary: 'Position of a member, counted from the lowest score, and on demand its score.',
    differences: 'Takes WITHSCORE, as Redis 7.2 does.',
    complexity: 'O(log(N))',
    run: (ctx, args) => rank(ctx, args, false),
  }),
  declareSortedSet({
    name: 'zrevrank',
    arity: -3,
    flags: ['readonly', 'fast'],
    since: '2.0.0',
    summary: 'Position of a member, counted from the highest score, and on demand its score.',
    differences: 'Takes WITHSCORE, as Redis 7.2 does.',
    complexity: 'O(log(N))',
    run: (ctx, args) => rank(ctx, args, true),
  }),
]);
