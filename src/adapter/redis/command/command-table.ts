/** Finds declarations by name. */
import type { CommandSpec } from './command.ts';
import { CommandCounters } from './counters.ts';
import type { CommandCatalogue, DeclaredCommand, RedisFeature } from './declaration.ts';
import { featureOf } from './released-commands.ts';

/** A command as called, with what runs it. */
export interface ResolvedCommand extends DeclaredCommand {
  readonly spec: CommandSpec;
  readonly subcommands: ReadonlyMap<string, ResolvedCommand> | undefined;
  /** Must be active before the command may be used; undefined when every program knows it. */
  readonly feature: RedisFeature | undefined;
}

export class CommandTable implements CommandCatalogue {
  private readonly byName = new Map<string, ResolvedCommand>();
  readonly commands: readonly ResolvedCommand[];
  private readonly bySpec = new Map<CommandSpec, CommandCounters>();

  constructor(specs: readonly CommandSpec[]) {
    for (const spec of specs) this.byName.set(spec.name, resolved(spec));
    this.commands = [...this.byName.values()];
    for (const { spec, counters } of this.callable()) this.bySpec.set(spec, counters);
  }

  *callable(): Iterable<ResolvedCommand> {
    for (const command of this.commands) {
      if (command.spec.handler !== undefined) yield command;
      yield* command.subcommands?.values() ?? [];
    }
  }

  /** The counters of a command of this table. */
  countersOf(spec: CommandSpec): CommandCounters | undefined {
    return this.bySpec.get(spec);
  }

  get size(): number {
    return this.byName.size;
  }

  /** Finds a top-level command; the case of `name` does not matter. */
  find(name: Buffer): ResolvedCommand | undefined {
    return name.length > 64 ? undefined : this.byName.get(name.toString('latin1').toLowerCase());
  }

  resolve(args: readonly Buffer[]): ResolvedCommand | undefined {
    const command = this.find(args[0]!);
    if (command?.subcommands === undefined || args.length < 2) return command;
    return command.subcommands.get(subcommandName(args[1]!));
  }

  findByFullName(name: string): ResolvedCommand | undefined {
    const [top = '', sub] = name.toLowerCase().split('|', 2);
    const command = this.byName.get(top);
    return sub === undefined ? command : command?.subcommands?.get(sub);
  }
}

/** The name of a subcommand as the table knows it. */
export const subcommandName = (argument: Buffer): string => argument.toString('latin1').toLowerCase();

function resolved(spec: CommandSpec): ResolvedCommand {
  const subcommands = spec.subcommands?.map((sub): [string, ResolvedCommand] => [
    sub.name,
    {
      spec: sub,
      fullName: `${spec.name}|${sub.name}`,
      subcommands: undefined,
      counters: new CommandCounters(),
      feature: featureOf(`${spec.name}|${sub.name}`, sub),
    },
  ]);
  return {
    spec,
    fullName: spec.name,
    subcommands: subcommands && new Map(subcommands),
    counters: new CommandCounters(),
    feature: featureOf(spec.name, spec),
  };
}
