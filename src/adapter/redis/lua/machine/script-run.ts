/** One run of a script: what it may use, and why it must end when it must. */
import type { ScriptHost } from './script-host.ts';

/** Instructions between two looks at what a script has used. */
export const HOOK_EVERY = 100_000;

const ABORTED = 'script aborted';

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

  /** Counts work that no instruction stands for. @returns true when the script must end */
  spend(instructions: number, tooLong: () => Error): boolean {
    this.instructions += instructions;
    if (this.cause === undefined && this.instructions > this.maxInstructions) this.abort(tooLong());
    return this.cause !== undefined;
  }

  /**
   * Called after each `HOOK_EVERY` instructions.
   * @param tooLong makes the error of a script that has run too long
   * @returns what to do: go on, raise an error that Lua can catch, or, when it did, one that it cannot
   */
  look(tooLong: () => Error): 'go on' | 'raise' | 'tear down' {
    this.instructions += HOOK_EVERY;
    if (this.cause === undefined) {
      if (this.instructions <= this.maxInstructions) return 'go on';
      this.abort(tooLong());
    }
    return this.overtime++ === 0 ? 'raise' : 'tear down';
  }
}
