/** ZRANDMEMBER. */
import { openOrdered } from '../../bodies/index.ts';
import { type CommandContext, type CommandSpec, defineCommands } from '../../command/index.ts';
import type { Reply } from '../../protocol/index.ts';
import { parseRandomCount } from '../element-random.ts';
import { declareSortedSet } from './declare-sorted-set.ts';
import { memberReply, scoredReply } from './scored-replies.ts';

function randomMembers(ctx: CommandContext, args: readonly Buffer[]): Reply {
  if (args.length === 2) return openOrdered(ctx, args[1]!).random()?.member ?? null;
  const { count, isDistinct, hasOption } = parseRandomCount(args, 'WITHSCORES');
  const set = openOrdered(ctx, args[1]!);
  const members = isDistinct ? set.randomDistinct(count) : set.randomRepeated(count);
  return hasOption ? scoredReply(ctx, members) : memberReply(members);
}

export const randomCommands: readonly CommandSpec[] = defineCommands([
  declareSortedSet({
    name: 'zrandmember',
    arity: -2,
    flags: ['readonly'],
    since: '6.2.0',
    summary: 'Members by chance, different ones or with repetition.',
    differences: 'A negative count is refused below -100,000: Redis answers until its memory is used up.',
    complexity: 'O(M*log(N)) for M members',
    run: randomMembers,
  }),
]);
