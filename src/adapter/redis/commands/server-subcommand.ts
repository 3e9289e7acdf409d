/** Subcommands of the containers that look at or change the server: all answered by the node that the client is on. */

import type { ClientSession, CommandSpec } from '../command/index.ts';
import type { Reply } from '../protocol/index.ts';

type Run = (session: ClientSession, args: readonly Buffer[]) => Reply;

/** Makes the declarations of one container's subcommands, which have flags and categories in common. */
export const serverSubcommand =
  (common: Pick<CommandSpec, 'flags' | 'aclCategories'>) =>
  (name: string, arity: number, since: string, summary: string, complexity: string, run: Run): CommandSpec => ({
    name,
    arity,
    ...common,
    group: 'server',
    since,
    summary,
    complexity,
    handler: { kind: 'connection', run },
  });
