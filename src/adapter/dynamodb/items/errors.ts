/** Errors among item operations that no client sees. */
import { type ErrorDisposition, KvorumError } from '../../../platform/index.ts';

/** The table is another than the one that was worked by, or is gone: nothing happened; look it up and begin again. */
export class StaleTableError extends KvorumError {
  readonly code = 'DYNAMODB_STALE_TABLE';
  readonly disposition: ErrorDisposition = 'restart';

  constructor() {
    super('the table was changed meanwhile');
  }
}
