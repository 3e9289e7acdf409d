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

/** Scripts that this node knows. */
export interface KnownScripts {
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
}
