export {
  ACCESS_ROLES,
  AccessPolicy,
  type AccessRole,
  type AccessRules,
  type Caller,
  EVERYBODY,
  nameOfCaller,
  type RoleNames,
} from './access.ts';
export { CertificateStore, type LiveCertificates } from './certificate-store.ts';
export {
  type CertificateFiles,
  type Certificates,
  type CertificateUse,
  readAuthorityFile,
  readCertificates,
} from './certificates.ts';
export { ClusterSecret, type PeerSecret } from './cluster-secret.ts';
export { type DataKey, DataKeys, SEAL_BYTES, Sealing } from './data-keys.ts';
export {
  AccessError,
  CertificateError,
  EncryptionKeyError,
  EncryptionKeyMissingError,
  PasswordFileError,
  SealedFileError,
  SecretFileError,
  TokenFileError,
  WrongEncryptionKeyError,
} from './errors.ts';
export { FileRefresher, type FileRefresherOptions, type Refreshable, type SecurityLogger } from './file-refresher.ts';
export {
  type CallerCertificates,
  type ChannelSecurity,
  channelSecurity,
  namesOfCaller,
  serverCredentials,
} from './grpc.ts';
export { type Admission, GuessLimiter } from './guess-limiter.ts';
export { explainHandshake } from './handshake.ts';
export { checkKeyRing, hasKeyRing, KeyRing, type KeyRingOptions } from './key-ring.ts';
export { type KeyPlace, KeySource } from './key-source.ts';
export { deriveKey, KEY_BYTES, nameOfWrapping, WrappingKeys } from './key-wrapping.ts';
export { asksForLane, laneDialOptions, laneHandshakes } from './lane-tls.ts';
export { isLoopback } from './loopback.ts';
export { type PasswordCheck, type PasswordSource, Passwords } from './passwords.ts';
export { SealedDisk } from './sealed-disk.ts';
export { HIDDEN, Secret } from './secret.ts';
export { readSecretFile } from './secret-file.ts';
export { guardTlsPort, type TlsPort, type TlsPortLogger, tlsPortOptions } from './tls-port.ts';
export { Tokens } from './tokens.ts';
