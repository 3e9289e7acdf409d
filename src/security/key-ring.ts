/**
 * The data keys of a data folder, wrapped, in a small file that is replaced as a whole:
 *
 *   keys.json   { format, owner, isSealed, keys: [{ id, madeMs, wrapped }], proof }
 *
 * The owner is the data folder: a copy beside another folder's data opens nothing. `isSealed` says that nothing in the folder is in clear any
 * more; from then on what is in clear is refused, so that nobody can put it there. The proof is an HMAC under the newest data key, so
 * whoever has no key changes nothing in the file without being found out.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { join } from 'node:path';
import { type Disk, type Millis, type Random, readWholeFile, replaceWholeFile } from '../platform/index.ts';
import { DataKeys } from './data-keys.ts';
import { EncryptionKeyError } from './errors.ts';
import { deriveKey, KEY_BYTES, nameOfWrapping, type WrappingKeys } from './key-wrapping.ts';

const FILE = 'keys.json';
const FORMAT = 1;

interface StoredKey {
  readonly id: number;
  /** When it was drawn. */
  readonly madeMs: Millis;
  /** Hexadecimal. */
  readonly wrapped: string;
}

interface StoredRing {
  readonly format: number;
  readonly owner: string;
  readonly isSealed: boolean;
  /** By id. */
  readonly keys: readonly StoredKey[];
}

export interface KeyRingOptions {
  readonly disk: Disk;
  /** The data folder. */
  readonly folder: string;
  readonly wrapping: WrappingKeys;
  readonly random: Random;
}

const contextOf = (owner: string, id: number): string => `data key ${id} of ${owner}`;

function proofOf(ring: StoredRing, newest: Buffer): Buffer {
  const key = deriveKey(newest, Buffer.alloc(0), 'proof of a key ring');
  return createHmac('sha256', key).update(JSON.stringify(ring)).digest();
}

/** @throws EncryptionKeyError */
function parseRing(bytes: Buffer, path: string): { readonly ring: StoredRing; readonly proof: Buffer } {
  let parsed: (StoredRing & { readonly proof?: unknown }) | null = null;
  try {
    parsed = JSON.parse(bytes.toString()) as StoredRing & { readonly proof?: unknown };
  } catch {
    // Falls through to the refusal.
  }
  if (parsed?.format !== undefined && parsed.format !== FORMAT) {
    throw new EncryptionKeyError(`${path} has format ${parsed.format}, which this version of kvorum does not know`);
  }
  const { proof, ...ring } = parsed ?? ({} as StoredRing & { proof?: unknown });
  if (typeof proof !== 'string' || !Array.isArray(ring.keys) || ring.keys.length === 0) {
    throw new EncryptionKeyError(`${path} is damaged; restore this replica from the other ones`);
  }
  return { ring, proof: Buffer.from(proof, 'hex') };
}

/** Unwraps the keys of a ring. @throws WrongEncryptionKeyError, EncryptionKeyError */
function unwrapRing(bytes: Buffer, path: string, wrapping: WrappingKeys) {
  const { ring, proof } = parseRing(bytes, path);
  const keys = ring.keys.map(({ id, wrapped }) => ({
    id,
    key: wrapping.unwrap(Buffer.from(String(wrapped), 'hex'), contextOf(ring.owner, id), path),
  }));
  const expected = proofOf(ring, keys.at(-1)!.key);
  if (proof.length !== expected.length || !timingSafeEqual(proof, expected)) {
    throw new EncryptionKeyError(`${path} was changed by somebody who does not have its keys`);
  }
  return { ring, keys };
}

/** True when a data folder has a ring of keys, whatever is in it. */
export async function hasKeyRing(disk: Disk, folder: string): Promise<boolean> {
  return (await disk.list(folder)).includes(FILE);
}

/**
 * Looks whether keys fit a folder, and changes nothing.
 * @throws WrongEncryptionKeyError, EncryptionKeyError
 */
export async function checkKeyRing(disk: Disk, folder: string, wrapping: WrappingKeys): Promise<void> {
  const path = join(folder, FILE);
  const bytes = await readWholeFile(disk, path);
  if (bytes !== undefined) unwrapRing(bytes, path, wrapping);
}

/** See the top of the file. */
export class KeyRing {
  private readonly options: KeyRingOptions;
  private wrapping: WrappingKeys;
  private ring: StoredRing;
  readonly dataKeys: DataKeys;
  /** Replacements of the file, one after another. */
  private written: Promise<void> = Promise.resolve();

