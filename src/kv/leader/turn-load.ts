/**
 * What the commands of one turn have evaluated together. Each is bounded by itself (`EvaluationBudget`), but a pipeline brings hundreds in one turn, and
 * the node must hear from others in between: what comes when a turn is spent waits for the next one.
 */
import type { Millis, Scheduler } from '../../platform/index.ts';
import type { Operation } from '../contract/index.ts';
import { NodeTurn } from './node-turn.ts';

/** See `ExecutorLimits`. */
export interface TurnLimits {
  readonly maxRowsPerTurn: number;
  readonly maxTurnMs: Millis;
}

/**
 * Rows between looks at the clock. A row may be a page of which much is made: with eight times as many, eight calls of XREADGROUP were 200 ms of
 * processor time in one turn. A turn that ends too early on a busy machine costs no more than another turn.
 */
const LOOK_ROWS = 128;

export interface TurnLoadOptions {
  readonly limits: TurnLimits;
  readonly nowMs: () => Millis;
  readonly scheduler: Scheduler;
  /** Of the node; undefined: no other group shares it. */
  readonly turn: NodeTurn | undefined;
  /** The next turn has begun, after one that was spent. */
  readonly onTurn: () => void;
}

/** See the top of the file. */
export class TurnLoad {
  /** Whether nothing more of the group should be evaluated in this turn. */
  private isSpent = false;
  private readonly options: TurnLoadOptions;
  private readonly turn: NodeTurn;
  private rows = 0;
  private nextLook = LOOK_ROWS;
  /** When the clock was first looked at in this turn. */
  private sinceMs: Millis | undefined;
  /** When an operation began that may take any time. */
  private beganMs: Millis | undefined;

  constructor(options: TurnLoadOptions) {
    this.options = options;
    this.turn = options.turn ?? new NodeTurn(options.scheduler, options.limits.maxTurnMs);
  }

  /** Whether something more should be evaluated in this turn; where not, `onTurn` will be called. */
  mayBegin(): boolean {
    const { turn } = this;
    if (turn.isSpent) turn.await(this.options.onTurn);
    return !turn.isSpent && !this.isSpent;
  }

  begin({ takesAnyTime }: Pick<Operation<unknown>, 'takesAnyTime'>): void {
    this.beganMs = takesAnyTime === true ? this.options.nowMs() : undefined;
  }

  /** The command that has begun was evaluated. */
  add(rows: number): void {
    if (this.beganMs !== undefined) this.turn.took(this.options.nowMs() - this.beganMs);
    this.rows += rows;
    if (this.rows < this.nextLook || this.isSpent) return;
    const { limits, nowMs, scheduler, onTurn } = this.options;
    this.nextLook = this.rows + LOOK_ROWS;
    const now = nowMs();
    this.sinceMs ??= now;
    if (this.rows < limits.maxRowsPerTurn && now - this.sinceMs <= limits.maxTurnMs) return;
    this.isSpent = true;
    scheduler.nextTurn(() => {
      this.isSpent = false;
      this.end();
      onTurn();
    });
  }

  /** The turn is over; one that was spent ends by itself. */
  end(): void {
    if (this.isSpent) return;
    this.rows = 0;
    this.nextLook = LOOK_ROWS;
    this.sinceMs = undefined;
  }
}
