/** How commands run scripts; `scripts` implements it. */
import type { Reply } from '../protocol/index.ts';

/** A script to run. */
export interface CalledScript {
  /** Hexadecimal SHA-1 of the text, lower case. */
  readonly sha: string;
  readonly text: Buffer;
}

export interface ScriptCall {
  readonly keys: readonly Buffer[];
  readonly args: readonly Buffer[];
  /** Called by a command that promises to write nothing. */
  readonly isReadOnly: boolean;
}

/** Keys and arguments of a function that is called. */
export type FunctionCall = Pick<ScriptCall, 'keys' | 'args'>;

/** A library as it is listed. */
export interface ListedLibrary {
  readonly name: string;
  readonly code: Buffer;
  readonly functions: readonly {
    readonly name: string;
    readonly description: string | undefined;
    readonly flags: readonly string[];
  }[];
}

/**
 * Libraries of functions. The cluster has one set of them, which all methods read, and write, over the view of the command that is evaluated.
 * @template Context what commands are evaluated with
 */
export interface LibraryRunner<Context> {
  /** @returns the library's name @throws RedisError when it is no library, or one that must not be loaded */
  load(ctx: Context, code: Buffer, mayReplace: boolean): string;
  /** @throws RedisError when there is no such library */
  delete(ctx: Context, name: string): void;
  /** Deletes all of them. */
  flush(ctx: Context): void;
  /** In the order in which they were loaded. */
  list(ctx: Context): readonly ListedLibrary[];
  /** As Redis' RDB payload. */
  dump(ctx: Context): Buffer;
  /** @throws RedisError when the payload is none, or a library must not be loaded */
  restore(ctx: Context, payload: Buffer, policy: 'flush' | 'append' | 'replace'): void;
  /**
   * Calls a function.
   * @param callOf asked once the function is found; may throw
   * @param isReadOnly called by a command that promises to write nothing
   * @returns and throws as `ScriptRunner.run`
   */
  call(ctx: Context, name: Buffer, callOf: () => FunctionCall, isReadOnly: boolean): Reply;
}

/** What scripts and libraries take on this node. */
export interface ScriptFigures {
  readonly scripts: number;
  readonly scriptBytes: number;
  /** What their Lua machine holds. */
  readonly scriptMachineBytes: number;
  /** Libraries that this node has run or was asked about. */
  readonly libraries: number;
  readonly functions: number;
  readonly libraryBytes: number;
  readonly libraryMachineBytes: number;
}

/** Scripts that this node knows. */
export interface KnownScripts {
  figures(): ScriptFigures;
  /** Hexadecimal SHA-1 of a text, lower case. */
  shaOf(text: Buffer): string;
  /** Text of a script. @param sha lower case */
  find(sha: string): Buffer | undefined;
  /** Remembers a script by its SHA-1. */
  keep(script: CalledScript): void;
  /** Forgets all of them. */
  forget(): void;
}

/** @template Context what commands are evaluated with */
export interface ScriptRunner<Context> extends KnownScripts {
  /**
   * Runs a script over the keys that a command is evaluated with.
   * @returns its reply, an `ErrorReply` when it failed: what it has written before stays, as in Redis
   * @throws RedisError when it is no script; what a command fails with that nobody answers for, and ScriptTooLongError: nothing stays then
   */
  run(ctx: Context, script: CalledScript, call: ScriptCall): Reply;
  /** @throws RedisError when it is no script */
  check(script: CalledScript): void;
  readonly libraries: LibraryRunner<Context>;
}
