/** One run of a script: what it may use, and why it must end when it must. */
import { KvorumError } from '../../../../platform/index.ts';
import type { ScriptHost } from './script-host.ts';

/** Instructions between two looks at what a script has used. */
export const HOOK_EVERY = 100_000;

const ABORTED = 'script aborted';

/** A script took more instructions than it may; nothing of what it has written stays. */
export class ScriptTooLongError extends KvorumError {
  readonly code = 'SCRIPT_TOO_LONG';
  readonly disposition = 'final';
}

export class ScriptRun {
  readonly host: ScriptHost;
  /** Version of the replies that the script sees. */
  resp: 2 | 3 = 2;
  private instructions = 0;
  private readonly maxInstructions: number;
  private cause: { readonly error: unknown } | undefined;
  /** Looks after the first that has asked it to end. */
  private overtime = 0;

  constructor(host: ScriptHost, maxInstructions: number) {
    this.host = host;
    this.maxInstructions = maxInstructions;
  }

  /** What every call raises once the script must end; undefined until then. */
  get abortText(): string | undefined {
    return this.cause === undefined ? undefined : ABORTED;
  }

  /** What ended the script for good, whatever it has caught and answered since. */
  get abortCause(): { readonly error: unknown } | undefined {
    return this.cause;
  }

  /** Ends the script with an error that is not its own. @returns what to raise */
  abort(error: unknown): string {
    this.cause ??= { error };
    return ABORTED;
  }

  /** Counts what was done: work that no instruction stands for, or instructions. @returns true when the script must end */
  spend(instructions: number): boolean {
    this.instructions += instructions;
    if (this.cause === undefined && this.instructions > this.maxInstructions) {
      const text = `the script ran longer than ${this.maxInstructions} instructions; nothing of it was done`;
      this.abort(new ScriptTooLongError(text));
    }
    return this.cause !== undefined;
  }

  /**
   * Called after each `HOOK_EVERY` instructions.
   * @returns what to do: go on, raise an error that Lua can catch, or, when it did, one that it cannot
   */
  look(): 'go on' | 'raise' | 'tear down' {
    if (!this.spend(HOOK_EVERY)) return 'go on';
    return this.overtime++ === 0 ? 'raise' : 'tear down';
  }
}
