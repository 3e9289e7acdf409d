/** Evaluating an operation that only reads over rows that were read beforehand, here or in another thread. */
import type { HlcTimestamp } from '../../platform/index.ts';
import type { LiveValue, Operation } from './view.ts';

/** A live row at the moment of the evaluation. */
export interface ReadRow extends LiveValue {
  readonly key: Buffer;
}

/** What an evaluation came to. */
export type LongOutcome =
  | { readonly kind: 'reply'; readonly reply: unknown }
  | { readonly kind: 'error'; readonly error: Error }
  /** It has stopped at rows that were neither added nor looked for. */
  | { readonly kind: 'missing'; readonly keys: readonly Buffer[] };

/** One operation at one moment. */
export interface LongEvaluation {
  /** Takes rows; they may be used after the call. */
  addRows(rows: readonly ReadRow[]): void;
  /** These were looked for, and those that have a row added: the others are not there. */
  addKeys(keys: readonly Buffer[]): void;
  /** All rows of these objects have been added: what they do not have is known too. */
  addObjects(heads: readonly Buffer[]): void;
  /** Evaluates over all that was added. @throws Error when whoever evaluates is gone */
  evaluate(): Promise<LongOutcome>;
  /** Nothing more is asked. */
  end(): void;
}

/** Whoever evaluates without holding the event loop of the node. */
export interface LongEvaluator {
  /** @returns undefined when it does not know operations of this kind */
  begin(operation: Operation<unknown>, ts: HlcTimestamp): LongEvaluation | undefined;
}
