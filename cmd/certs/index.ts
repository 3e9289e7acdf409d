/**
 * Certificates of a cluster: its authority, the certificates of its nodes and of those who use it, and their renewal. `der` writes the bytes,
 * `x509` knows what is in a certificate, `authority` signs, `certificate-tree` is the folder in which all of them are kept.
 */
export { AUTHORITY_FILE, Authority, checkedName } from './authority.ts';
export {
  addHolder,
  fileNameOf,
  type KeptCertificate,
  keptCertificates,
  type Renewed,
  renewCertificates,
  updateAuthorityCopies,
} from './certificate-tree.ts';
export { replacePublicFile, replaceSecretFile, textIfThere } from './files.ts';
export { makeAuthority, makeCertificate, ROLES, type Role, roleNameOf, subjectOf } from './x509.ts';
