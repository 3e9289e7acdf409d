/** What can be wrong with certificates, keys, passwords and callers. Messages name the file, and never what is in it. */
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

/** A key for what is stored cannot be had, or is none; nothing was written with it. */
export class EncryptionKeyError extends KvorumError {
  readonly code = 'ENCRYPTION_KEY_INVALID';
  readonly disposition: ErrorDisposition = 'final';
}

/** What is stored is encrypted, and no key is given; nothing was written. */
export class EncryptionKeyMissingError extends KvorumError {
  readonly code = 'ENCRYPTION_KEY_MISSING';
  readonly disposition: ErrorDisposition = 'final';
}

/** What is stored was encrypted under another key than those that are given; nothing was written. */
export class WrongEncryptionKeyError extends KvorumError {
  readonly code = 'ENCRYPTION_KEY_WRONG';
  readonly disposition: ErrorDisposition = 'final';
  /** Name of the key that is needed. */
  readonly needed: string;

  /** @param given names of the keys that were tried */
  constructor(what: string, needed: string, given: readonly string[]) {
    super(
      `${what} needs key ${needed}, and the keys that are given are ${given.join(', ')}; give that key too, behind the one that is ` +
        'to be used from now on',
    );
    this.needed = needed;
  }
}

/** A file of tokens cannot be used; the tokens that were in use before stay so. */
export class TokenFileError extends KvorumError {
  readonly code = 'TOKEN_FILE_INVALID';
  readonly disposition: ErrorDisposition = 'final';
}

/** A file with the secret of the cluster cannot be used; what was in use before stays so. */
export class SecretFileError extends KvorumError {
  readonly code = 'SECRET_FILE_INVALID';
  readonly disposition: ErrorDisposition = 'final';
}

/** A caller does not prove who it is, or may not do what it asks for. */
export class AccessError extends KvorumError {
  readonly code: 'UNAUTHENTICATED' | 'ROLE_MISSING';
  readonly disposition: ErrorDisposition = 'final';

  constructor(code: AccessError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** An encrypted file cannot be opened, or one that should be encrypted is not. */
export class SealedFileError extends KvorumError {
  readonly code = 'ENCRYPTED_FILE_DAMAGED';
  readonly disposition: ErrorDisposition = 'final';
}
