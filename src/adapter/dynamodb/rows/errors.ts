/** What is wrong with stored rows. */
import { type ErrorDisposition, KvorumError } from '../../../platform/index.ts';

/** A row of the adapter cannot be understood: a newer program wrote it, or it is damaged. */
export class CorruptRowError extends KvorumError {
  readonly code = 'DYNAMODB_CORRUPT_ROW';
  readonly disposition: ErrorDisposition = 'final';
}
