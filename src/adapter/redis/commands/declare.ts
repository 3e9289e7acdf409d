/** Declarations of commands that have much in common, written with named fields. */
import type { ClientSession, CommandSpec, KeyFinder } from '../command/index.ts';
import { parseShortInteger, type Reply } from '../protocol/index.ts';

/** What a command on a client's session runs. */
export type SessionFunction = (session: ClientSession, args: readonly Buffer[]) => Reply | Promise<Reply>;

type Shared = Pick<CommandSpec, 'flags' | 'group' | 'aclCategories' | 'complexity' | 'standing' | 'differences'>;

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

/**
 * Keys behind an argument that says how many there are; none when it makes no sense, which the handler finds out before it reads any.
 * @param at position of that argument
 * @param before positions of keys in front of it
 */
export const countedKeys =
  (at: number, ...before: readonly number[]): KeyFinder =>
  (args) => {
    const count = parseShortInteger(args[at]!);
    // Written so that NaN is refused as well.
    if (!(count >= 1 && count < args.length - at)) return [];
    return [...before, ...Array.from({ length: count }, (_, nth) => at + 1 + nth)];
  };
