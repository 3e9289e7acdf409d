/** Declarations of commands that have much in common, written with named fields. */
import type { ClientSession, CommandSpec } from '../command/index.ts';
import type { Reply } from '../protocol/index.ts';

/** What a command on a client's session runs. */
export type SessionFunction = (session: ClientSession, args: readonly Buffer[]) => Reply | Promise<Reply>;

type Shared = Pick<CommandSpec, 'flags' | 'group' | 'aclCategories' | 'complexity'>;

/** A declaration without what it shares with others; `run` is short for a handler on the client's session. */
type OwnFields = Omit<CommandSpec, keyof Shared | 'handler'> &
  Partial<Shared> &
  ({ readonly run: SessionFunction } | { readonly handler: NonNullable<CommandSpec['handler']> });

/** @returns a function that completes a declaration with `shared`; its own fields go first */
export const declareWith =
  (shared: Shared) =>
  (own: OwnFields): CommandSpec => {
    if (!('run' in own)) return { ...shared, ...own };
    const { run, ...fields } = own;
    return { ...shared, ...fields, handler: { kind: 'connection', run } };
  };
