/**
 * The commands that rules are about: those of this server and those of Redis 7.0 that there are not here, so that rules written for Redis are
 * taken. A rule's set of commands is a bit for each.
 */
import type { CommandCatalogue } from '../command/index.ts';
import { CATEGORIES, categoriesOf } from './categories.ts';
import { REDIS_COMMANDS } from './redis-commands.ts';

/** A command or a subcommand. */
export interface RuleCommand {
  /** Its bit. */
  readonly id: number;
  /** Lower case; `container|sub` for a subcommand. */
  readonly fullName: string;
  readonly isSubcommand: boolean;
  readonly categories: ReadonlySet<string>;
  /** Undefined when there are none. */
  subcommands: RuleCommand[] | undefined;
  /** Redis 7.0 has it: counted when categories are sought that describe a set of commands. */
  readonly isCounted: boolean;
}

export class RuleCommands {
  private readonly byName = new Map<string, RuleCommand>();
  /** Commands that are no subcommands, each before its own. */
  readonly tops: readonly RuleCommand[];
  readonly all: readonly RuleCommand[];

  constructor(catalogue: Pick<CommandCatalogue, 'commands'>) {
    const ofRedis = new Map<string, readonly string[]>();
    for (const [categories, names] of REDIS_COMMANDS) {
      for (const name of names.split(' ')) ofRedis.set(name, categories.split(' '));
    }
    for (const command of catalogue.commands) {
      for (const each of [command, ...(command.subcommands?.values() ?? [])]) {
        this.add(each.fullName, categoriesOf(each), ofRedis.has(each.fullName));
      }
    }
    for (const [name, categories] of [...ofRedis].sort(([one], [other]) => (one < other ? -1 : 1))) {
      if (!this.byName.has(name)) this.add(name, categories, true);
    }
    this.all = [...this.byName.values()];
    this.tops = this.all.filter(({ isSubcommand }) => !isSubcommand);
  }

  private add(fullName: string, categories: readonly string[], isCounted: boolean): void {
    const [parent, sub] = fullName.split('|', 2);
    const command: RuleCommand = {
      id: this.byName.size,
      fullName,
      isSubcommand: sub !== undefined,
      categories: new Set(categories),
      subcommands: undefined,
      isCounted,
    };
    this.byName.set(fullName, command);
    if (sub === undefined) return;
    const container = this.byName.get(parent!)!;
    container.subcommands ??= [];
    container.subcommands.push(command);
  }

  get size(): number {
    return this.all.length;
  }

  /** Finds a command as a rule names it; the case does not matter. */
  find(name: string): RuleCommand | undefined {
    return this.byName.get(name.toLowerCase());
  }

  /** Commands and subcommands of a category; undefined when there is no such category. */
  ofCategory(name: string): readonly RuleCommand[] | undefined {
    const category = CATEGORIES.find((one) => one === name.toLowerCase());
    return category === undefined ? undefined : this.all.filter(({ categories }) => categories.has(category));
  }
}
