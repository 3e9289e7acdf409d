/** What the declarations of sorted-set commands have in common. */
import type { CommandContext, CommandSpec } from '../../command/index.ts';
import type { Reply } from '../../protocol/index.ts';

type OwnFields = Omit<CommandSpec, 'group' | 'handler'> & {
  run(ctx: CommandContext, args: readonly Buffer[]): Reply;
};

/** A data command of the group, on one key unless it says otherwise. */
export const declareSortedSet = ({ run, ...own }: OwnFields): CommandSpec => ({
  keys: { first: 1, last: 1, step: 1 },
  group: 'sorted-set',
  ...own,
  handler: { kind: 'data', run },
});
