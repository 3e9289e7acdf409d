/**
 * The authority of a cluster: a folder with `ca.pem`, the certificates that count, and `ca.key`, the private key of the one that signs.
 * Whoever has that key can make nodes and operators; it belongs on the machine of whoever looks after the cluster, and on no node.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import type { Millis } from '../../src/platform/index.ts';
import { CertificateError } from '../../src/security/index.ts';
import { CommandFailure } from '../cli/failure.ts';
import { replacePublicFile, replaceSecretFile, textIfThere } from './files.ts';
import {
  type Issued,
  makeAuthority,
  makeCertificate,
  RESERVED_SUFFIX,
  renewCertificate,
  type Signer,
  type Subject,
  subjectOf,
  type Validity,
} from './x509.ts';

export const AUTHORITY_FILE = 'ca.pem';
const KEY_FILE = 'ca.key';
const DAY_MS = 24 * 3_600_000;
/** A machine whose clock is a little behind takes a new certificate all the same. */
const BACKDATED_MS = 3_600_000;
/** A name goes into a subject, which RFC 5280 bounds, and names a folder. */
const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/i;
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g;

function validityOf(nowMs: Millis, days: number): Validity {
  return { fromMs: nowMs - BACKDATED_MS, untilMs: nowMs + days * DAY_MS };
}

/** Whether `certificate` was signed by `issuer`. */
const isSignedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);

/** @param path for the message @throws CertificateError */
function certificatesIn(pem: string, path: string): X509Certificate[] {
  try {
    return (pem.match(PEM_CERTIFICATE) ?? []).map((block) => new X509Certificate(block));
  } catch (error) {
    throw new CertificateError(`a certificate in the CA file ${path} is damaged`, { cause: error });
  }
}

/** A name of a cluster, a node or a client. @throws CommandFailure when it cannot stand in a certificate */
export function checkedName(what: string, name: string): string {
  if (NAME.test(name)) return name;
  throw new CommandFailure(
    `the name of ${what} must be 1 to 64 letters, digits, dots, dashes and underscores, with a letter or a digit at both ends, not ${JSON.stringify(name)}`,
    2,
  );
}

/** What counts, and what signs. */
interface Parts {
  readonly folder: string;
  readonly cluster: string;
  readonly pem: string;
  readonly key: KeyObject;
}

/** See the top of the file. */
export class Authority {
  readonly folder: string;
  /** The cluster that its certificates are for. */
  readonly cluster: string;
  /** The certificates that count, in PEM. */
  readonly pem: string;
  private readonly certificates: readonly X509Certificate[];
  private readonly signer: Signer;

  private constructor({ folder, cluster, pem, key }: Parts, certificate: X509Certificate) {
    this.folder = folder;
    this.cluster = cluster;
    this.pem = pem;
    this.certificates = certificatesIn(pem, folder);
    this.signer = { certificate, key };
  }

  /** Makes a new one. @throws CommandFailure when the folder has one already */
  static async create(folder: string, clusterName: string, days: number, nowMs: Millis): Promise<Authority> {
    const cluster = checkedName('a cluster', clusterName);
    for (const file of [AUTHORITY_FILE, KEY_FILE]) {
      if ((await textIfThere(join(folder, file))) === undefined) continue;
      throw new CommandFailure(`${join(folder, file)} is there already; --replace puts a new authority beside it`);
    }
    return Authority.write(folder, cluster, '', days, nowMs);
  }

  private static async write(
    folder: string,
    cluster: string,
    others: string,
    days: number,
    nowMs: Millis,
  ): Promise<Authority> {
    const { cert, key } = makeAuthority(cluster, validityOf(nowMs, days));
    // The key last: until it is there the one before signs, and its certificate is among those that count.
    await replacePublicFile(join(folder, AUTHORITY_FILE), cert + others);
    await replaceSecretFile(join(folder, KEY_FILE), key);
    const parts = { folder, cluster, pem: cert + others, key: createPrivateKey(key) };
    return new Authority(parts, new X509Certificate(cert));
  }

