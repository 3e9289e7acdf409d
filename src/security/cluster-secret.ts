/**
 * The secret that the nodes of a cluster share where no certificates tell them from strangers. A node proves that it has it by an
 * HMAC (RFC 2104) over what it says of itself and of whom it speaks to, so the secret itself never leaves it. The file has one
 * secret a line: the first is what this node proves with, all of them count, so that nodes can go from one to the next.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { SecretFileError } from './errors.ts';
import type { Refreshable } from './file-refresher.ts';
import { readSecretFile } from './secret-file.ts';

/** Proofs that a node is one of the cluster. */
export interface PeerSecret {
  /** Peers without a proof are refused; a wrong one always is. */
  readonly isRequired: boolean;
  /** @param facts what is proven, in a fixed order @returns text for a header */
  prove(facts: readonly string[]): string;
  /** True when somebody with one of the secrets that count has proven these facts. */
  accepts(facts: readonly string[], proof: string): boolean;
}

const MAX_FILE_LENGTH = 16 * 1024;
/** More than this many at a time is no rotation; each costs an HMAC at a connection. */
const MAX_SECRETS = 4;
/** A proof can be tried against words at leisure by whoever has seen it: 128 bits in hexadecimal digits. */
const MIN_SECRET_LENGTH = 32;

const macOf = (secret: string, facts: readonly string[]): Buffer =>
  createHmac('sha256', secret).update(JSON.stringify(facts)).digest();

async function readClusterSecrets(path: string): Promise<readonly string[]> {
  const refuse = (reason: string): never => {
    throw new SecretFileError(`the file ${path} with the secret of the cluster ${reason}`);
  };
  const text = await readSecretFile(path, MAX_FILE_LENGTH, refuse);
  const lines = text.split(/\r?\n/).filter((line) => line !== '');
  if (lines.length === 0) refuse('holds none; it has one a line: openssl rand -hex 32');
  if (lines.length > MAX_SECRETS) refuse(`holds ${lines.length}; at most ${MAX_SECRETS} count at a time`);
  if (lines.some((line) => line.length < MIN_SECRET_LENGTH)) {
    refuse(`holds one of less than ${MIN_SECRET_LENGTH} characters: openssl rand -hex 32`);
  }
  return lines;
}

/** See the top of the file. */
export class ClusterSecret implements PeerSecret, Refreshable {
  readonly what: string;
  readonly isRequired: boolean;
  private readonly file: string;
  private secrets: readonly string[];

  private constructor(file: string, isRequired: boolean, secrets: readonly string[]) {
    this.what = `cluster secret ${file}`;
    this.file = file;
    this.isRequired = isRequired;
    this.secrets = secrets;
  }

  /** @param file undefined: there is none @throws SecretFileError */
  static async open(file: string | undefined, isRequired: boolean): Promise<ClusterSecret | undefined> {
    return file === undefined ? undefined : new ClusterSecret(file, isRequired, await readClusterSecrets(file));
  }

  prove(facts: readonly string[]): string {
    return macOf(this.secrets[0]!, facts).toString('hex');
  }

  accepts(facts: readonly string[], proof: string): boolean {
    const given = Buffer.from(proof, 'hex');
    let found = 0;
    for (const secret of this.secrets) {
      const expected = macOf(secret, facts);
      found |= Number(given.length === expected.length && timingSafeEqual(given, expected));
    }
    return found !== 0;
  }

  async refresh(): Promise<boolean> {
    const read = await readClusterSecrets(this.file);
    if (read.length === this.secrets.length && read.every((one, at) => one === this.secrets[at])) return false;
    this.secrets = read;
    return true;
  }
}
