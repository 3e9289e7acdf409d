/**
 * How long one evaluation may take. Whoever evaluates holds the event loop of its node, which leads other groups too: they must hear from
 * it within an election timeout. Work is counted in rows, which is the same everywhere and under any load; time is looked at
 * only once there were many.
 *
 * What a command names, keys and elements, is work that its client sees and has sent over the wire, so it does not count: the bounds are for what
 * hides behind a key.
 */
import type { Millis } from '../../platform/index.ts';
import { TooLargeError } from '../../raftengine/index.ts';
import { EvaluationTooLongError, type Operation } from '../contract/index.ts';

/** See `ExecutorLimits`. */
export interface EvaluationLimits {
  readonly maxRowsPerCommand: number;
  readonly softRows: number;
  readonly softBytes: number;
  readonly softMs: Millis;
  readonly maxEvaluationMs: Millis;
}

/** Stops an evaluation that goes on elsewhere. Not an error that anybody declares, so nobody keeps it. */
class StoppedEvaluation extends Error {}

/** Small rows that an operation may read in its turn, however long they take, before it goes on elsewhere: that costs more than they do. */
const SOFT_LOOK_ROWS = 4_096;
/** Bytes of pages between looks at the clock, of what may go on elsewhere: some thousand elements. */
const LOOK_BYTES = 128 * 1024;
/** What writes and has another way is given so many times as long as what reads: to build a value aside is much more work. */
const OTHER_WAY_FACTOR = 4;
/** Rows between looks at the clock. A command that reads fewer is never refused for its time, however busy the machine is. */
const LOOK_ROWS = 1_024;
/**
 * Rows that may be touched for each thing that a command names: a new member of a sorted set is 13 at most where nothing is shared, and takes two
 * arguments.
 */
const ROWS_PER_NAMED = 8;

/** A row counts with at most so many bytes: long values are not looked at one element after the other. */
const MAX_COUNTED_BYTES = 1_024;

/** Bytes of values that one turn may copy out of the store for one operation, whatever it names: some 50 ms. The last value may be larger. */
const MOST_BYTES_A_TURN = 16 * 1024 * 1024;

/** What the budget looks at. */
export type BudgetedOperation = Pick<Operation<unknown>, 'isWrite' | 'namedCount' | 'storageKeys' | 'hasOtherWay'>;

/** Of a command whose writes no entry has room for. */
export const effectsTooLarge = (bytes: number, maxBytes: number): TooLargeError =>
  new TooLargeError(`the command's effects of ${bytes} bytes exceed the limit of ${maxBytes}`);

/** How many things an operation names. */
export const namedBy = (operation: BudgetedOperation): number =>
  operation.namedCount?.() ?? operation.storageKeys?.().length ?? 0;

/** The budget of the evaluation under way; one for all of a group, one after the other. */
export class EvaluationBudget {
  private readonly limits: EvaluationLimits;
  private readonly nowMs: () => Millis;
  private operation: BudgetedOperation = {};
  private isReadOnly = false;
  /** It goes on in another way: so it is not worth much time. */
  private isSoft = false;
  private rows = 0;
  /** Rows for what the command names; undefined until somebody has to know. */
  private namedRows: number | undefined;
  /** Rows until something has to be looked at. */
  private left = 0;
  /** Bytes of rows until something has to be looked at; counts for those that may go on elsewhere. */
  private bytesLeft = Number.POSITIVE_INFINITY;
  /** Those before. */
  private bytes = 0;
  /** Of whole values; counts for those that may go on elsewhere. */
  private wholeBytesLeft = Number.POSITIVE_INFINITY;
  private sinceMs: Millis | undefined;
  /** Why it may not go on; also when the evaluation has caught that. A reader is to go on elsewhere. */
  excess: Error | undefined;

  constructor(limits: EvaluationLimits, nowMs: () => Millis) {
    this.limits = limits;
    this.nowMs = nowMs;
  }

  begin(operation: BudgetedOperation): void {
    this.operation = operation;
    this.isReadOnly = operation.isWrite === false;
    this.isSoft = this.isReadOnly || operation.hasOtherWay === true;
    this.rows = 0;
    this.namedRows = undefined;
    this.excess = undefined;
    this.sinceMs = undefined;
    this.left = this.step();
    this.bytes = 0;
    this.bytesLeft = this.isSoft ? this.byteStep() : Number.POSITIVE_INFINITY;
    this.wholeBytesLeft = this.isSoft ? MOST_BYTES_A_TURN : Number.POSITIVE_INFINITY;
  }

