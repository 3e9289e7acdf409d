/** One run of a script: what it may use, and why it must end when it must. */
import { type Clock, KvorumError, type Millis } from '../../../../platform/index.ts';
import type { ScriptHost } from './script-host.ts';

/** Instructions between two looks at what a script has used. */
export const HOOK_EVERY = 10_000;

/** Instructions, counted ones included, between two looks at the clock. */
const CLOCK_EVERY = 20_000;
/** A command may take longer than it counts. */
const CLOCK_EVERY_CALLS = 8;
/** Work that may still be done on the way out: what does more is torn down. */
const WAY_OUT = 500_000;

const ABORTED = 'script aborted';

/** What one run may use. */
export interface RunLimits {
  readonly maxInstructions: number;
  /** Processor time: what an instruction takes differs, and no instruction collects garbage. */
  readonly maxMs: Millis;
}

/** A script took more instructions or time than it may; nothing of what it has written stays. */
export class ScriptTooLongError extends KvorumError {
  readonly code = 'SCRIPT_TOO_LONG';
  readonly disposition = 'final';
}

export class ScriptRun {
  readonly host: ScriptHost;
  /** Version of the replies that the script sees. */
  resp: 2 | 3 = 2;
  private instructions = 0;
  private calls = 0;
  private nextClock = CLOCK_EVERY;
  private readonly limits: RunLimits;
  private readonly clock: Clock;
  private readonly startedMs: Millis;
  private cause: { readonly error: unknown } | undefined;
  /** Looks after the first that has asked it to end. */
  private overtime = 0;
  /** Instructions when it had to end. */
  private endedAt = Number.POSITIVE_INFINITY;

  constructor(host: ScriptHost, limits: RunLimits, clock: Clock) {
    this.host = host;
    this.limits = limits;
    this.clock = clock;
    this.startedMs = this.usedMs();
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
    if (this.cause === undefined) {
      this.cause = { error };
      this.endedAt = this.instructions;
    }
    return ABORTED;
  }

  /** Counts what was done: work that no instruction stands for, or instructions. @returns true when the script must end */
  spend(instructions: number): boolean {
    this.instructions += instructions;
    const { maxInstructions } = this.limits;
    if (this.instructions > maxInstructions) this.tooLong(`${maxInstructions} instructions`);
    else if (this.instructions >= this.nextClock) this.lookAtClock();
    return this.cause !== undefined;
  }

  /** Something was done that may have taken any time. */
  lookAtClock(): void {
    this.nextClock = this.instructions + CLOCK_EVERY;
    const { maxMs } = this.limits;
    if (this.usedMs() - this.startedMs > maxMs) this.tooLong(`${maxMs} ms`);
  }

  /** A command was called. */
  called(): void {
    this.calls += 1;
    if (this.calls % CLOCK_EVERY_CALLS === 0) this.lookAtClock();
  }

  /** Counts work within an instruction, where nothing can be raised. @returns true when the script must be torn down */
  work(instructions: number): boolean {
    return this.spend(instructions) && this.instructions > this.endedAt + WAY_OUT;
  }

  /**
   * Called after each `HOOK_EVERY` instructions.
   * @returns what to do: go on, raise an error that Lua can catch, or, when it did, one that it cannot
   */
  look(): 'go on' | 'raise' | 'tear down' {
    if (!this.spend(HOOK_EVERY)) return 'go on';
    return this.overtime++ === 0 ? 'raise' : 'tear down';
  }

  private usedMs(): Millis {
    return this.clock.processorMs?.() ?? this.clock.monotonicMs();
  }

  private tooLong(limit: string): void {
    if (this.cause === undefined)
      this.abort(new ScriptTooLongError(`the script ran longer than ${limit}; nothing of it was done`));
  }
}
