/**
 * The user who runs a script, at the leader that runs it: the rules travel with the command, because a leader may have others for a moment, and
 * need not know the user at all.
 */
import { ByteReader, ByteWriter } from '../../../platform/index.ts';
import type { CommandCatalogue, DeclaredCommand, Refusal, ScriptCaller } from '../command/index.ts';
import { type Call, denialOf, deniedObject, scriptDenialText } from './permission.ts';
import { RuleCommands } from './rule-commands.ts';
import { User, type UserEnvironment, type UserParts } from './user.ts';

/** Users whose rules were read, so that a pipeline of scripts reads them once. */
const KEPT = 64;

/** A user as a caller, with a line that says who its client is. */
export class UserCaller implements ScriptCaller {
  readonly clientInfo: string;
  private readonly user: User;
  private readonly commands: RuleCommands;

  constructor(user: User, commands: RuleCommands, clientInfo: string) {
    this.user = user;
    this.commands = commands;
    this.clientInfo = clientInfo;
  }

  get userName(): string {
    return this.user.name;
  }

  refusalOf({ spec, fullName }: DeclaredCommand, args: readonly Buffer[]): Refusal | undefined {
    const call: Call = { spec, command: this.commands.find(fullName)!, args };
    const denial = denialOf(this.user, call);
    if (denial === undefined) return undefined;
    return { reason: denial.reason, object: deniedObject(denial, call), text: scriptDenialText(denial) };
  }

  mayFindKeys(commandName: string, args: readonly Buffer[]): boolean {
    const command = this.commands.find(commandName);
    return this.user.selectors.some(
      (selector) => selector.permitsReadingAnyKey && command !== undefined && selector.permitsCommand(command, args),
    );
  }

  encode(): Buffer {
    return new ByteWriter().bytes(this.user.encoded).bytes(Buffer.from(this.clientInfo, 'latin1')).finish();
  }
}

/** Reads callers that came with commands. */
export class Callers {
  private readonly catalogue: Pick<CommandCatalogue, 'commands'>;
  private known: RuleCommands | undefined;
  private readonly read = new Map<string, User>();

  constructor(catalogue: Pick<CommandCatalogue, 'commands'>) {
    this.catalogue = catalogue;
  }

  get commands(): RuleCommands {
    this.known ??= new RuleCommands(this.catalogue);
    return this.known;
  }

  /** @throws SyntaxError, RangeError for bytes that no caller was written as */
  decode(bytes: Buffer): UserCaller {
    const reader = new ByteReader(bytes, 'a caller', RangeError);
    const text = reader.view().toString();
    const clientInfo = reader.view().toString('latin1');
    let user = this.read.get(text);
    if (user === undefined) {
      const environment: UserEnvironment = { commands: this.commands, allChannels: false };
      user = User.fromParts(JSON.parse(text) as UserParts, environment);
      if (this.read.size >= KEPT) this.read.clear();
      this.read.set(text, user);
    }
    return new UserCaller(user, this.commands, clientInfo);
  }
}
