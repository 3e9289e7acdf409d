/** What can be wrong with the files of the port. */
import { type ErrorDisposition, KvorumError } from '../../../platform/index.ts';

/** A file of DynamoDB credentials cannot be used; the keys that were in use before stay so. */
export class CredentialsFileError extends KvorumError {
  readonly code = 'CREDENTIALS_FILE_INVALID';
  readonly disposition: ErrorDisposition = 'final';
}
