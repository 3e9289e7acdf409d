/** Users as commands see them: who comes in, who they are, and how they are changed. Names, rules and patterns are bytes, one a character. */
import type { DeclaredCommand } from './declaration.ts';

/** Commands, keys and channels that are permitted together, as rules. */
export interface SelectorView {
  keyRules(): readonly string[];
  channelRules(): readonly string[];
  commandRules(): readonly string[];
}

export interface UserView {
  readonly name: string;
  /** It may do everything. */
  readonly isUnlimited: boolean;
  /** Any password will do. */
  readonly isOpen: boolean;
  /** It needs no password, and is on. */
  readonly isFree: boolean;
  /** SHA-256, hexadecimal. */
  readonly passwordHashes: readonly string[];
  /** The first is that of the user itself. */
  readonly selectors: readonly SelectorView[];
  flags(): readonly string[];
  /** A line of ACL LIST without the name. */
  describe(): string;
}

/** Who somebody is. */
export interface Identity {
  readonly user: UserView;
  /** Tells the user from one of the same name that was deleted before. */
  readonly born: number;
  /** It is the operator of the configuration: no change of users concerns it. */
  readonly isOperator: boolean;
}

/** Where a command was called that was not permitted. */
export type AccessContext = 'toplevel' | 'multi' | 'lua';

/** What was not permitted. */
export type AccessReason = 'auth' | 'command' | 'key' | 'channel';

/** Something that was not permitted, as often as it happened within a while. */
export interface AccessEntry {
  readonly count: number;
  readonly reason: AccessReason;
  readonly context: AccessContext;
  readonly object: Buffer;
  readonly userName: string;
  /** Since it happened last. */
  readonly ageMs: number;
  /** The client's line of CLIENT LIST when it happened last. */
  readonly clientInfo: string;
}

/** What was not permitted on this node. */
export interface AccessLog {
  add(denied: Omit<AccessEntry, 'count' | 'ageMs'>): void;
  /** The newest first. */
  entries(count: number): readonly AccessEntry[];
  reset(): void;
}

/** Why a call is not permitted. */
export interface Refusal {
  readonly reason: Exclude<AccessReason, 'auth'>;
  /** The command, the key or the channel. */
  readonly object: Buffer;
  /** The error that the client gets. */
  readonly text: string;
}

/** What a script was not permitted, as it is noted. */
export interface ScriptDenial {
  readonly reason: Exclude<AccessReason, 'auth'>;
  /** Bytes, one a character. */
  readonly object: string;
  readonly userName: string;
  readonly clientInfo: string;
}

/** The user who has called a script, where the script runs. Left out where everything is permitted. */
export interface ScriptCaller {
  readonly userName: string;
  /** The client's line of CLIENT LIST. */
  readonly clientInfo: string;
  /** Why the user may not run a command, with the error that a script gets; undefined when it may. The arity must have been checked. */
  refusalOf(command: DeclaredCommand, args: readonly Buffer[]): Refusal | undefined;
  /** Whether the user may read keys that the command finds by what it reads. */
  mayFindKeys(commandName: string, args: readonly Buffer[]): boolean;
  /** To be sent to another node. */
  encode(): Buffer;
}

/** The users of the cluster as this node knows them. */
export interface UserService {
  /** False while users may be stored that this node does not know, or not any more. */
  readonly areKnown: boolean;
  /** Clients have to give a password, or may be other users than `default`. */
  readonly asksWho: boolean;
  /** Who a client is that has not said it. */
  readonly defaultIdentity: Identity;
  readonly log: AccessLog;
  /** Where ACL LOAD and ACL SAVE read and write; undefined: nowhere. */
  readonly file: string | undefined;
  /** Who comes in with a name and a password; undefined: nobody. Takes the same time whatever is wrong. */
  admit(name: string, password: Buffer): Identity | undefined;
  /** What became of a user; undefined when it was deleted. */
  renewed(identity: Identity): Identity | undefined;
  /** In order of their names. */
  all(): readonly UserView[];
  find(name: string): UserView | undefined;
  /** Why a user may not run a command; undefined when it may. The arity must have been checked. */
  refusalOf(identity: Identity, command: DeclaredCommand, args: readonly Buffer[]): Refusal | undefined;
  /** Whether a user may listen to a channel, or to a pattern. */
  mayListen(identity: Identity, name: Buffer, isPattern: boolean): boolean;
  /** ACL DRYRUN. @returns why not; undefined: the user may run the command @throws RedisError */
  dryRun(name: string, args: readonly Buffer[]): string | undefined;
  /** The categories that there are, as Redis lists them. */
  readonly categories: readonly string[];
  /** Names of the commands of a category. @throws RedisError for one that does not exist */
  commandsOf(category: string): readonly string[];
  /** ACL SETUSER: all rules or none. @throws RedisError */
  set(name: string, words: readonly string[]): Promise<void>;
  /** ACL DELUSER. @returns how many there were @throws RedisError */
  remove(names: readonly string[]): Promise<number>;
  /** ACL LOAD: the users of this node's file and no others. @throws RedisError */
  load(): Promise<void>;
  /** ACL SAVE: writes the users into this node's file. @throws RedisError */
  save(): Promise<void>;
}
