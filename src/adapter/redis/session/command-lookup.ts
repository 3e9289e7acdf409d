/** Which command a client means. */
import { arityAccepts, type CommandTable, type ResolvedCommand, subcommandName } from '../command/index.ts';
import {
  type EncodedReply,
  type ErrorReply,
  errors,
  isHttp,
  unknownCommandReply,
  unknownSubcommandReply,
} from '../protocol/index.ts';

/** There is no such command. */
export class UnknownCommand {
  readonly reply: ErrorReply | EncodedReply;

  constructor(reply: ErrorReply | EncodedReply) {
    this.reply = reply;
  }
}

/** There is such a command, and it was not called as it must be. */
export class MisusedCommand {
  readonly command: ResolvedCommand;
  readonly message: string;

  constructor(command: ResolvedCommand, message: string) {
    this.command = command;
    this.message = message;
  }
}

/** Finds commands by their arguments. Pipelines repeat themselves: it remembers the last one. */
export class CommandLookup {
  private readonly table: CommandTable;
  /** Name buffer of the last command and what it resolved to. */
  private lastName: Buffer | undefined;
  private lastCommand: ResolvedCommand | undefined;

  constructor(table: CommandTable) {
    this.table = table;
  }

  /** @param allowsDebug commands that are for tests only may be called */
  find(args: readonly Buffer[], allowsDebug: boolean): ResolvedCommand | UnknownCommand | MisusedCommand | 'http' {
    const name = args[0]!;
    let command = this.lastCommand;
    if (name !== this.lastName) {
      command = this.table.find(name);
      this.lastName = name;
      this.lastCommand = command;
    }
    if (command === undefined) return isHttp(name) ? 'http' : new UnknownCommand(unknownCommandReply(args));
    if (command.spec.isProtected === true && args.length > 1 && !allowsDebug) {
      return new MisusedCommand(command, errors.notAllowed(command.fullName).message);
    }
    if (command.subcommands !== undefined && args.length > 1) {
      const sub = command.subcommands.get(subcommandName(args[1]!));
      if (sub === undefined) return new UnknownCommand(unknownSubcommandReply(command.fullName, args[1]!));
      command = sub;
    }
    if (!arityAccepts(command.spec.arity, args.length) || command.spec.handler === undefined) {
      return new MisusedCommand(command, errors.wrongArity(command.fullName).message);
    }
    return command;
  }
}
