/**
 * One command, one declaration: name, arity, flags, key positions and handler are data, from which dispatch, COMMAND and
 * its documentation all come. A new data type adds a folder under `commands/` whose face exports `defineCommands([...])` and one
 * line in `commands/index.ts`.
 */

import type { KeyView } from '../../../kv/index.ts';
import { assert, finish } from '../../../platform/index.ts';
import type { BodyAccess } from '../bodies/index.ts';
import type { Keyspace } from '../keys/index.ts';
import type { Reply } from '../protocol/index.ts';
import type { ValueAccess } from '../values/index.ts';
import type { OutsideAnswers } from './alone.ts';
import type { ClientSession } from './client-session.ts';
import type { CommandDeclaration } from './declaration.ts';
import type { EffectKeeper } from './effects.ts';
import type { EventClass } from './keyspace-events.ts';
import type { ScanContext } from './scan-context.ts';
import type { KnownScripts, ScriptRunner } from './script-runner.ts';
import type { ScriptCaller } from './users.ts';
import type { MayWait, WaitingSpec } from './waiting-command.ts';

/** What a data command works with. Made anew for each evaluation. */
export interface CommandContext extends ValueAccess, BodyAccess, EffectKeeper, MayWait {
  readonly view: KeyView;
  /** The database that the connection has selected. */
  readonly keyspace: Keyspace;
  /** The view's timestamp in unix milliseconds: the command's idea of now. */
  readonly nowMs: number;
  readonly resp: 2 | 3;
  /** Largest string that a command may build, bytes (proto-max-bulk-len). */
  readonly maxStringBytes: number;
  /** How often a key has been accessed, 0 to 255, see `AccessFrequencies`; undefined while accesses are not counted. */
  frequencyOf(userKey: Buffer): number | undefined;
  /** How many clients in the cluster would get a message that is published to a channel now. */
  receiversOf(channel: Buffer, isShard: boolean): number;
  /** Somebody watches the commands of this node: what a script calls is to be shown. */
  readonly isMonitored: boolean;
  /** Who has called; undefined for somebody who may do everything. Asked by what runs other commands, or finds keys that nobody named. */
  readonly caller: ScriptCaller | undefined;
  /**
   * Notes that a key is written over by another one, before it is: Redis takes the former away, so the latter is new.
   * @param target the storage key
   */
  replaced(target: Buffer, userKey: Buffer, db?: number): void;
  /** Whether anybody wants to hear of such events. */
  hears(about: EventClass): boolean;
  /**
   * Notes an event of a key, after the change and once for each change; what nobody wants to hear costs one look at the flags.
   * @param db of the key, that of the command by default
   */
  event(about: EventClass, event: string, userKey: Buffer, db?: number): void;
  /** Notes an event of a key from which something was taken, and `del` when nothing is left of it. */
  tookFrom(about: EventClass, event: string, userKey: Buffer): void;
  /**
   * Replaces a key by what `store` writes, and notes an event, or `del` when nothing was written and there was a key before.
   * @param store says how much it has written
   */
  stored(about: EventClass, event: string, userKey: Buffer, store: () => number): number;
  /** Runs scripts over the same view; undefined where there are none. */
  readonly scripts: ScriptRunner<CommandContext> | undefined;
  /** What is known beside the keys; undefined where a group evaluates the command. */
  readonly outside: OutsideAnswers | undefined;
  /** Runs a data command over the view, with all that goes with that. @throws what the command throws */
  call(spec: CommandSpec, args: readonly Buffer[]): Reply;
  /** The same view for a command that a script calls: in a database, in a version of RESP. */
  nested(db: number, resp: 2 | 3): CommandContext;
}

/**
 * How a command runs.
 * - `data`: a synchronous function over the keys' group; evaluated on that group's leader, possibly more than once. The
 *   arguments' bytes must be copied when kept beyond the call (the accessors do).
 * - `scan`: pages through all groups from the node that the client is connected to.
 * - `connection`: answers from the connection and the node, or drives them.
 */
export type CommandHandler =
  | {
      readonly kind: 'data';
      run(ctx: CommandContext, args: readonly Buffer[]): Reply;
      /** The same with stops, for calls that name so much that others must have their turns in between; left out: there are no such calls. */
      readonly runInParts?: StepsOfCommand;
    }
  | { readonly kind: 'scan'; run(ctx: ScanContext, args: readonly Buffer[]): Promise<Reply> }
  | { readonly kind: 'connection'; run(session: ClientSession, args: readonly Buffer[]): Reply | Promise<Reply> };

/** What a command does, with a stop wherever others may have their turn. */
export type StepsOfCommand = (ctx: CommandContext, args: readonly Buffer[]) => Generator<void, Reply>;

/** The handler of a command of which a call may name very many things. It takes effect as a whole all the same. */
export const inParts = (steps: StepsOfCommand): CommandHandler => ({
  kind: 'data',
  run: (ctx, args) => finish(steps(ctx, args)),
  runInParts: steps,
});

/** How a call that names very many things is run in pieces: it does with each of them the same, whatever becomes of the others. */
export interface PieceRule {
  /** A call with no more is never split. */
  readonly mostArguments: number;
  /** @returns the calls that it is run as, one after the other; undefined when it is small enough, or wrong, to be run as it is */
  split(args: readonly Buffer[]): readonly (readonly Buffer[])[] | undefined;
  /** What the replies make together: their sum, or all their elements. */
  readonly reply: 'sum' | 'list';
}

/** Calls that write so much into one value, that of their first key, that it is built aside instead of written in one entry. */
export interface FillRule {
  /** Whether a call is one. */
  isLarge(args: readonly Buffer[]): boolean;
  /** True: the value is another one afterwards, whatever it was. False: the call adds to it, and a value that is large already is changed in place. */
  readonly replaces: boolean;
}

/** A command: what it says about itself, and how it runs. */
export interface CommandSpec extends CommandDeclaration {
  /** What the node that the client is connected to does before the command goes to its group. @returns the arguments to go on with */
  readonly ingress?: (scripts: KnownScripts, args: readonly Buffer[]) => readonly Buffer[];
  /** SHA-1 of a script that this node must look for before; undefined when it needs none or knows it. */
  readonly needsScript?: (scripts: KnownScripts, args: readonly Buffer[]) => string | undefined;
  /** It writes a whole value. One of too many rows for one entry is built aside, by the node of the client. */
  readonly writesWholeValue?: boolean;
  /** Left out: no call of it is built aside for what it brings along. */
  readonly fills?: FillRule;
  /** It may wait for keys. */
  readonly waits?: WaitingSpec;
  /** Whether a call only wants a part of a value, which it finds its way to; left out: it may want all of it. */
  readonly readsPart?: (args: readonly Buffer[]) => boolean;
  /** Left out: it is always run as a whole. */
  readonly pieces?: PieceRule;
  /** It reads each of its keys, which are its arguments, by itself and does nothing else: what replies for some of them make together is the reply for all. */
  readonly readsEach?: PieceRule['reply'];
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