  /**
   * The one of a folder, which may have been made by another program.
   * @param clusterName for one whose certificate does not say it (O)
   * @throws CertificateError, CommandFailure
   */
  static async open(folder: string, clusterName?: string): Promise<Authority> {
    const path = join(folder, AUTHORITY_FILE);
    const pem = await textIfThere(path);
    if (pem === undefined)
      throw new CertificateError(`the CA file ${path} does not exist; kvorum init and kvorum certs authority make one`);
    const keyText = await textIfThere(join(folder, KEY_FILE));
    if (keyText === undefined)
      throw new CertificateError(`the key file ${join(folder, KEY_FILE)} does not exist; only who has it can sign`);
    let key: KeyObject;
    try {
      key = createPrivateKey(keyText);
    } catch {
      // The cause is left out: its text comes from the bytes of the key.
      throw new CertificateError(`the key file ${join(folder, KEY_FILE)} holds no private key in PEM format`);
    }
    const certificate = certificatesIn(pem, path).find((each) => each.checkPrivateKey(key));
    if (certificate === undefined)
      throw new CertificateError(`the key in ${join(folder, KEY_FILE)} does not belong to a certificate in ${path}`);
    const cluster = subjectOf(certificate).cluster ?? clusterName;
    if (cluster === undefined)
      throw new CommandFailure(`the certificate in ${path} names no cluster (O); say it with --cluster-name`, 2);
    return new Authority({ folder, cluster, pem, key }, certificate);
  }

  /** When the certificate that signs ends, unix milliseconds. */
  get endsAtMs(): Millis {
    return this.signer.certificate.validToDate.getTime();
  }

  /** How many certificates count. */
  get count(): number {
    return this.certificates.length;
  }

  /** A new authority in its place; certificates of the old one count until it is retired. @throws the system's error */
  replace(days: number, nowMs: Millis): Promise<Authority> {
    return Authority.write(this.folder, this.cluster, this.pem, days, nowMs);
  }

  /** Certificates of older authorities count no more. @throws the system's error */
  async retireOthers(): Promise<Authority> {
    const { certificate, key } = this.signer;
    const pem = certificate.toString();
    await replacePublicFile(join(this.folder, AUTHORITY_FILE), pem);
    return new Authority({ folder: this.folder, cluster: this.cluster, pem, key }, certificate);
  }

  /** A certificate never outlives its authority. */
  private validity(days: number, nowMs: Millis): Validity {
    const { fromMs, untilMs } = validityOf(nowMs, days);
    if (this.endsAtMs <= nowMs)
      throw new CertificateError(
        `the authority in ${join(this.folder, AUTHORITY_FILE)} has ended; kvorum certs authority --replace makes a new one`,
      );
    return { fromMs, untilMs: Math.min(untilMs, this.endsAtMs) };
  }

  /** @param hosts names and addresses of a node; none for others. @throws CertificateError, CommandFailure */
  issue({ name, role }: Omit<Subject, 'cluster'>, hosts: readonly string[], days: number, nowMs: Millis): Issued {
    const subject = { name: checkedName('a certificate', name), role, cluster: this.cluster };
    for (const each of [name, ...hosts]) {
      if (each.toLowerCase().endsWith(RESERVED_SUFFIX))
        throw new CommandFailure(`${each} ends with ${RESERVED_SUFFIX}: nodes would take it for the name of a role`, 2);
    }
    return makeCertificate(subject, hosts, this.signer, this.validity(days, nowMs));
  }

  /** One for the holder of a certificate of this authority. @throws CertificateError */
  renew(old: X509Certificate, days: number, nowMs: Millis): Issued {
    return renewCertificate(old, this.signer, this.validity(days, nowMs));
  }

  /** Whether a certificate leads here. */
  hasSigned(certificate: X509Certificate): boolean {
    return this.certificates.some((authority) => isSignedBy(certificate, authority));
  }

  /** Whether the one that signs now has signed it. */
  hasSignedLately(certificate: X509Certificate): boolean {
    return isSignedBy(certificate, this.signer.certificate);
  }
}
