/** What the declarations of sorted-set commands have in common. */
import type { CommandContext, CommandSpec } from '../../command/index.ts';
import type { Reply } from '../../protocol/index.ts';

/** `run` is short for a handler of data. */
type OwnFields = Omit<CommandSpec, 'group' | 'handler'> &
  (
    | { run(ctx: CommandContext, args: readonly Buffer[]): Reply }
    | { readonly handler: NonNullable<CommandSpec['handler']> }
  );

/** A data command of the group, on one key unless it says otherwise. */
export function declareSortedSet(own: OwnFields): CommandSpec {
  const shared = { keys: { first: 1, last: 1, step: 1 }, group: 'sorted-set' } as const;
  if (!('run' in own)) return { ...shared, ...own };
  const { run, ...fields } = own;
  return { ...shared, ...fields, handler: { kind: 'data', run } };
}
