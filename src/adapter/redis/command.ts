/**
 * One command, one declaration: name, arity, flags, key positions and handler are data, from which dispatch, COMMAND and
 * its documentation all come. A new data type adds a file under `commands/` that exports `defineCommands([...])` and one
 * line in `commands/index.ts`.
 */

import type { KeyView } from '../../kv/index.ts';
import { assert, type Random } from '../../platform/index.ts';
import type { Connection } from './connection.ts';
import type { Keyspace } from './keyspace.ts';
import type { Reply } from './reply.ts';
import type { ScanContext } from './scan-context.ts';

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

/**
 * Positions of a command's keys among its arguments, the command's name being argument 0. `last` may be negative: -1 is
 * the last argument. The function form is for commands whose keys move (it may assume that the arity was checked, and
 * answers no keys when it cannot make sense of the arguments).
 */
export type KeyPositions =
  | { readonly first: number; readonly last: number; readonly step: number }
  | ((args: readonly Buffer[]) => number[]);

/** What a data command works with. Made anew for each evaluation. */
export interface CommandContext {
  /** Reads and writes by storage key; prefer the accessors of `keyspace.ts`. */
  readonly view: KeyView;
  /** The database that the connection has selected. */
  readonly keyspace: Keyspace;
  /** The view's timestamp in unix milliseconds: the command's idea of now. */
  readonly nowMs: number;
  readonly resp: 2 | 3;
  readonly random: Random;
  /** Largest string that a command may build, bytes (proto-max-bulk-len). */
  readonly maxStringBytes: number;
  /** Storage key of a user's key in the selected database. Remembers keys by identity, so asking again is cheap. */
  storageKey(userKey: Buffer): Buffer;
}

/**
 * How a command runs.
 * - `data`: a synchronous function over the keys' group; evaluated on that group's leader, possibly more than once. The
 *   arguments' bytes must be copied when kept beyond the call (the accessors do).
 * - `scan`: pages through all groups from the node that the client is connected to.
 * - `connection`: answers from the connection and the node, or drives them.
 */
export type CommandHandler =
  | { readonly kind: 'data'; run(ctx: CommandContext, args: readonly Buffer[]): Reply }
  | { readonly kind: 'scan'; run(ctx: ScanContext, args: readonly Buffer[]): Promise<Reply> }
  | { readonly kind: 'connection'; run(connection: Connection, args: readonly Buffer[]): Reply | Promise<Reply> };

export interface CommandSpec {
  /** Lower case; of a subcommand only its own word. */
  readonly name: string;
  /** Number of arguments including the name (and the container's); negative is "at least". */
  readonly arity: number;
  readonly flags: readonly CommandFlag[];
  readonly keys?: KeyPositions;
  /** A key of another database that the command touches too (COPY ... DB n, MOVE); undefined when there is none. */
  keyElsewhere?(args: readonly Buffer[]): { readonly db: number; readonly key: Buffer } | undefined;
  readonly group: CommandGroup;
  /** First Redis version that had it. */
  readonly since: string;
  readonly summary: string;
  readonly complexity?: string;
  /** ACL categories without `@`, beyond those that follow from the flags and the group. */
  readonly aclCategories?: readonly string[];
  /** A container has these, and then needs no handler unless it can be called alone (COMMAND). */
  readonly subcommands?: readonly CommandSpec[];
  readonly handler?: CommandHandler;
}

/** Checks declarations for mistakes at start. @throws AssertionError */
export function defineCommands(specs: readonly CommandSpec[]): readonly CommandSpec[] {
  for (const spec of specs) {
    assert(spec.name === spec.name.toLowerCase(), `${spec.name}: names are lower case`);
    assert(spec.arity !== 0, `${spec.name}: arity counts the name`);
    assert(spec.handler !== undefined || spec.subcommands !== undefined, `${spec.name}: no handler`);
    assert(!(spec.flags.includes('write') && spec.flags.includes('readonly')), `${spec.name}: write and readonly`);
    if (spec.subcommands !== undefined) defineCommands(spec.subcommands);
  }
  return specs;
}

/** True when `count` arguments (the name included) satisfy an arity. */
export const arityAccepts = (arity: number, count: number): boolean => (arity > 0 ? count === arity : count >= -arity);

/** Indexes in `args` of the command's keys. The arity must have been checked. */
export function keyIndexes(spec: CommandSpec, args: readonly Buffer[]): number[] {
  const { keys } = spec;
  if (keys === undefined) return [];
  if (typeof keys === 'function') return keys(args);
  const last = keys.last < 0 ? args.length + keys.last : keys.last;
  const indexes: number[] = [];
  for (let index = keys.first; index <= last; index += keys.step) indexes.push(index);
  return indexes;
}
