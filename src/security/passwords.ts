/**
 * The passwords that clients may give. Several count at a time, so that clients can change from one to the next: add the new
 * one to the file, change the clients, take the old one out. Only digests are kept, and every one is compared in full,
 * so that the time of an answer says nothing about how much of a guess was right.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { PasswordFileError } from './errors.ts';
import type { Refreshable } from './file-refresher.ts';
import type { Secret } from './secret.ts';
import { readSecretFile } from './secret-file.ts';

/** Asked by a front end. */
export interface PasswordCheck {
  /** Takes the same time whatever is right or wrong about the password. */
  matches(password: Buffer): boolean;
  /** SHA-256 digests, hexadecimal; another list whenever they change. */
  readonly hashes: readonly string[];
}

/** Where passwords come from: one, or a file with one a line. */
export interface PasswordSource {
  readonly password?: Secret | undefined;
  readonly file?: string | undefined;
}

const MAX_FILE_BYTES = 64 * 1024;
/** More than this many at a time is no rotation; each costs a digest comparison at every try. */
const MAX_PASSWORDS = 16;

const digest = (password: Buffer | string): Buffer => createHash('sha256').update(password).digest();

const shownDigests = (digests: readonly Buffer[]): string[] => digests.map((one) => one.toString('hex'));

async function readPasswordFile(path: string): Promise<Buffer[]> {
  const refuse = (reason: string): never => {
    throw new PasswordFileError(`the password file ${path} ${reason}`);
  };
  const text = await readSecretFile(path, MAX_FILE_BYTES, refuse);
  const lines = text.split(/\r?\n/).filter((line) => line !== '');
  if (lines.length === 0) refuse('holds no password; it has one a line');
  if (lines.length > MAX_PASSWORDS) refuse(`holds ${lines.length} passwords; at most ${MAX_PASSWORDS} count at a time`);
  return lines.map(digest);
}

/** See the top of the file. */
export class Passwords implements PasswordCheck, Refreshable {
  readonly what: string;
  private readonly file: string | undefined;
  private digests: readonly Buffer[];
  private shown: readonly string[];

  private constructor(file: string | undefined, digests: readonly Buffer[]) {
    this.what = `password file ${file ?? ''}`;
    this.file = file;
    this.digests = digests;
    this.shown = shownDigests(digests);
  }

  get hashes(): readonly string[] {
    return this.shown;
  }

  /**
   * @returns undefined when the source names none: nobody is asked for a password
   * @throws PasswordFileError
   */
  static async open({ password, file }: PasswordSource): Promise<Passwords | undefined> {
    if (file !== undefined) return new Passwords(file, await readPasswordFile(file));
    return password === undefined ? undefined : new Passwords(undefined, [digest(password.reveal())]);
  }

  matches(password: Buffer): boolean {
    const given = digest(password);
    let found = 0;
    for (const known of this.digests) found |= Number(timingSafeEqual(known, given));
    return found !== 0;
  }

  async refresh(): Promise<boolean> {
    if (this.file === undefined) return false;
    const read = await readPasswordFile(this.file);
    const { digests } = this;
    if (read.length === digests.length && read.every((one, at) => one.equals(digests[at]!))) return false;
    this.digests = read;
    this.shown = shownDigests(read);
    return true;
  }
}
