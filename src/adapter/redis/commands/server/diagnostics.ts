/**
 * What tools ask of any server before they do anything else, for what there is nothing of here: modules. The answers are those of a Redis that has
 * none.
 */
import { defineCommands } from '../../command/index.ts';
import { declareWith } from '../declare.ts';
import { helpCommand } from '../help.ts';

const sub = declareWith({
  group: 'server',
  complexity: 'O(1)',
  differences: 'There are no modules.',
  flags: ['admin', 'noscript'],
});

export const moduleCommands = defineCommands([
  {
    name: 'module',
    arity: -2,
    flags: [],
    group: 'server',
    since: '4.0.0',
    summary: 'Has the module commands.',
    complexity: 'That of the subcommand',
    subcommands: [
      helpCommand({
        container: 'module',
        group: 'server',
        since: '5.0.0',
        lines: ['LIST', '    The modules of the server; there are none.'],
      }),
      sub({
        name: 'list',
        arity: 2,
        since: '4.0.0',
        summary: 'The modules of the server; there are none.',
        run: () => [],
      }),
    ],
  },
]);
