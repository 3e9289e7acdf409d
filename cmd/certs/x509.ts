/**
 * Certificates (X.509, RFC 5280) made with the keys and signatures of node:crypto, which can read them and cannot make them. All keys are
 * on the curve P-256; an authority that was brought along may have an RSA key.
 *
 * A subject says to people who and what its holder is: CN is the name, OU the role, O the cluster. Nodes compare names, so each certificate
 * has the role as one of its DNS names too, `<role>.<cluster>.kvorum`, which a setting lists once for all holders, those to come included.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign, type X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { Millis } from '../../src/platform/index.ts';
import { ACCESS_ROLES, type AccessRole, CertificateError } from '../../src/security/index.ts';
import * as der from './der.ts';

/** What the holder of a certificate may be: one of the nodes, one of those who look after them, or a program that uses the keys. */
export const ROLES: readonly Role[] = ['node', ...ACCESS_ROLES];
export type Role = 'node' | AccessRole;

/** Whom a certificate names. */
export interface Subject {
  readonly name: string;
  readonly role: Role;
  readonly cluster: string;
}

/** From when to when a certificate counts. */
export interface Validity {
  readonly fromMs: Millis;
  readonly untilMs: Millis;
}

/** A certificate and its private key, both in PEM. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
}

/** What signs. */
export interface Signer {
  readonly certificate: X509Certificate;
  readonly key: KeyObject;
}

const OID = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  organizationalUnit: '2.5.4.11',
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  alternativeNames: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  sha256WithRsa: '1.2.840.113549.1.1.11',
} as const;

/** RFC 5280 §4.2.1.6: kinds of alternative names. */
const DNS_NAME = 2;
const IP_ADDRESS = 7;
/** RFC 5280 allows 20; the first bit stays clear so that the number is positive in as many bytes. */
const SERIAL_BYTES = 16;
const KEY_ID_BYTES = 20;

function extension(id: string, value: Uint8Array, isCritical = false): Buffer {
  return der.sequence(der.oid(id), ...(isCritical ? [der.TRUE] : []), der.octetString(value));
}

const attribute = (id: string, text: string): Buffer => der.setOf(der.sequence(der.oid(id), der.utf8String(text)));

const authorityName = (cluster: string): Buffer =>
  der.sequence(attribute(OID.organization, cluster), attribute(OID.commonName, `${cluster} authority`));

const subjectName = ({ name, role, cluster }: Subject): Buffer =>
  der.sequence(
    attribute(OID.organization, cluster),
    attribute(OID.organizationalUnit, role),
    attribute(OID.commonName, name),
  );

/** Any number that is the same for the same key will do (RFC 7093 §2). */
const keyIdOf = (publicKey: Uint8Array): Buffer =>
  createHash('sha256').update(publicKey).digest().subarray(0, KEY_ID_BYTES);

function addressBytes(host: string): Buffer {
  if (isIP(host) === 4) return Buffer.from(host.split('.').map(Number));
  // The URL parser writes an address of version 6 in its one short form, with `::` at most once.
  const [head, tail] = new URL(`http://[${host}]`).hostname.slice(1, -1).split('::');
  const words = (part: string | undefined): number[] =>
    part === undefined || part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16));
  const [before, after] = [words(head), words(tail)];
  const all = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
  return Buffer.from(all.flatMap((word) => [word >>> 8, word & 0xff]));
}

const alternativeNames = (hosts: readonly string[]): Buffer =>
  der.sequence(
    ...hosts.map((host) =>
      isIP(host) === 0
        ? der.tagged(DNS_NAME, Buffer.from(host, 'latin1'), 'implicit')
        : der.tagged(IP_ADDRESS, addressBytes(host), 'implicit'),
    ),
  );

/** The parts of a certificate that is there, as bytes. */
interface Parts {
  readonly subject: Buffer;
  /** Whole extensions, by their object identifier in DER. */
  extension(id: string): Buffer | undefined;
}

function partsOf(certificate: X509Certificate): Parts {
  const [body] = der.elementsIn(der.elementsIn(certificate.raw)[0]!.contents);
  // Version, serial number, algorithm, issuer, validity, subject, public key, extensions.
  const fields = der.elementsIn(body!.contents);
  const wrapped = fields.find(({ tag }) => tag === 0xa3);
  const extensions = wrapped === undefined ? [] : der.elementsIn(der.elementsIn(wrapped.contents)[0]!.contents);
  return {
    subject: fields[5]!.whole,
    extension: (id) =>
      extensions.find(({ contents }) => contents.subarray(0, der.oid(id).length).equals(der.oid(id)))?.whole,
  };
}

/** The identifier that an authority gives its own key; undefined when it gives none. */
function keyIdWritten(authority: X509Certificate): Buffer | undefined {
  const written = partsOf(authority).extension(OID.subjectKeyId);
  if (written === undefined) return undefined;
  const value = der.elementsIn(der.elementsIn(written)[0]!.contents).at(-1)!;
  return der.elementsIn(value.contents)[0]!.contents;
}

