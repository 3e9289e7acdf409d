/**
 * Certificates from PEM files, checked before anything is served with them: a handshake that fails tells neither side what
 * is wrong, so everything that can be known beforehand is said here, with the name of the file.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Millis } from '../platform/index.ts';
import { CertificateError } from './errors.ts';

/** Names of PEM files. */
export interface CertificateFiles {
  /** The certificate, followed by intermediate ones if there are any. */
  readonly cert: string;
  /** Its private key, without a passphrase. */
  readonly key: string;
  /** Certificates of the authorities that the other side's certificate must lead to; undefined checks nobody. */
  readonly ca?: string | undefined;
}

/** What the files held; all of them were read together and fit each other. */
export interface Certificates {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca: Buffer | undefined;
  /** When the first certificate ends, unix milliseconds. */
  readonly expiresAtMs: Millis;
}

/**
 * What a certificate is for: `server` is shown to clients, `client` to servers, `peer` to both, and there it must lead to
 * the own authorities, because the other nodes ask for that.
 */
export type CertificateUse = 'server' | 'client' | 'peer';

/** No file of certificates is as long; another kind of file was named. */
const MAX_FILE_BYTES = 1024 * 1024;
const MAX_CHAIN_LENGTH = 10;
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
/** Extended key usages, RFC 5280 §4.2.1.12. */
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
const ANY_USE = '2.5.29.37.0';

async function readPem(path: string, what: string): Promise<Buffer> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`;
    throw new CertificateError(`the ${what} file ${path} ${reason}`, { cause: error });
  }
  if (bytes.length > MAX_FILE_BYTES) throw new CertificateError(`the ${what} file ${path} is too long for one`);
  return bytes;
}

function parseCertificates(pem: Buffer, path: string, what: string): X509Certificate[] {
  const blocks = pem.toString('latin1').match(PEM_CERTIFICATE) ?? [];
  if (blocks.length === 0) throw new CertificateError(`the ${what} file ${path} holds no certificate in PEM format`);
  return blocks.map((block, at) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw new CertificateError(`certificate ${at + 1} in the ${what} file ${path} is damaged`, { cause: error });
    }
  });
}

function parseKey(pem: Buffer, path: string): KeyObject {
  if (/-----BEGIN ENCRYPTED|Proc-Type: 4,ENCRYPTED/.test(pem.toString('latin1'))) {
    throw new CertificateError(`the key file ${path} is encrypted; a key without a passphrase is needed`);
  }
  try {
    return createPrivateKey(pem);
  } catch {
    // The cause is left out: its text comes from the bytes of the key.
    throw new CertificateError(`the key file ${path} holds no private key in PEM format`);
  }
}

const nameOf = (certificate: X509Certificate): string => certificate.subject.replaceAll('\n', ', ') || 'without a name';
const dateOf = (date: Date): string => date.toISOString().replace(/\.\d+Z$/, 'Z');

/** Why a certificate does not count now; undefined when it does. */
function timeProblem(certificate: X509Certificate, nowMs: Millis): string | undefined {
  if (certificate.validToDate.getTime() <= nowMs) return `expired on ${dateOf(certificate.validToDate)}`;
  if (certificate.validFromDate.getTime() > nowMs) {
    return `is not valid before ${dateOf(certificate.validFromDate)}; is the clock of this machine right?`;
  }
  return undefined;
}

const isSignedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);

/** True when the first of `chain` leads to one of `authorities`, with the help of the others. */
function leadsTo(authorities: readonly X509Certificate[], chain: readonly X509Certificate[]): boolean {
  let current = chain[0]!;
  for (let depth = 0; depth < MAX_CHAIN_LENGTH; depth++) {
    if (authorities.some((ca) => ca.fingerprint256 === current.fingerprint256 || isSignedBy(current, ca))) return true;
    const issuer = chain.find((other) => other !== current && isSignedBy(current, other));
    if (issuer === undefined) return false;
    current = issuer;
  }
  return false;
}

function checkUse(leaf: X509Certificate, path: string, use: CertificateUse): void {
  // The type says string[]; a certificate without the extension has undefined, and is good for everything.
  const allowed: readonly string[] | undefined = leaf.keyUsage;
  if (allowed === undefined || allowed.includes(ANY_USE)) return;
  const asServer = use === 'client' || allowed.includes(SERVER_AUTH);
  const asClient = use === 'server' || allowed.includes(CLIENT_AUTH);
  if (asServer && asClient) return;
  const lacking = asServer ? 'clients (clientAuth)' : 'servers (serverAuth)';
  const reason = use === 'peer' ? '; a node is both to the others' : '';
  throw new CertificateError(`the certificate in ${path} (${nameOf(leaf)}) is not meant for ${lacking}${reason}`);
}

/**
 * Reads the files and checks them: they exist, hold what they should, belong together, and count at `nowMs`.
 * @throws CertificateError that names the file
 */
export async function readCertificates(
  files: CertificateFiles,
  use: CertificateUse,
  nowMs: Millis,
): Promise<Certificates> {
  const cert = await readPem(files.cert, 'certificate');
  const chain = parseCertificates(cert, files.cert, 'certificate');
  const leaf = chain[0]!;
  const wrongTime = timeProblem(leaf, nowMs);
  if (wrongTime !== undefined) {
    throw new CertificateError(`the certificate in ${files.cert} (${nameOf(leaf)}) ${wrongTime}`);
  }
  checkUse(leaf, files.cert, use);
  const key = await readPem(files.key, 'key');
  if (!leaf.checkPrivateKey(parseKey(key, files.key))) {
    throw new CertificateError(`the key in ${files.key} does not belong to the certificate in ${files.cert}`);
  }
  const ca = files.ca === undefined ? undefined : await readAuthorities(files.ca, nowMs);
  if (ca !== undefined && use === 'peer' && !leadsTo(ca.authorities, chain)) {
    throw new CertificateError(
      `the certificate in ${files.cert} (${nameOf(leaf)}) is not signed by an authority in ${files.ca}: the other nodes would refuse it`,
    );
  }
  return { cert, key, ca: ca?.pem, expiresAtMs: leaf.validToDate.getTime() };
}

/** Authorities from a file, of which at least one counts now. @throws CertificateError */
async function readAuthorities(
  path: string,
  nowMs: Millis,
): Promise<{ readonly pem: Buffer; readonly authorities: readonly X509Certificate[] }> {
  const pem = await readPem(path, 'CA');
  const authorities = parseCertificates(pem, path, 'CA');
  const problems = authorities.map((ca) => timeProblem(ca, nowMs));
  if (!problems.includes(undefined)) {
    throw new CertificateError(`the CA certificate in ${path} (${nameOf(authorities[0]!)}) ${problems[0]}`);
  }
  return { pem, authorities };
}

/** The authorities alone, for a caller without a certificate of its own. @throws CertificateError */
export async function readAuthorityFile(path: string, nowMs: Millis): Promise<Buffer> {
  return (await readAuthorities(path, nowMs)).pem;
}
