/**
 * The certificates in the folder of an authority: each holder has a folder with its certificate, its key and a copy of `ca.pem`, which is what
 * goes to the holder's machine. Renewal writes there; whoever copies the folders to the machines needs to know nothing else.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Millis } from '../../src/platform/index.ts';
import { CommandFailure } from '../cli/failure.ts';
import { AUTHORITY_FILE, type Authority } from './authority.ts';
import { replacePublicFile, replaceSecretFile, textIfThere } from './files.ts';
import type { Issued, Role } from './x509.ts';

const DAY_MS = 24 * 3_600_000;
const CERTIFICATE = /\.pem$/;

/** The name of a holder's files, without `.pem` and `.key`. */
export const fileNameOf = (role: Role): string => (role === 'node' ? 'node' : 'client');

/** A certificate that was found. */
export interface KeptCertificate {
  readonly path: string;
  readonly certificate: X509Certificate;
  /** Whether the key beside it belongs to it; a renewal that was interrupted leaves one that does not. */
  readonly hasItsKey: boolean;
  /** Whether it is of this authority, the older certificates of it included. */
  readonly isOurs: boolean;
}

const keyPathOf = (path: string): string => path.replace(CERTIFICATE, '.key');

function certificateIn(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

function belongs(certificate: X509Certificate, key: string | undefined): boolean {
  try {
    return key !== undefined && certificate.checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && CERTIFICATE.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** Every certificate below the folder of an authority, by path; authorities themselves are left out. */
export async function keptCertificates(authority: Authority): Promise<KeptCertificate[]> {
  const kept: KeptCertificate[] = [];
  for (const path of await filesBelow(authority.folder)) {
    const certificate = certificateIn((await textIfThere(path)) ?? '');
    if (certificate === undefined || certificate.ca) continue;
    const key = await textIfThere(keyPathOf(path));
    kept.push({
      path,
      certificate,
      hasItsKey: belongs(certificate, key),
      isOurs: authority.hasSigned(certificate),
    });
  }
  return kept;
}

/** Writes certificate and key, each in one step. @param path of the certificate. @throws the system's error */
async function writeIssued(path: string, { cert, key }: Issued): Promise<void> {
  await replaceSecretFile(keyPathOf(path), key);
  await replacePublicFile(path, cert);
}

/**
 * Makes the folder of a holder.
 * @returns its path
 * @throws CommandFailure when there is a certificate already
 */
export async function addHolder(authority: Authority, name: string, role: Role, issued: Issued): Promise<string> {
  const folder = join(authority.folder, name);
  const path = join(folder, `${fileNameOf(role)}.pem`);
  if ((await textIfThere(path)) !== undefined)
    throw new CommandFailure(`${path} is there already; kvorum certs renew makes a new one for the same holder`);
  await writeIssued(path, issued);
  await replacePublicFile(join(folder, AUTHORITY_FILE), authority.pem);
  return folder;
}

/** What is renewed: everything, or what ends within so many days. */
export interface RenewalRange {
  readonly all: boolean;
  readonly withinDays: number;
}

/** Why a certificate needs to be renewed; undefined when it does not. */
function reasonFor(
  kept: KeptCertificate,
  authority: Authority,
  range: RenewalRange,
  nowMs: Millis,
): string | undefined {
  const leftDays = Math.floor((kept.certificate.validToDate.getTime() - nowMs) / DAY_MS);
  if (!kept.hasItsKey) return 'its key is missing or another one';
  if (!authority.hasSignedLately(kept.certificate)) return 'it is of an older authority';
  if (leftDays < 0) return 'it has ended';
  if (leftDays <= range.withinDays) return `it ends within ${leftDays + 1} days`;
  return range.all ? 'all are renewed' : undefined;
}

/** A certificate that was renewed, and why. */
export interface Renewed {
  readonly path: string;
  readonly reason: string;
}

/** Renews what is due. @throws CertificateError, the system's error */
export async function renewCertificates(
  authority: Authority,
  range: RenewalRange,
  days: number,
  nowMs: Millis,
): Promise<Renewed[]> {
  const renewed: Renewed[] = [];
  for (const kept of await keptCertificates(authority)) {
    const reason = kept.isOurs ? reasonFor(kept, authority, range, nowMs) : undefined;
    if (reason === undefined) continue;
    await writeIssued(kept.path, authority.renew(kept.certificate, days, nowMs));
    renewed.push({ path: kept.path, reason });
  }
  return renewed;
}

/** Brings the copies of `ca.pem` that holders have up to date. @returns those that were not. @throws the system's error */
export async function updateAuthorityCopies(authority: Authority): Promise<string[]> {
  const updated: string[] = [];
  for (const path of await filesBelow(authority.folder)) {
    if (!path.endsWith(`/${AUTHORITY_FILE}`) || (await textIfThere(path)) === authority.pem) continue;
    await replacePublicFile(path, authority.pem);
    updated.push(path);
  }
  return updated;
}
