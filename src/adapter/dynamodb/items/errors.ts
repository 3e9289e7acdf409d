/** Errors among item operations that no client sees. */
import { type ErrorDisposition, type HlcTimestamp, KvorumError } from '../../../platform/index.ts';

/** The table is another than the one that was worked by, or is gone: nothing happened; look it up and begin again. */
export class StaleTableError extends KvorumError {
  readonly code = 'DYNAMODB_STALE_TABLE';
  readonly disposition: ErrorDisposition = 'restart';

  constructor() {
    super('the table was changed meanwhile');
  }
}

/** An earlier attempt of the same call has written the item, and nobody else has since: nothing happened now. */
export class AlreadyWrittenError extends KvorumError {
  readonly code = 'DYNAMODB_ALREADY_WRITTEN';
  readonly disposition: ErrorDisposition = 'final';
  /** When it did. */
  readonly commitTs: HlcTimestamp;

  constructor(commitTs: HlcTimestamp) {
    super('an earlier attempt of the call has written the item');
    this.commitTs = commitTs;
  }
}
