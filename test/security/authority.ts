/** A certificate authority of a test: makes certificates with openssl in a folder that goes away. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Files of one certificate. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export interface IssueOptions {
  /** Below 0: expired. */
  readonly days?: number;
  /** For example `clientAuth`; none is good for everything. */
  readonly usage?: string;
}

const EC_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] });
}

export class TestAuthority {
  readonly folder = mkdtempSync(join(tmpdir(), 'kvorum-ca-'));
  readonly ca = this.path('ca.pem');

  constructor(name = 'test authority') {
    const subject = `/CN=${name}`;
    openssl('req', '-x509', ...EC_KEY, '-keyout', this.path('ca.key'), '-out', this.ca, '-subj', subject, '-days', '3');
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** A certificate for 127.0.0.1 and localhost. */
  issue(name: string, { days = 2, usage }: IssueOptions = {}): Issued {
    const [cert, key, request, extensions] = ['pem', 'key', 'csr', 'ext'].map((kind) =>
      this.path(`${name}.${kind}`),
    ) as [string, string, string, string];
    openssl('req', ...EC_KEY, '-keyout', key, '-out', request, '-subj', `/CN=${name}`);
    const use = usage === undefined ? '' : `extendedKeyUsage=${usage}\n`;
    writeFileSync(extensions, `subjectAltName=IP:127.0.0.1,DNS:localhost\n${use}`);
    const signed = ['-CA', this.ca, '-CAkey', this.path('ca.key'), '-CAcreateserial'];
    openssl('x509', '-req', '-in', request, ...signed, '-days', `${days}`, '-extfile', extensions, '-out', cert);
    return { cert, key, ca: this.ca };
  }

  /** Puts the files of one certificate in the place of another's, each at once. */
  replace(place: Issued, by: Issued): void {
    for (const file of ['cert', 'key', 'ca'] as const) {
      if (place[file] === by[file]) continue;
      copyFileSync(by[file], `${place[file]}.new`);
      renameSync(`${place[file]}.new`, place[file]);
    }
  }

  read(issued: Issued): { readonly cert: Buffer; readonly key: Buffer; readonly ca: Buffer } {
    return { cert: readFileSync(issued.cert), key: readFileSync(issued.key), ca: readFileSync(issued.ca) };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
