/** What can be wrong with certificates, keys and passwords. Messages name the file, and never what is in it. */
import { type ErrorDisposition, KvorumError } from '../platform/index.ts';

/** A certificate, key or file of certificates cannot be used; whatever was in use before stays so. */
export class CertificateError extends KvorumError {
  readonly code = 'CERTIFICATE_INVALID';
  readonly disposition: ErrorDisposition = 'final';
}

/** A file of passwords cannot be used; the passwords that were in use before stay so. */
export class PasswordFileError extends KvorumError {
  readonly code = 'PASSWORD_FILE_INVALID';
  readonly disposition: ErrorDisposition = 'final';
}