  private constructor(options: KeyRingOptions, ring: StoredRing, dataKeys: DataKeys) {
    this.options = options;
    this.wrapping = options.wrapping;
    this.ring = ring;
    this.dataKeys = dataKeys;
  }

  /**
   * Draws the first key of a folder that has no ring; stable when it settles.
   * @param owner identity of the folder
   * @param isSealed nothing is in the folder yet
   */
  static async make(options: KeyRingOptions, owner: string, isSealed: boolean, nowMs: Millis): Promise<KeyRing> {
    const { wrapping, random } = options;
    const key = random.bytes(KEY_BYTES);
    const wrapped = wrapping.wrap(key, contextOf(owner, 1), random).toString('hex');
    const keys = [{ id: 1, madeMs: nowMs, wrapped }];
    const ring = new KeyRing(
      options,
      { format: FORMAT, owner, isSealed, keys },
      new DataKeys([{ id: 1, key }], random),
    );
    await ring.change({});
    return ring;
  }

  /**
   * Reads the ring of a folder.
   * @returns undefined when it has none
   * @throws WrongEncryptionKeyError, EncryptionKeyError; nothing was written then
   */
  static async open(options: KeyRingOptions, owner: string): Promise<KeyRing | undefined> {
    const path = join(options.folder, FILE);
    const bytes = await readWholeFile(options.disk, path);
    if (bytes === undefined) return undefined;
    const { ring, keys } = unwrapRing(bytes, path, options.wrapping);
    if (ring.owner !== owner) throw new EncryptionKeyError(`${path} is that of another data folder (${ring.owner})`);
    return new KeyRing(options, ring, new DataKeys(keys, options.random));
  }

  /** Nothing in the folder is in clear. */
  get isSealed(): boolean {
    return this.ring.isSealed;
  }

  /** When the key that seals was drawn. */
  get newestMadeMs(): Millis {
    return this.ring.keys.at(-1)!.madeMs;
  }

  /** Keys before the newest are there, which something may still be sealed with. */
  get hasOldKeys(): boolean {
    return this.ring.keys.length > 1;
  }

  /** The first of these keys has wrapped every data key. */
  isWrappedBy(wrapping: WrappingKeys): boolean {
    return this.ring.keys.every(({ wrapped }) => nameOfWrapping(Buffer.from(wrapped, 'hex')) === wrapping.name);
  }

  /** Wraps all data keys anew; stable when it settles. */
  async wrapBy(wrapping: WrappingKeys): Promise<void> {
    const { owner } = this.ring;
    const byId = new Map(this.dataKeys.list().map(({ id, key }) => [id, Buffer.from(key)]));
    const keys = this.ring.keys.map((stored) => ({
      ...stored,
      wrapped: wrapping.wrap(byId.get(stored.id)!, contextOf(owner, stored.id), this.options.random).toString('hex'),
    }));
    this.wrapping = wrapping;
    await this.change({ keys });
  }

  /** Draws a new data key, which seals from now on; stable before it does. */
  async renew(nowMs: Millis): Promise<void> {
    const { random } = this.options;
    const id = this.dataKeys.newest + 1;
    const key = random.bytes(KEY_BYTES);
    const wrapped = this.wrapping.wrap(key, contextOf(this.ring.owner, id), random).toString('hex');
    await this.change({ keys: [...this.ring.keys, { id, madeMs: nowMs, wrapped }] }, key);
    this.dataKeys.add({ id, key });
  }

  /** Everything in the folder is sealed, with a key from `oldest` on: older ones go. */
  async settle(oldest: number): Promise<void> {
    const keys = this.ring.keys.filter(({ id }) => id >= oldest);
    if (this.ring.isSealed && keys.length === this.ring.keys.length) return;
    const gone = this.ring.keys.filter(({ id }) => id < oldest);
    await this.change({ isSealed: true, keys });
    for (const { id } of gone) this.dataKeys.forget(id);
  }

  /** @param newest the newest data key, where `DataKeys` does not have it yet */
  private change(change: Partial<StoredRing>, newest?: Buffer): Promise<void> {
    const written = this.written.then(async () => {
      const ring = { ...this.ring, ...change };
      const { newest: id } = this.dataKeys;
      const key = newest ?? Buffer.from(this.dataKeys.list().find((one) => one.id === id)!.key);
      const text = JSON.stringify({ ...ring, proof: proofOf(ring, key).toString('hex') });
      await replaceWholeFile(this.options.disk, join(this.options.folder, FILE), Buffer.from(text));
      this.ring = ring;
    });
    this.written = written.catch(() => {});
    return written;
  }
}
