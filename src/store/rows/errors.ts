/** What can go wrong in the store of a group. Every message names the folder, because that is what an operator can act on. */
import { type ErrorDisposition, type HlcTimestamp, hasCode, KvorumError } from '../../platform/index.ts';

/** A read asked for a timestamp whose versions may be gone. A new read at a newer timestamp may succeed. */
export class SnapshotTooOldError extends KvorumError {
  readonly code = 'SNAPSHOT_TOO_OLD';
  readonly disposition: ErrorDisposition = 'restart';
  readonly readTs: HlcTimestamp;
  readonly gcThreshold: HlcTimestamp;

  constructor(readTs: HlcTimestamp, gcThreshold: HlcTimestamp) {
    super(`versions before ${gcThreshold} are gone, a read at ${readTs} cannot be answered; read at a newer timestamp`);
    this.readTs = readTs;
    this.gcThreshold = gcThreshold;
  }
}

/** True for the error of a read whose history is gone, here or at another node. */
export const isSnapshotTooOld = (error: unknown): boolean => hasCode(error, 'SNAPSHOT_TOO_OLD');

/** A copy on its way in is damaged, incomplete or of an unknown format. The live store is untouched. */
export class CorruptSnapshotError extends KvorumError {
  readonly code = 'CORRUPT_SNAPSHOT';
  readonly disposition: ErrorDisposition = 'final';
}

/** What lies in the folder cannot be what this store wrote. */
export class CorruptStoreError extends KvorumError {
  readonly code = 'CORRUPT_STORE';
  readonly disposition: ErrorDisposition = 'final';
  readonly location: string;
  /** What the store is or does, such as `is damaged`. */
  readonly problem: string;

  constructor(location: string, problem: string, options?: { cause?: unknown }) {
    super(`the store in ${location} ${problem}; restore this replica from another one`, options);
    this.location = location;
    this.problem = problem;
  }
}

/** The folder holds a store of a format that this version cannot read. */
export class UnknownStoreFormatError extends KvorumError {
  readonly code = 'UNKNOWN_STORE_FORMAT';
  readonly disposition: ErrorDisposition = 'final';
  readonly location: string;
  readonly format: number;

  constructor(location: string, format: number, known: number) {
    const problem = `has format ${format}, this version reads format ${known}`;
    super(
      `the store in ${location} ${problem}; use the version that wrote it. A program between 0.1.0 and this one may read both; ` +
        'what was written before 0.1.0 has to be written anew into an empty data folder',
    );
    this.location = location;
    this.format = format;
  }
}

/** A write to the folder failed. What was applied since the last durable index exists in memory only; the node must stop. */
export class StoreFailedError extends KvorumError {
  readonly code = 'STORE_FAILED';
  readonly disposition: ErrorDisposition = 'final';
  readonly location: string;

  constructor(location: string, cause: unknown) {
    super(`the store in ${location} could not be written: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
    this.location = location;
  }
}

/** The store is closed, or a copy is being swapped in for it at this moment. */
export class StoreClosedError extends KvorumError {
  readonly code = 'STORE_CLOSED';
  readonly disposition: ErrorDisposition = 'wait';

  constructor(location: string) {
    super(`the store in ${location} is closed or is being replaced by a copy`);
  }
}

/** The folder cannot be opened for a reason outside the store: permissions, a full disk, another process. */
export class StoreUnavailableError extends KvorumError {
  readonly code = 'STORE_UNAVAILABLE';
  readonly disposition: ErrorDisposition = 'final';
  readonly location: string;

  constructor(location: string, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`the store in ${location} cannot be opened: ${reason}; make the folder accessible to this process`, {
      cause,
    });
    this.location = location;
  }
}

/** What LevelDB's refusal to open a folder means. */
export function openFailure(location: string, error: unknown): KvorumError {
  if (error instanceof KvorumError) return error;
  // The wrapper says only "failed to open"; LevelDB's own words are in its cause.
  const cause = (error as { cause?: unknown }).cause ?? error;
  if ((cause as { code?: unknown }).code !== 'LEVEL_CORRUPTION') return new StoreUnavailableError(location, cause);
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new CorruptStoreError(location, `is damaged: ${reason}`, { cause });
}

/** @throws SnapshotTooOldError when history at `readTs` is not kept any more */
export function assertReadable(readTs: HlcTimestamp, threshold: HlcTimestamp): void {
  if (readTs < threshold) throw new SnapshotTooOldError(readTs, threshold);
}