  /** The evaluation goes on in another turn: time that others have had does not count. */
  resume(): void {
    this.sinceMs = undefined;
  }

  /** Rows that it has read and written so far. */
  get touchedRows(): number {
    return this.rows + this.step() - Math.max(this.left, 0);
  }

  private step(): number {
    const { softRows, maxRowsPerCommand } = this.limits;
    if (this.isSoft) return Math.min(LOOK_ROWS, softRows - this.rows);
    return Math.min(LOOK_ROWS, maxRowsPerCommand + (this.namedRows ?? 0) - this.rows);
  }

  private byteStep(): number {
    return Math.min(LOOK_BYTES, this.limits.softBytes - this.bytes);
  }

  /** A row is about to be read or written. @throws EvaluationTooLongError, or what stops a reader; then again each time */
  spend(): void {
    if (this.left-- <= 0) this.look();
  }

  /** A row was read. @throws what stops a reader */
  took(bytes: number): void {
    this.bytesLeft -= Math.min(bytes, MAX_COUNTED_BYTES);
    if (this.bytesLeft < 0) this.lookAtBytes();
    this.wholeBytesLeft -= bytes;
    // What it has read it may use; it does not read another one here.
    if (this.wholeBytesLeft < 0) this.left = 0;
  }

  /** It is about to compute for as long as so many rows take. @throws what stops a reader */
  works(rows: number): void {
    if (this.isReadOnly && this.touchedRows + rows > this.limits.softRows) this.goOnElsewhere();
  }

  /** Pages of a body hold many elements each. A command that names its rows (MGET) does with each of them just one thing. */
  private lookAtBytes(): void {
    this.bytes += this.byteStep();
    const isBeyond = this.bytes >= this.limits.softBytes;
    if ((isBeyond || this.isSlow()) && this.touchedRows > namedBy(this.operation)) this.goOnElsewhere();
    if (isBeyond) this.bytes = 0;
    this.bytesLeft = this.byteStep();
  }

  /** Whether one that may go on elsewhere takes longer than that is worth. */
  private isSlow(): boolean {
    const nowMs = this.nowMs();
    this.sinceMs ??= nowMs;
    return nowMs - this.sinceMs > (this.isReadOnly ? 1 : OTHER_WAY_FACTOR) * this.limits.softMs;
  }

  private look(): void {
    this.left = 0;
    const { maxRowsPerCommand } = this.limits;
    this.rows += this.step();
    if (this.isSoft) {
      if (this.wholeBytesLeft < 0 || this.isTooMuch()) this.goOnElsewhere();
      this.left = this.step() - 1;
      return;
    }
    this.namedRows ??= ROWS_PER_NAMED * namedBy(this.operation);
    if (this.rows >= maxRowsPerCommand + this.namedRows) {
      const message = `the command touches more than ${maxRowsPerCommand} rows beside those that it names`;
      this.stop(new EvaluationTooLongError(message));
    }
    if (this.rows >= this.namedRows) this.lookAtTime();
    this.left = this.step() - 1;
  }

  /** Whether one that may go on elsewhere has had enough of the turn, by its rows. */
  private isTooMuch(): boolean {
    if (this.rows >= this.limits.softRows) return true;
    return this.isSlow() && this.rows >= SOFT_LOOK_ROWS;
  }

  private goOnElsewhere(): never {
    const { softRows, softBytes } = this.limits;
    const message = `the command touches more than ${softRows} rows or ${softBytes} bytes`;
    this.stop(this.isReadOnly ? new StoppedEvaluation() : new EvaluationTooLongError(message));
  }

  private lookAtTime(): void {
    const { maxEvaluationMs } = this.limits;
    const nowMs = this.nowMs();
    this.sinceMs ??= nowMs;
    if (nowMs - this.sinceMs <= maxEvaluationMs) return;
    const message = `the command was evaluated for more than ${maxEvaluationMs} ms after ${this.rows} rows`;
    this.stop(new EvaluationTooLongError(message));
  }

  private stop(excess: Error): never {
    this.excess = excess;
    throw excess;
  }
}