function signatureAlgorithm(key: KeyObject): Buffer {
  if (key.asymmetricKeyType === 'ec') return der.sequence(der.oid(OID.ecdsaWithSha256));
  if (key.asymmetricKeyType === 'rsa') return der.sequence(der.oid(OID.sha256WithRsa), der.NULL);
  throw new CertificateError(
    `an authority with a key of the kind ${key.asymmetricKeyType} cannot sign; give it an EC or an RSA key`,
  );
}

function pem(bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

interface Body {
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly publicKey: Buffer;
  readonly validity: Validity;
  readonly extensions: readonly Buffer[];
}

function signed({ issuer, subject, publicKey, validity, extensions }: Body, key: KeyObject): string {
  const serial = randomBytes(SERIAL_BYTES);
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const algorithm = signatureAlgorithm(key);
  const body = der.sequence(
    der.tagged(0, der.integer(Buffer.of(2)), 'explicit'),
    der.integer(serial),
    algorithm,
    issuer,
    der.sequence(der.time(new Date(validity.fromMs)), der.time(new Date(validity.untilMs))),
    subject,
    publicKey,
    der.tagged(3, der.sequence(...extensions), 'explicit'),
  );
  return pem(der.sequence(body, algorithm, der.bitString(sign('sha256', body, key))));
}

interface NewKey {
  readonly key: KeyObject;
  readonly keyPem: string;
  readonly publicKey: Buffer;
}

function newKey(): NewKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    key: privateKey,
    keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
  };
}

/** A new authority that signs itself. It signs certificates of holders, and no other authorities. */
export function makeAuthority(cluster: string, validity: Validity): Issued {
  const { key, keyPem, publicKey } = newKey();
  const name = authorityName(cluster);
  const keyId = keyIdOf(publicKey);
  const extensions = [
    extension(OID.basicConstraints, der.sequence(der.TRUE, der.integer(Buffer.of(0))), true),
    // keyCertSign and cRLSign.
    extension(OID.keyUsage, der.bitString(Buffer.of(0b0000_0110), 1), true),
    extension(OID.subjectKeyId, der.octetString(keyId)),
    extension(OID.authorityKeyId, der.sequence(der.tagged(0, keyId, 'implicit'))),
  ];
  return { cert: signed({ issuer: name, subject: name, publicKey, validity, extensions }, key), key: keyPem };
}

function leaf(subject: Buffer, named: readonly Buffer[], signer: Signer, validity: Validity): Issued {
  const { keyPem, publicKey } = newKey();
  const authorityKeyId = keyIdWritten(signer.certificate);
  const extensions = [
    extension(OID.basicConstraints, der.sequence(), true),
    // digitalSignature
    extension(OID.keyUsage, der.bitString(Buffer.of(0b1000_0000), 7), true),
    extension(OID.subjectKeyId, der.octetString(keyIdOf(publicKey))),
    ...(authorityKeyId === undefined
      ? []
      : [extension(OID.authorityKeyId, der.sequence(der.tagged(0, authorityKeyId, 'implicit')))]),
    ...named,
  ];
  const issuer = partsOf(signer.certificate).subject;
  return { cert: signed({ issuer, subject, publicKey, validity, extensions }, signer.key), key: keyPem };
}

/** What names of roles end with; no host and no holder has such a name. */
export const RESERVED_SUFFIX = '.kvorum';

/** The DNS name that all holders of a role have in their certificates, and nobody else has. Settings list it; nobody resolves it. */
export const roleNameOf = (role: Role, cluster: string): string => `${role}.${cluster}${RESERVED_SUFFIX}`;

/**
 * A certificate with a new key.
 * @param hosts names and addresses under which clients reach a node; none for those that only call
 */
export function makeCertificate(
  subject: Subject,
  hosts: readonly string[],
  signer: Signer,
  validity: Validity,
): Issued {
  const usages = [...(subject.role === 'node' ? [OID.serverAuth] : []), OID.clientAuth];
  const names = [...hosts, roleNameOf(subject.role, subject.cluster)];
  const named = [
    extension(OID.extendedKeyUsage, der.sequence(...usages.map(der.oid))),
    extension(OID.alternativeNames, alternativeNames(names)),
  ];
  return leaf(subjectName(subject), named, signer, validity);
}

/** A certificate for the same holder and the same use, with a new key. Whoever made the old one. */
export function renewCertificate(old: X509Certificate, signer: Signer, validity: Validity): Issued {
  const { subject, extension: find } = partsOf(old);
  const named = [OID.extendedKeyUsage, OID.alternativeNames].flatMap((id) => find(id) ?? []);
  return leaf(subject, named, signer, validity);
}

/** Whom a certificate names: the values of CN, OU and O; undefined where it has none. */
export function subjectOf({ subject }: X509Certificate): { name?: string; role?: string; cluster?: string } {
  const value = (attributeName: string): string | undefined =>
    new RegExp(`^${attributeName}=(.*)$`, 'm').exec(subject ?? '')?.[1];
  const [name, role, cluster] = [value('CN'), value('OU'), value('O')];
  return {
    ...(name === undefined ? {} : { name }),
    ...(role === undefined ? {} : { role }),
    ...(cluster === undefined ? {} : { cluster }),
  };
}
