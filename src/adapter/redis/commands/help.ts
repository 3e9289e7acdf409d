/** HELP of a container command. */
import type { CommandGroup, CommandSpec } from '../command/index.ts';
import { SimpleString } from '../protocol/index.ts';

export interface HelpOptions {
  /** Name of the container. */
  readonly container: string;
  readonly group: CommandGroup;
  readonly since: string;
  /** ACL categories that it has as a subcommand of its container. */
  readonly aclCategories?: readonly string[];
  /** What stands between the first line and the description of HELP itself: a subcommand's syntax, and below it indented what it does. */
  readonly lines: readonly string[];
}

/** The HELP subcommand of a container. */
export function helpCommand({ container, group, since, aclCategories, lines }: HelpOptions): CommandSpec {
  const text = [
    `${container.toUpperCase()} <subcommand> [<argument> ...], where <subcommand> is one of:`,
    ...lines,
    'HELP',
    '    Shows these lines.',
  ].map((line) => new SimpleString(line));
  return {
    name: 'help',
    arity: 2,
    flags: ['loading', 'stale'],
    group,
    since,
    ...(aclCategories === undefined ? {} : { aclCategories }),
    summary: 'Explains the subcommands.',
    complexity: 'O(1)',
    handler: { kind: 'connection', run: () => text },
  };
}
