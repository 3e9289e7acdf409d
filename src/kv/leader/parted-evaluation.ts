/** One evaluation of an operation that comes in parts, and the entry that it becomes. */
import type { HlcTimestamp, Millis } from '../../platform/index.ts';
import type { Operation } from '../contract/index.ts';
import { ABSENT, BatchEncoder, expectBytes } from '../entry/index.ts';
import type { Effects } from './coming-locks.ts';
import { type EvaluationBudget, effectsTooLarge } from './evaluation-budget.ts';
import type { ForeignEffects, HeldKeys } from './held-keys.ts';
import { Unit } from './overlay.ts';
import { NO_SOURCES, Pending, TurnEntry } from './turn-entry.ts';
import type { CommandView } from './view.ts';

/** Rows that are encoded between two looks at the clock. */
export const ENCODED_ROWS = 256;

/** One evaluation of an operation. */
export class PartedEvaluation {
  readonly operation: Operation<unknown>;
  readonly tries: number;
  readonly held: HeldKeys;
  readonly view: CommandView;
  readonly budget: EvaluationBudget;
  /** What the group served when it began. */
  readonly revision: number;
  readonly unit = new Unit();
  /** Those of the view's reads that are expectations. */
  readonly expected: number[] = [];
  isOver = false;
  reply: unknown;
  encoder: BatchEncoder | undefined;
  private seenReads = 0;
  private seenWrites = 0;

  constructor(
    operation: Operation<unknown>,
    tries: number,
    held: HeldKeys,
    view: CommandView,
    budget: EvaluationBudget,
    revision: number,
  ) {
    this.operation = operation;
    this.tries = tries;
    this.held = held;
    this.view = view;
    this.budget = budget;
    this.revision = revision;
  }

  /** Holds what the part has touched. @returns what it was */
  hold(): ForeignEffects & Effects {
    const { view, held, expected } = this;
    const writes = view.writes.slice(this.seenWrites);
    const readNames = view.readNames.slice(this.seenReads);
    const readKeys = view.readKeys.slice(this.seenReads);
    for (const [at, name] of readNames.entries()) if (held.addRead(name)) expected.push(this.seenReads + at);
    for (const { name } of writes) held.addWrite(name);
    this.seenReads = view.readNames.length;
    this.seenWrites = view.writes.length;
    return { writes, ranges: [], readNames, readKeys };
  }

  /** Encodes everything that was evaluated. @throws TooLargeError */
  *encode(maxBytes: number): Generator<void, BatchEncoder> {
    const { view, expected, unit } = this;
    unit.number = 0;
    let bytes = 0;
    for (const [nth, at] of expected.entries()) {
      bytes += expectBytes(view.readKeys[at]!, view.readVersions[at]!);
      if (nth % ENCODED_ROWS === 0) yield;
    }
    for (const [nth, write] of view.writes.entries()) {
      bytes += write.size;
      if (nth % ENCODED_ROWS === 0) yield;
    }
    if (bytes > maxBytes) throw effectsTooLarge(bytes, maxBytes);
    const encoder = new BatchEncoder(1, expected.length, view.writes.length, bytes);
    for (const [nth, at] of expected.entries()) {
      encoder.expect(unit.number, view.readKeys[at]!, view.readVersions[at]!);
      if (nth % ENCODED_ROWS === 0) yield;
    }
    for (const [nth, write] of view.writes.entries()) {
      write.encode(encoder, unit.number);
      if (nth % ENCODED_ROWS === 0) yield;
    }
    return encoder;
  }

  /** Whether a value that it has read has expired by a moment after it began. */
  hasExpiredBy(ts: HlcTimestamp): boolean {
    const { soonestExpireTs } = this.view;
    return soonestExpireTs !== ABSENT && soonestExpireTs <= ts;
  }
}

/** An entry with one operation, encoded beforehand. Nothing of it is in the overlay. */
export class PartedEntry extends TurnEntry {
  readonly evaluation: PartedEvaluation;

  constructor(commitTs: HlcTimestamp, ordinal: number, evaluation: PartedEvaluation) {
    super(commitTs, ordinal);
    this.evaluation = evaluation;
    const { operation, tries, reply, unit } = evaluation;
    const pending = new Pending(operation, tries, undefined, reply, NO_SOURCES);
    pending.unit = unit;
    this.pending.push(pending);
  }

  override encode(ceilingMs: Millis): { payload: Buffer; units: Unit[] } {
    return { payload: this.evaluation.encoder!.finish(this.commitTs, ceilingMs), units: [this.evaluation.unit] };
  }
}
