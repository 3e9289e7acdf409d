/** HELP of a container command. */
import type { CommandGroup, CommandSpec } from '../command/index.ts';
import { SimpleString } from '../protocol/index.ts';

/**
 * The HELP subcommand of a container.
 * @param lines what stands between the first line and the description of HELP itself
 */
export function helpCommand(
  container: string,
  group: CommandGroup,
  since: string,
  lines: readonly string[],
): CommandSpec {
  const text = [
    `${container.toUpperCase()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`,
    ...lines,
    'HELP',
    '    Prints this help.',
  ].map((line) => new SimpleString(line));
  return {
    name: 'help',
    arity: 2,
    flags: ['loading', 'stale'],
    group,
    since,
    summary: 'Show helpful text about the different subcommands',
    complexity: 'O(1)',
    handler: { kind: 'connection', run: () => text },
  };
}
