/** What a thread that cuts copies and the thread that has the stores say to each other. */
import type { LogIndex } from '../../platform/index.ts';
import type { DataKey } from '../../security/index.ts';
import { CorruptStoreError } from '../rows/index.ts';
import type { SegmentEntry } from './manifest.ts';
import type { SegmentLimits } from './writer.ts';

/** To the thread that cuts. */
export type CutOrder =
  | {
      readonly kind: 'cut';
      readonly id: number;
      readonly location: string;
      readonly folder: string;
      readonly limits: SegmentLimits;
      /** What the store is encrypted with, and the copy will be; undefined: both are in clear. */
      readonly keys: readonly DataKey[] | undefined;
    }
  | { readonly kind: 'giveUp'; readonly id: number }
  /** There are no cuts any more; the thread ends. */
  | { readonly kind: 'end' };

/** From the thread that cuts. After `done` or `failed` it has closed the database. */
export type CutReport =
  | {
      readonly kind: 'state';
      readonly id: number;
      readonly appliedIndex: LogIndex;
      readonly meta: readonly (readonly [string, Uint8Array])[];
    }
  | { readonly kind: 'done'; readonly id: number; readonly segments: SegmentEntry[] }
  | { readonly kind: 'failed'; readonly id: number; readonly failure: CutFailure };

/** An error in transit: messages between threads keep nothing of it but its text. */
export type CutFailure =
  | { readonly kind: 'damage'; readonly location: string; readonly problem: string }
  | { readonly kind: 'other'; readonly message: string; readonly code: string | undefined };

/** Makes an error ready for the way. */
export function packFailure(error: unknown): CutFailure {
  if (error instanceof CorruptStoreError) {
    return { kind: 'damage', location: error.location, problem: error.problem };
  }
  const { code } = error as { readonly code?: unknown };
  const message = error instanceof Error ? error.message : String(error);
  return { kind: 'other', message, code: typeof code === 'string' ? code : undefined };
}

/** The error that `packFailure` was given, as far as anybody looks at it. */
export const unpackFailure = (failure: CutFailure): Error =>
  failure.kind === 'damage'
    ? new CorruptStoreError(failure.location, failure.problem)
    : Object.assign(new Error(failure.message), failure.code === undefined ? {} : { code: failure.code });
