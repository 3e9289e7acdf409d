/**
 * How long one evaluation may take. Whoever evaluates holds the event loop of its node, which leads other groups too: they must hear from
 * it within an election timeout. Work is counted in rows, which is the same everywhere and under any load; time is looked at
 * only once there were many.
 */
import type { Millis } from '../../platform/index.ts';
import { EvaluationTooLongError } from '../contract/index.ts';

/** See `ExecutorLimits`. */
export interface EvaluationLimits {
  readonly maxRowsPerCommand: number;
  readonly softRows: number;
  readonly maxEvaluationMs: Millis;
}

/** Stops an evaluation that goes on elsewhere. Not an error that anybody declares, so nobody keeps it. */
class StoppedEvaluation extends Error {}

/** Rows between looks at the clock. A command that reads fewer is never refused for its time, however busy the machine is. */
const LOOK_ROWS = 1_024;

/** The budget of the evaluation under way; one for all of a group, one after the other. */
export class EvaluationBudget {
  private readonly limits: EvaluationLimits;
  private readonly nowMs: () => Millis;
  private isReadOnly = false;
  private rows = 0;
  /** Rows until something has to be looked at. */
  private left = 0;
  private sinceMs: Millis | undefined;
  /** Why it may not go on; also when the evaluation has caught that. A reader is to go on elsewhere. */
  excess: Error | undefined;

  constructor(limits: EvaluationLimits, nowMs: () => Millis) {
    this.limits = limits;
    this.nowMs = nowMs;
  }

  begin(isReadOnly: boolean): void {
    this.isReadOnly = isReadOnly;
    this.rows = 0;
    this.excess = undefined;
    this.sinceMs = undefined;
    this.left = this.step();
  }

  private step(): number {
    const { softRows, maxRowsPerCommand } = this.limits;
    return this.isReadOnly ? softRows - this.rows : Math.min(LOOK_ROWS, maxRowsPerCommand - this.rows);
  }

  /** A row is about to be read or written. @throws EvaluationTooLongError, or what stops a reader; then again each time */
  spend(): void {
    if (this.left-- <= 0) this.look();
  }

  private look(): void {
    this.left = 0;
    const { maxRowsPerCommand, maxEvaluationMs } = this.limits;
    this.rows += this.step();
    if (this.isReadOnly) this.stop(new StoppedEvaluation());
    if (this.rows >= maxRowsPerCommand) {
      this.stop(new EvaluationTooLongError(`the command touches more than ${maxRowsPerCommand} rows`));
    }
    const nowMs = this.nowMs();
    this.sinceMs ??= nowMs;
    if (nowMs - this.sinceMs > maxEvaluationMs) {
      const message = `the command was evaluated for more than ${maxEvaluationMs} ms after ${this.rows} rows`;
      this.stop(new EvaluationTooLongError(message));
    }
    this.left = this.step() - 1;
  }

  private stop(excess: Error): never {
    this.excess = excess;
    throw excess;
  }
}
