/** What a client of the cluster's keys is told that no group says. */
import { type ErrorDisposition, KvorumError } from '../../platform/index.ts';

/** A part of what was asked is done, the rest is not or nobody knows. Doing it again is harmless. */
export class PartlyDoneError extends KvorumError {
  readonly code = 'PARTLY_DONE';
  readonly disposition: ErrorDisposition = 'unknown';
}

/** The history at a timestamp that the caller named, or was given pages of, is not kept any more: another timestamp is no help. */
export class HistoryGoneError extends KvorumError {
  readonly code = 'SNAPSHOT_TOO_OLD';
  readonly disposition: ErrorDisposition = 'final';
}
