/** BZPOPMIN, BZPOPMAX and BZMPOP: pops that wait until there is something. */
import { type OrderedBody, openOrdered } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands, LINES } from '../../command/index.ts';
import { DoubleReply, type Reply } from '../../protocol/index.ts';
import { answerFromFirst, KEYS_BEFORE_TIMEOUT, secondsArgument, waitsUntilFirst, waitsUntilLast } from '../blocking.ts';
import { countedKeys, declareWith } from '../declare.ts';
import { type PopEnd, parsePopOfSeveral, poppedFrom, take } from './pops.ts';

function filledSet(ctx: CommandContext, key: Buffer): OrderedBody | undefined {
  const set = openOrdered(ctx, key);
  return set.size === 0 ? undefined : set;
}

/** BZPOPMIN and BZPOPMAX. */
function pop(ctx: CommandContext, args: readonly Buffer[], end: PopEnd): Reply {
  secondsArgument(args.at(-1)!);
  const answer = (key: Buffer, set: OrderedBody): Reply => {
    const [popped] = take(ctx, key, set, end, 1);
    return [Buffer.from(key), popped!.member, new DoubleReply(popped!.score)];
  };
  return answerFromFirst(ctx, args.slice(1, -1), LINES.sortedSet, (key) => filledSet(ctx, key), answer);
}

/** BZMPOP. */
function popOfSeveral(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const { keys, end, count } = parsePopOfSeveral(args.slice(1));
  secondsArgument(args[1]!);
  const answer = (key: Buffer, set: OrderedBody): Reply => poppedFrom(key, take(ctx, key, set, end, count));
  return answerFromFirst(ctx, keys, LINES.sortedSet, (key) => filledSet(ctx, key), answer);
}

const blocking = declareWith({ flags: ['write', 'noscript', 'blocking', 'fast'], group: 'sorted-set' });
const DIFFERENCES =
  'Answers `UNKNOWN` when the node that kept the wait is lost: a member may have been taken. A client in line on the same keys for longer goes first, ' +
  'on whatever node it is.';

export const blockingSortedSetCommands: readonly CommandSpec[] = defineCommands([
  blocking({
    name: 'bzpopmin',
    arity: -3,
    keys: KEYS_BEFORE_TIMEOUT,
    feature: 'redis.messaging',
    since: '5.0.0',
    summary:
      'Removes the member with the lowest score of the first of several keys that has any, and waits until one has.',
    complexity: 'O(N) in the number of keys',
    differences: DIFFERENCES,
    waits: waitsUntilLast,
    handler: { kind: 'data', run: (ctx, args) => pop(ctx, args, 'MIN') },
  }),
  blocking({
    name: 'bzpopmax',
    arity: -3,
    keys: KEYS_BEFORE_TIMEOUT,
    feature: 'redis.messaging',
    since: '5.0.0',
    summary:
      'Removes the member with the highest score of the first of several keys that has any, and waits until one has.',
    complexity: 'O(N) in the number of keys',
    differences: DIFFERENCES,
    waits: waitsUntilLast,
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
    waits: waitsUntilFirst((args) => parsePopOfSeveral(args.slice(1)).keys),
    handler: { kind: 'data', run: popOfSeveral },
  }),
]);
