/**
/**
 * What tools ask of any server before they do anything else, for features that there is nothing of here: modules, users.
 * The answers are those of a Redis on which none was set up.
 */

import { type CommandGroup, type CommandSpec, defineCommands } from '../../command/index.ts';
import { declareWith } from '../declare.ts';
import { helpCommand } from '../help.ts';

/** A container without a handler of its own. */
const container = (
  name: string,
  group: CommandGroup,
  since: string,
  subcommands: readonly CommandSpec[],
): CommandSpec => ({
  name,
  arity: -2,
  flags: [],
  group,
  since,
  summary: `Has the ${name} commands.`,
  complexity: 'That of the subcommand',
  subcommands,
});

const server = { group: 'server', complexity: 'O(1)' } as const;
const NO_MODULES = { differences: 'There are no modules.' } as const;
const modules = declareWith({ ...server, ...NO_MODULES, flags: ['admin', 'noscript'] });

export const diagnosticCommands = defineCommands([
  container('module', 'server', '4.0.0', [
    helpCommand({
      container: 'module',
      group: 'server',
      since: '5.0.0',
      lines: ['LIST', '    The modules of the server; there are none.'],
    }),
    modules({
      name: 'list',
      arity: 2,
      since: '4.0.0',
      summary: 'The modules of the server; there are none.',
      run: () => [],
    }),
  ]),
]);
