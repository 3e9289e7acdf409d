/** BZPOPMIN, BZPOPMAX and BZMPOP: pops that wait until there is something. */
import { openOrdered } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands, LINES, nothingYet } from '../../command/index.ts';
import { DoubleReply, NIL_ARRAY, type Reply } from '../../protocol/index.ts';
import { firstWithSomething, patienceIn, secondsArgument } from '../blocking.ts';
import { countedKeys, declareWith } from '../declare.ts';
import { type PopEnd, parsePopOfSeveral, poppedFrom, take } from './pops.ts';

function filledSet(ctx: CommandContext, key: Buffer) {
  const set = openOrdered(ctx, key);
  return set.size === 0 ? undefined : set;
}

/** BZPOPMIN and BZPOPMAX. */
function pop(ctx: CommandContext, args: readonly Buffer[], end: PopEnd): Reply {
  secondsArgument(args.at(-1)!);
  const keys = args.slice(1, -1);
  const found = firstWithSomething(ctx, keys, (key) => filledSet(ctx, key));
  if (found === undefined) return nothingYet(ctx, keys, LINES.sortedSet, NIL_ARRAY);
  const [popped] = take(ctx, found.key, found.value, end, 1);
  return [Buffer.from(found.key), popped!.member, new DoubleReply(popped!.score)];
}

/** BZMPOP. */
function popOfSeveral(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const { keys, end, count } = parsePopOfSeveral(args.slice(1));
  secondsArgument(args[1]!);
  const found = firstWithSomething(ctx, keys, (key) => filledSet(ctx, key));
  if (found === undefined) return nothingYet(ctx, keys, LINES.sortedSet, NIL_ARRAY);
  return poppedFrom(found.key, take(ctx, found.key, found.value, end, count));
}

const blocking = declareWith({ flags: ['write', 'noscript', 'blocking', 'fast'], group: 'sorted-set' });
const DIFFERENCES =
  'Answers `UNKNOWN` when the node that kept the wait is lost: a member may have been taken. A client in line on the same keys for longer goes first, ' +
  'on whatever node it is.';

const MANY_KEYS = { first: 1, last: -2, step: 1 } as const;
const waits = {
  patienceMs: (args: readonly Buffer[]) => patienceIn(args.at(-1)),
  keys: (args: readonly Buffer[]) => args.slice(1, -1),
  atTimeout: NIL_ARRAY,
} as const;

export const blockingSortedSetCommands: readonly CommandSpec[] = defineCommands([
  blocking({
    name: 'bzpopmin',
    arity: -3,
    keys: MANY_KEYS,
    feature: 'redis.messaging',
    since: '5.0.0',
    summary:
      'Removes the member with the lowest score of the first of several keys that has any, and waits until one has.',
    complexity: 'O(N) in the number of keys',
    differences: DIFFERENCES,
    waits,
    handler: { kind: 'data', run: (ctx, args) => pop(ctx, args, 'MIN') },
  }),
  blocking({
    name: 'bzpopmax',
    arity: -3,
    keys: MANY_KEYS,
    feature: 'redis.messaging',
    since: '5.0.0',
    summary:
      'Removes the member with the highest score of the first of several keys that has any, and waits until one has.',
    complexity: 'O(N) in the number of keys',
    differences: DIFFERENCES,
    waits,
    handler: { kind: 'data', run: (ctx, args) => pop(ctx, args, 'MAX') },
  }),
  blocking({
    name: 'bzmpop',
    arity: -5,
    flags: ['write', 'blocking', 'movablekeys'],
    keys: countedKeys(2),
    feature: 'redis.messaging',
    since: '7.0.0',
    summary:
      'Removes members with the lowest or highest scores from the first of several keys that has any, and waits until one has.',
    complexity: 'O(K+M) for K keys and M members',
    differences: DIFFERENCES,
    waits: {
      patienceMs: (args) => patienceIn(args[1]),
      keys: (args) => parsePopOfSeveral(args.slice(1)).keys,
      atTimeout: NIL_ARRAY,
    },
    handler: { kind: 'data', run: popOfSeveral },
  }),
]);
