/** The users as the front end sees them: rules, permissions, the file, and the log of what was not permitted. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import type { Clock, Millis, Scheduler } from '../../../platform/index.ts';
import {
  arityAccepts,
  type CommandTable,
  type DeclaredCommand,
  type Identity,
  type Refusal,
  type ScriptDenial,
  type UserService,
} from '../command/index.ts';
import { errors, RedisError } from '../protocol/index.ts';
import { RecentDenials } from './access-log.ts';
import { UserCaller } from './caller.ts';
import { CATEGORIES } from './categories.ts';
import { type Call, denialOf, denialText, deniedObject, dryRunText } from './permission.ts';
import type { RuleCommands } from './rule-commands.ts';
import { DEFAULT_USER, isUserName, joinSelectors, RefusedRuleError, User, type UserEnvironment } from './user.ts';
import { type KnownIdentity, OPERATOR, type UserDirectory } from './user-directory.ts';
import { readUserFile, UserFileError, writeUserFile } from './user-file.ts';

/** What is answered while the users are not known. */
export const NOT_KNOWN =
  'CLUSTERDOWN this node does not know the users of the cluster now, so it lets in nobody but its operator; nothing was changed, try again later';
const NO_FILE =
  'ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then ' +
  'issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.';
/** Between attempts to store the first users. */
const RETRY_MS: Millis = 1_000;
/** Rules of one user: they travel with the scripts that it calls. */
const MAX_USER_BYTES = 64 * 1024;
const OPERATOR_STAYS = `ERR the user '${OPERATOR}' is in the configuration of each node`;

export interface UsersOptions {
  readonly directory: UserDirectory;
  readonly environment: UserEnvironment;
  readonly commands: RuleCommands;
  readonly table: CommandTable;
  readonly clock: Clock;
  /** Where this node reads and writes users when it is told to; undefined: nowhere. */
  readonly file: string | undefined;
  readonly scheduler: Scheduler;
  /** The users are those of the cluster: its first ones come from the file. */
  readonly isShared: boolean;
  /** Told why the first users are not stored yet. */
  readonly failed: (error: unknown) => void;
  /** How many denials are kept. */
  readonly logEntries: () => number;
}

/** @throws RedisError for rules that would be a burden to each script of the user */
function bounded(user: User): User {
  if (user.encoded.length <= MAX_USER_BYTES) return user;
  throw tooLong();
}

const tooLong = (): RedisError => new RedisError(`ERR the rules of a user have at most ${MAX_USER_BYTES} bytes`);

/** See the top of the file. */
export class Users implements UserService {
  readonly log: RecentDenials;
  readonly categories = CATEGORIES;
  /** The first users of the cluster may have to come from the file: until that is known, nobody is let in without being one. */
  private isBringing: boolean;
  private isBringingNow = false;
  private readonly options: UsersOptions;

  constructor(options: UsersOptions) {
    this.options = options;
    this.isBringing = options.isShared && options.file !== undefined;
    this.log = new RecentDenials(options.clock, options.logEntries);
  }

  get file(): string | undefined {
    return this.options.file;
  }

  get areKnown(): boolean {
    return this.options.directory.areKnown && !this.isBringing;
  }

  get asksWho(): boolean {
    return this.options.directory.asksWho;
  }

  get defaultIdentity(): KnownIdentity {
    return this.options.directory.defaultIdentity;
  }

  admit(name: string, password: Buffer): KnownIdentity | undefined {
    if (name !== OPERATOR) this.requireKnown();
    return this.options.directory.admit(name, password);
  }

  renewed(identity: Identity): Identity | undefined {
    if (identity.isOperator) return identity;
    const now = this.options.directory.find(identity.user.name);
    // The default user of the configuration and the stored one are the same.
    return now !== undefined && (now.born === identity.born || now.user.name === DEFAULT_USER) ? now : undefined;
  }

  all(): readonly User[] {
    this.requireKnown();
    return this.options.directory.all();
  }

  find(name: string): User | undefined {
    this.requireKnown();
    return this.options.directory.find(name)?.user;
  }

  refusalOf(identity: Identity, { spec, fullName }: DeclaredCommand, args: readonly Buffer[]): Refusal | undefined {
    const command = this.options.commands.find(fullName);
    const user = identity.user as User;
    if (command === undefined) return undefined;
    const call: Call = { spec, command, args };
    const denial = denialOf(user, call);
    if (denial === undefined) return undefined;
    return { reason: denial.reason, object: deniedObject(denial, call), text: denialText(denial, fullName) };
  }

  /** The user as it travels with a command. @param clientInfo the client's line of CLIENT LIST */
  callerOf({ user }: Identity, clientInfo: string): UserCaller {
    return new UserCaller(user as User, this.options.commands, clientInfo);
  }

  /** Notes what a script was denied. */
  noteScript({ reason, object, userName, clientInfo }: ScriptDenial): void {
    this.log.add({ reason, context: 'lua', object: Buffer.from(object, 'latin1'), userName, clientInfo });
  }

