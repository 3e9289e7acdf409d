/** BLPOP, BRPOP, BLMPOP, BLMOVE and BRPOPLPUSH: what is done at the ends of lists, once there is something. */
import { type ListBody, openList } from '../../bodies/index.ts';
import {
  type CommandContext,
  type CommandSpec,
  defineCommands,
  LINES,
  lookedAt,
  nothingYet,
  type WaitingSpec,
} from '../../command/index.ts';
import type { Reply } from '../../protocol/index.ts';
import {
  answerFromFirst,
  KEYS_BEFORE_TIMEOUT,
  passingOver,
  secondsArgument,
  waitsUntilFirst,
  waitsUntilLast,
} from '../blocking.ts';
import { countedKeys, declareWith } from '../declare.ts';
import { type End, endArgument, moveFrom, parsePopOfSeveral, take } from './ends.ts';

function filledList(ctx: CommandContext, key: Buffer): ListBody | undefined {
  const list = openList(ctx, key);
  return list.length === 0 ? undefined : list;
}

/** BLPOP and BRPOP. */
function pop(ctx: CommandContext, args: readonly Buffer[], end: End): Reply {
  secondsArgument(args.at(-1)!);
  const answer = (key: Buffer, list: ListBody): Reply => [Buffer.from(key), take(ctx, key, list, end, 1)[0]!];
  return answerFromFirst(ctx, args.slice(1, -1), LINES.list, (key) => filledList(ctx, key), answer);
}

/** BLMPOP. */
function popOfSeveral(ctx: CommandContext, args: readonly Buffer[]): Reply {
  const { keys, end, count } = parsePopOfSeveral(args.slice(1));
  secondsArgument(args[1]!);
  const answer = (key: Buffer, list: ListBody): Reply => [Buffer.from(key), take(ctx, key, list, end, count)];
  return answerFromFirst(ctx, keys, LINES.list, (key) => filledList(ctx, key), answer);
}

function move(ctx: CommandContext, args: readonly Buffer[], ends: readonly [End, End]): Reply {
  secondsArgument(args.at(-1)!);
  const keys = [args[1]!, args[2]!] as const;
  const isLookedAt = lookedAt(ctx, [keys[0]]).length > 0;
  const source = isLookedAt ? passingOver(ctx, () => filledList(ctx, keys[0])) : undefined;
  if (source === undefined) return nothingYet(ctx, [keys[0]], LINES.list, null);
  return moveFrom(ctx, source, keys, ends);
}

const blocking = declareWith({ flags: ['write', 'noscript', 'blocking'], group: 'list' });
const DIFFERENCES =
  'Answers `UNKNOWN` when the node that kept the wait is lost: a value may have been taken. A client in line on the same keys for longer goes first, on ' +
  'whatever node it is.';

const TWO_KEYS = { first: 1, last: 2, step: 1 } as const;

const source: WaitingSpec = { ...waitsUntilLast, keys: (args) => [args[1]!] };

export const blockingListCommands: readonly CommandSpec[] = defineCommands([
  blocking({
    name: 'blpop',
    arity: -3,
    keys: KEYS_BEFORE_TIMEOUT,
    feature: 'redis.messaging',
    since: '2.0.0',
    summary: 'Takes the first value of the first of several lists that has any, and waits until one has.',
    complexity: 'O(N) in the number of keys',
    differences: DIFFERENCES,
    waits: waitsUntilLast,
    handler: { kind: 'data', run: (ctx, args) => pop(ctx, args, 'first') },
  }),
  blocking({
    name: 'brpop',
    arity: -3,
    keys: KEYS_BEFORE_TIMEOUT,
    feature: 'redis.messaging',
    since: '2.0.0',
    summary: 'Takes the last value of the first of several lists that has any, and waits until one has.',
    complexity: 'O(N) in the number of keys',
    differences: DIFFERENCES,
    waits: waitsUntilLast,
    handler: { kind: 'data', run: (ctx, args) => pop(ctx, args, 'last') },
  }),
  blocking({
    name: 'blmpop',
    arity: -5,
    flags: ['write', 'blocking', 'movablekeys'],
    keys: countedKeys(2),
    feature: 'redis.messaging',
    since: '7.0.0',
    summary: 'Takes values from an end of the first of several lists that has any, and waits until one has.',
    complexity: 'O(N + M) in the number of keys and of values',
    differences: DIFFERENCES,
    waits: waitsUntilFirst((args) => parsePopOfSeveral(args.slice(1)).keys),
    handler: { kind: 'data', run: popOfSeveral },
  }),
  blocking({
    name: 'blmove',
    arity: 6,
    flags: ['write', 'denyoom', 'noscript', 'blocking'],
    keys: TWO_KEYS,
    feature: 'redis.messaging',
    since: '6.2.0',
    summary: 'Takes a value from an end of one list and puts it to an end of another, and waits until there is one.',
    complexity: 'O(1)',
    differences: DIFFERENCES,
    waits: source,
    handler: {
      kind: 'data',
      run: (ctx, args) => move(ctx, args, [endArgument(args[3]!), endArgument(args[4]!)]),
    },
  }),
  blocking({
    name: 'brpoplpush',
    arity: 4,
    flags: ['write', 'denyoom', 'noscript', 'blocking'],
    keys: TWO_KEYS,
    feature: 'redis.messaging',
    since: '2.2.0',
    summary: 'Takes the last value of one list and puts it in front of another, and waits until there is one.',
    complexity: 'O(1)',
    differences: DIFFERENCES,
    waits: source,
    handler: { kind: 'data', run: (ctx, args) => move(ctx, args, ['last', 'first']) },
  }),
]);
