/**
 * Evaluating a command over what was read for it: what it misses it says, is given, and begins again. A result of a few rows is computed in a turn of
 * the node; where that takes too long, or rows of a body are needed, it is computed by another thread.
 */
import { EvaluationTooLongError, type Operation, type ReadRow } from '../../../kv/index.ts';
import type { HlcTimestamp, Millis } from '../../../platform/index.ts';
import type { RowsCopy } from '../bodies/index.ts';
import type { Reply } from '../protocol/index.ts';
import {
  type CapturedRows,
  type CapturedWrite,
  type FreshRow,
  type Missing,
  type ReadHead,
  TimedRows,
} from './captured-rows.ts';

/** What a command has answered and would write. */
export interface AsideResult {
  readonly reply: Reply;
  /** Bodies whose rows become those of other bodies. */
  readonly copies: readonly RowsCopy[];
  /** Rows that nobody can come to before `others` are written. */
  readonly fresh: Iterable<FreshRow>;
  readonly others: readonly CapturedWrite[];
}

export type AsideOutcome =
  | { readonly kind: 'result'; readonly result: AsideResult }
  | { readonly kind: 'missing'; readonly missing: Missing }
  | { readonly kind: 'error'; readonly error: Error };

/** One command at one moment. */
export interface AsideEvaluation {
  addHead(head: ReadHead): void;
  /** Takes rows of bodies; they may be used after the call. */
  addRows(rows: readonly ReadRow[]): void;
  /** All rows of the body of a head were added. */
  addBody(head: Buffer): void;
  /** @throws Error when whoever evaluates is gone */
  evaluate(): Promise<AsideOutcome>;
  /** Nothing more is asked. */
  end(): void;
}

/** Another thread that computes values. */
export interface AsideEvaluator {
  /** @returns undefined when it does not know such operations */
  beginAside(operation: Operation<Reply>, ts: HlcTimestamp): AsideEvaluation | undefined;
}

/** Evaluates over what is here. @param evaluate gets what is to be told which rows are to be copied */
export function runOver(rows: CapturedRows, evaluate: (copyRows: (copy: RowsCopy) => void) => Reply): AsideOutcome {
  rows.begin();
  const copies: RowsCopy[] = [];
  let outcome: AsideOutcome;
  try {
    const reply = evaluate((copy) => copies.push(copy));
    outcome = { kind: 'result', result: { reply, copies, ...rows.effects() } };
  } catch (error) {
    outcome = { kind: 'error', error: error instanceof Error ? error : new Error(String(error)) };
  }
  // Also when the command has caught that it was stopped.
  return rows.missing === undefined ? outcome : { kind: 'missing', missing: rows.missing };
}

/** In one turn of this thread. */
export class InlineAside implements AsideEvaluation {
  private readonly rows: TimedRows;
  private readonly command: (rows: CapturedRows, copyRows: (copy: RowsCopy) => void) => Reply;

  /** @param maxMs that it may take */
  constructor(ts: HlcTimestamp, nowMs: () => Millis, maxMs: Millis, command: InlineAside['command']) {
    this.rows = new TimedRows(ts, nowMs, maxMs);
    this.command = command;
  }

  addHead(head: ReadHead): void {
    this.rows.addHead(head);
  }

  addRows(rows: readonly ReadRow[]): void {
    for (const row of rows) this.rows.addRow(row.key, row);
  }

  addBody(head: Buffer): void {
    this.rows.addBody(head);
  }

  async evaluate(): Promise<AsideOutcome> {
    return runOver(this.rows, (copyRows) => this.command(this.rows, copyRows));
  }

  end(): void {
    // What was read goes with it.
  }
}

/** Whether another thread has to go on: rows of a body are needed, of which there may be a million, or it has taken too long here. */
const isTooMuchHere = (outcome: AsideOutcome): boolean =>
  outcome.kind === 'missing'
    ? outcome.missing.kind === 'body'
    : outcome.kind === 'error' && outcome.error instanceof EvaluationTooLongError;

/** Here as long as that is short, then elsewhere. */
export class MovingAside implements AsideEvaluation {
  private current: AsideEvaluation;
  private begin: (() => AsideEvaluation | undefined) | undefined;
  private readonly heads: ReadHead[] = [];

  /** @param begin evaluates elsewhere; undefined, or answers that: there is nobody else */
  constructor(here: AsideEvaluation, begin: (() => AsideEvaluation | undefined) | undefined) {
    this.current = here;
    this.begin = begin;
  }

  addHead(head: ReadHead): void {
    this.heads.push(head);
    this.current.addHead(head);
  }

  addRows(rows: readonly ReadRow[]): void {
    this.current.addRows(rows);
  }

  addBody(head: Buffer): void {
    this.current.addBody(head);
  }

  async evaluate(): Promise<AsideOutcome> {
    const outcome = await this.current.evaluate();
    const elsewhere = isTooMuchHere(outcome) ? this.begin?.() : undefined;
    if (elsewhere === undefined) return outcome;
    this.begin = undefined;
    this.current.end();
    this.current = elsewhere;
    for (const head of this.heads) elsewhere.addHead(head);
    return outcome.kind === 'missing' ? outcome : elsewhere.evaluate();
  }

  end(): void {
    this.current.end();
  }
}