  mayListen({ user }: Identity, name: Buffer, isPattern: boolean): boolean {
    return (user as User).selectors.some((selector) => selector.permitsChannel(name, isPattern));
  }

  dryRun(name: string, args: readonly Buffer[]): string | undefined {
    const user = this.find(name);
    if (user === undefined) throw new RedisError(`ERR User '${name}' not found`);
    const resolved = this.options.table.resolve(args);
    if (resolved === undefined) throw new RedisError(`ERR Command '${args[0]!.toString('latin1')}' not found`);
    const { spec, fullName } = resolved;
    if (!arityAccepts(spec.arity, args.length) || spec.handler === undefined) throw errors.wrongArity(fullName);
    const call: Call = { spec, command: this.options.commands.find(fullName)!, args };
    const denial = denialOf(user, call);
    return denial && dryRunText(denial, deniedObject(denial, call).toString('latin1'));
  }

  commandsOf(category: string): readonly string[] {
    const commands = this.options.commands.ofCategory(category);
    if (commands === undefined) throw new RedisError(`ERR Unknown category '${category}'`);
    const isHere = (name: string): boolean => this.options.table.findByFullName(name) !== undefined;
    return commands.filter(({ fullName }) => isHere(fullName)).map(({ fullName }) => fullName);
  }

  async set(name: string, words: readonly string[]): Promise<void> {
    if (!isUserName(name)) throw new RedisError("ERR Usernames can't contain spaces or null characters");
    if (name === OPERATOR) throw new RedisError(OPERATOR_STAYS);
    // Before they are looked at: many take long.
    if (words.reduce((length, word) => length + word.length, 0) > MAX_USER_BYTES) throw tooLong();
    const joined = joinSelectors(words);
    if ('unclosed' in joined) {
      throw new RedisError(`ERR Unmatched parenthesis in acl selector starting at '${joined.unclosed}'.`);
    }
    const { directory, environment } = this.options;
    await directory.change((table) => {
      const before =
        table.find(name)?.user ?? (name === DEFAULT_USER ? this.defaultIdentity.user : new User(name, environment));
      try {
        return { table: table.with(bounded(before.changedBy(joined.rules))), result: undefined };
      } catch (error) {
        if (!(error instanceof RefusedRuleError)) throw error;
        throw new RedisError(`ERR Error in ACL SETUSER modifier '${error.rule}': ${error.message}`);
      }
    });
  }

  async remove(names: readonly string[]): Promise<number> {
    if (names.includes(OPERATOR)) throw new RedisError(OPERATOR_STAYS);
    if (names.includes(DEFAULT_USER)) throw new RedisError("ERR The 'default' user cannot be removed");
    return this.options.directory.change((table) => {
      const found = [...new Set(names)].filter((name) => table.find(name) !== undefined);
      return found.length === 0 ? { result: 0 } : { table: table.without(found), result: found.length };
    });
  }

  async load(): Promise<void> {
    const users = await this.read();
    await this.options.directory.change((table) => ({ table: table.replacedBy(users), result: undefined }));
  }

  /** The directory has heard of the users. When there are none those of the file are stored. */
  heard(): void {
    if (!this.isBringing || this.isBringingNow) return;
    this.isBringingNow = true;
    this.bringFirst().then(
      () => {
        this.isBringing = false;
      },
      (error: unknown) => {
        this.options.failed(error);
        this.options.scheduler.after(RETRY_MS, () => {
          this.isBringingNow = false;
          this.heard();
        });
      },
    );
  }

  /** @throws RedisError while users are not known */
  private requireKnown(): void {
    if (!this.areKnown) throw new RedisError(NOT_KNOWN);
  }

  private async bringFirst(): Promise<void> {
    const { directory } = this.options;
    if (directory.stored.revision > 0) return;
    const users = await this.read();
    await directory.change((table) =>
      table.revision > 0 ? { result: undefined } : { table: table.replacedBy(users), result: undefined },
    );
  }

  /** Reads the file to find mistakes in it. @throws RedisError */
  async checkFile(): Promise<void> {
    if (this.options.file !== undefined) await this.read();
  }

  async save(): Promise<void> {
    const { file } = this.options;
    if (file === undefined) throw new RedisError(NO_FILE);
    const written = `${file}.${process.pid}.tmp`;
    try {
      await writeFile(written, writeUserFile(this.all()), { encoding: 'latin1', mode: 0o600, flush: true });
      await rename(written, file);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new RedisError(
        `ERR There was an error trying to save the ACLs. The file ${file} cannot be written (${code})`,
      );
    }
  }

  /** The users of this node's file. @throws RedisError */
  private async read(): Promise<readonly User[]> {
    const { file, environment } = this.options;
    if (file === undefined) throw new RedisError(NO_FILE);
    let text = '';
    try {
      text = await readFile(file, 'latin1');
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new RedisError(`ERR the ACL file ${file} cannot be read (${code})`);
    }
    try {
      return readUserFile(text, file, environment).map(bounded);
    } catch (error) {
      if (!(error instanceof UserFileError)) throw error;
      throw new RedisError(`ERR ${error.message}`);
    }
  }
}
