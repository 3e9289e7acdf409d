/**
 * What a command says about itself: name, arity, flags, key positions and documentation as data. COMMAND, routing and redirects read
 * nothing else; `command.ts` adds how it runs.
 */
import type { CommandCounters } from './counters.ts';

/** Flags as COMMAND INFO reports them. */
export type CommandFlag =
  | 'write'
  | 'readonly'
  | 'denyoom'
  | 'admin'
  | 'noscript'
  | 'blocking'
  | 'loading'
  | 'stale'
  | 'skip_monitor'
  | 'skip_slowlog'
  | 'fast'
  | 'no_auth'
  | 'no_multi'
  | 'movablekeys'
  | 'allow_busy'
  | 'no_async_loading'
  | 'no_mandatory_keys'
  | 'random'
  | 'protected'
  | 'pubsub';

/** Groups of Redis' documentation. */
export type CommandGroup =
  | 'string'
  | 'bitmap'
  | 'generic'
  | 'connection'
  | 'cluster'
  | 'server'
  | 'transactions'
  | 'hash'
  | 'list'
  | 'set'
  | 'sorted-set'
  | 'stream'
  | 'pubsub'
  | 'scripting'
  | 'hyperloglog'
  | 'geo';

/** Positions of keys among a command's arguments. `last` may be negative: -1 is the last argument. */
export interface KeyRangePositions {
  readonly first: number;
  readonly last: number;
  readonly step: number;
}

/** Finds keys that move. The arity was checked; there are no keys when the arguments make no sense. */
export type KeyFinder = (args: readonly Buffer[]) => number[];

/**
 * Positions of a command's keys among its arguments, the command's name being argument 0. The function form is for commands whose keys
 * move, the form with `all` for those of them whose first keys do not.
 */
export type KeyPositions = KeyRangePositions | KeyFinder | (KeyRangePositions & { readonly all: KeyFinder });

/** Keys that a command finds as it is evaluated, by what it reads: all that a pattern makes. */
export interface FoundKeys {
  readonly pattern: Buffer;
  /** Where in the pattern any bytes take the place of one. */
  readonly star: number;
  /** The error, as it stands on the wire, for clients that choose the node by the keys: they could not have known these. */
  readonly refusal: string;
}

/** Features of the cluster that the front end asks for; commands wait for the first four. */
export type RedisFeature =
  | 'redis.collections'
  | 'redis.messaging'
  | 'redis.streams'
  | 'redis.acl'
  | 'redis.chains'
  | 'redis.across'
  | 'reads.points';

/** What is known of a command apart from how it runs. */
export interface CommandDeclaration {
  /** Lower case; of a subcommand only its own word. */
  readonly name: string;
  /** Number of arguments including the name (and the container's); negative is "at least". */
  readonly arity: number;
  readonly flags: readonly CommandFlag[];
  readonly keys?: KeyPositions;
  /** A key of another database that the command touches too (COPY ... DB n, MOVE), or touches only; undefined when there is none. */
  keyElsewhere?(args: readonly Buffer[]): { readonly db: number; readonly key: Buffer } | undefined;
  /** Keys that are no arguments (SORT's BY and GET). They may be in other groups than those that are. */
  findsKeys?(args: readonly Buffer[]): readonly FoundKeys[];
  /** The command reads and writes whatever keys it likes, wherever they are: those that it names only say where it begins. */
  readonly findsAnyKey?: boolean;
  /**
   * Whether a call may write, where the command's flags do not say it: one that writes nothing although others of the command do, or one that only
   * reads as far as clients can tell, and keeps its answer in the value for the next time.
   */
  writes?(args: readonly Buffer[]): boolean;
  /** Positions of channels that have slots: COMMAND shows them as it shows keys, and they are none. */
  readonly slotChannels?: KeyRangePositions;
  /** Begins when everything is done that the client has sent before. */
  readonly isBehindAll?: boolean;
  /** Must be active before the command may be used; left out: what release 0.1.0 says. */
  readonly feature?: RedisFeature;
  readonly group: CommandGroup;
  /** First Redis version that had it. */
  readonly since: string;
  readonly summary: string;
  readonly complexity?: string;
  /** How it differs from Redis 7.0, for users: plain sentences with their reason, shown in docs/redis.md. */
  readonly differences?: string;
  /**
   * Left out for what does what it says. `empty`: answers as a Redis does on which nothing of the kind was set up or has happened, for tools that
   * ask any server; `refused`: always an error that says why.
   */
  readonly standing?: 'empty' | 'refused';
  /** Refused unless the setting `redis.enableDebugCommand` is on; of a container with all that it has. */
  readonly isProtected?: boolean;
  /** ACL categories without `@`, beyond those that follow from the flags and the group. */
  readonly aclCategories?: readonly string[];
}

/** A command as called: its declaration, and its full name such as `client|setname`. */
export interface DeclaredCommand {
  readonly spec: CommandDeclaration;
  /** Lower case; `container|sub` for a subcommand. */
  readonly fullName: string;
  /** Subcommands by lower-case name; undefined when there are none. */
  readonly subcommands: ReadonlyMap<string, DeclaredCommand> | undefined;
  readonly counters: CommandCounters;
}

/** All commands of a server, for those that describe them. */
export interface CommandCatalogue {
  /** The commands in order of declaration. */
  readonly commands: readonly DeclaredCommand[];
  readonly size: number;
  /** All that can be called, subcommands too. */
  callable(): Iterable<DeclaredCommand>;
  /** Finds by name in COMMAND INFO's notation: `get`, `config|get`. */
  findByFullName(name: string): DeclaredCommand | undefined;
  /** The declaration that a command's arguments call for, subcommands resolved; undefined when there is none. */
  resolve(args: readonly Buffer[]): DeclaredCommand | undefined;
}

/** True when `count` arguments (the name included) satisfy an arity. */
export const arityAccepts = (arity: number, count: number): boolean => (arity > 0 ? count === arity : count >= -arity);

/** True when a call may write. The arity must have been checked. */
export const mayWrite = (spec: Pick<CommandDeclaration, 'flags' | 'writes'>, args: readonly Buffer[]): boolean =>
  spec.writes?.(args) ?? spec.flags.includes('write');

/** Indexes in `args` of the command's keys. The arity must have been checked. */
export function keyIndexes(spec: Pick<CommandDeclaration, 'keys'>, args: readonly Buffer[]): number[] {
  const { keys } = spec;
  if (keys === undefined) return [];
  if (typeof keys === 'function') return keys(args);
  if ('all' in keys) return keys.all(args);
  const last = keys.last < 0 ? args.length + keys.last : keys.last;
  const indexes: number[] = [];
  for (let index = keys.first; index <= last; index += keys.step) indexes.push(index);
  return indexes;
}
