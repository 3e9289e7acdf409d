/** Certificates in use, renewed from their files while the process runs. */
import { type Clock, counted } from '../platform/index.ts';
import { type CertificateFiles, type Certificates, type CertificateUse, readCertificates } from './certificates.ts';
import type { Refreshable } from './file-refresher.ts';

/** Warnings begin this long before a certificate ends. */
const WARN_BEFORE_MS = 14 * 24 * 3_600_000;
const DAY_MS = 24 * 3_600_000;

/** The certificates that connections are made with now. */
export interface LiveCertificates {
  readonly current: Certificates;
  /** Told after `current` has changed. */
  onChange(listener: (renewed: Certificates) => void): void;
}

/** See the top of the file. */
export class CertificateStore implements LiveCertificates, Refreshable {
  readonly what: string;
  private readonly files: CertificateFiles;
  private readonly use: CertificateUse;
  private readonly clock: Clock;
  private readonly listeners: ((renewed: Certificates) => void)[] = [];
  private certificates: Certificates;

  private constructor(files: CertificateFiles, use: CertificateUse, clock: Clock, certificates: Certificates) {
    this.what = `certificate ${files.cert}`;
    this.files = files;
    this.use = use;
    this.clock = clock;
    this.certificates = certificates;
  }

  /** @throws CertificateError that names the file */
  static async open(files: CertificateFiles, use: CertificateUse, clock: Clock): Promise<CertificateStore> {
    return new CertificateStore(files, use, clock, await readCertificates(files, use, clock.nowMs()));
  }

  get current(): Certificates {
    return this.certificates;
  }

  onChange(listener: (renewed: Certificates) => void): void {
    this.listeners.push(listener);
  }

  async refresh(): Promise<boolean> {
    const read = await readCertificates(this.files, this.use, this.clock.nowMs());
    const { cert, key, ca } = this.certificates;
    const isSameCa = ca === undefined || read.ca === undefined ? ca === read.ca : ca.equals(read.ca);
    if (cert.equals(read.cert) && key.equals(read.key) && isSameCa) return false;
    this.certificates = read;
    for (const listener of this.listeners) listener(read);
    return true;
  }

  warning(): string | undefined {
    const leftMs = this.certificates.expiresAtMs - this.clock.nowMs();
    if (leftMs > WARN_BEFORE_MS) return undefined;
    const days = Math.floor(leftMs / DAY_MS);
    return `the certificate in ${this.files.cert} expires in ${counted(days, 'day')}; put a new one in its place`;
  }
}
