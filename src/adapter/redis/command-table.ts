/** Finds declarations by name. */
import type { CommandSpec } from './command.ts';
import { CommandCounters } from './command-counters.ts';

/** A command as called: the declaration that runs, and its full name such as `client|setname`. */
export interface ResolvedCommand {
  readonly spec: CommandSpec;
  /** Lower case; `container|sub` for a subcommand. */
  readonly fullName: string;
  /** The container's declaration for a subcommand, else the same as `spec`. */
  readonly top: CommandSpec;
  /** Subcommands by lower-case name; undefined when there are none. */
  readonly subcommands: ReadonlyMap<string, ResolvedCommand> | undefined;
  readonly counters: CommandCounters;
}

export class CommandTable {
  private readonly byName = new Map<string, ResolvedCommand>();
  /** The commands in order of declaration. */
  readonly commands: readonly ResolvedCommand[];

  constructor(specs: readonly CommandSpec[]) {
    for (const spec of specs) this.byName.set(spec.name, resolved(spec));
    this.commands = [...this.byName.values()];
  }

  /** All that can be called, subcommands too. */
  *callable(): Iterable<ResolvedCommand> {
    for (const command of this.commands) {
      if (command.spec.handler !== undefined) yield command;
      yield* command.subcommands?.values() ?? [];
    }
  }

  get size(): number {
    return this.byName.size;
  }

  /** Finds a top-level command; the case of `name` does not matter. */
  find(name: Buffer): ResolvedCommand | undefined {
    return name.length > 64 ? undefined : this.byName.get(name.toString('latin1').toLowerCase());
  }

  /** Finds by name in COMMAND INFO's notation: `get`, `config|get`. */
  findByFullName(name: string): ResolvedCommand | undefined {
    const [top = '', sub] = name.toLowerCase().split('|', 2);
    const command = this.byName.get(top);
    return sub === undefined ? command : command?.subcommands?.get(sub);
  }
}

function resolved(spec: CommandSpec): ResolvedCommand {
  const subcommands = spec.subcommands?.map((sub): [string, ResolvedCommand] => [
    sub.name,
    {
      spec: sub,
      fullName: `${spec.name}|${sub.name}`,
      top: spec,
      subcommands: undefined,
      counters: new CommandCounters(),
    },
  ]);
  return {
    spec,
    fullName: spec.name,
    top: spec,
    subcommands: subcommands && new Map(subcommands),
    counters: new CommandCounters(),
  };
}
