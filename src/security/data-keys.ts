/**
 * Data keys, and what they seal: AES-256-GCM over pieces that are stored on their own (a frame of a log, a row, a part of a file).
 *
 *   sealed piece   the piece encrypted (as long as it is), data key u32, salt (16), number u48, tag (16)
 *
 * What is written never shares a nonce with anything else. Whoever seals draws a salt when he begins, derives a key of his own from the data
 * key, the salt and the use (HKDF-SHA-256), and numbers what he seals from 0; the number is the nonce. Nothing of it is stored to be
 * continued: another process, a copy of the folder, or the same one after a power loss draws another salt, and clocks have no part in it.
 * The fields stand behind the piece, so that a byte of it is where it would be in clear.
 */
import { type CipherGCM, createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';
import { assert, type Random } from '../platform/index.ts';
import { deriveKey, KEY_BYTES } from './key-wrapping.ts';

const SALT_BYTES = 16;
const NUMBER_BYTES = 6;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;
const SALT_AT = 4;
const NUMBER_AT = SALT_AT + SALT_BYTES;
const TAG_AT = NUMBER_AT + NUMBER_BYTES;
/** By how much a sealed piece is longer. */
export const SEAL_BYTES = TAG_AT + TAG_BYTES;
/** One derived key seals no more than this; then another is derived. */
const MAX_SEALED = 2 ** 32;
/** Keys of those who sealed what is read: one a process that wrote here, a use and a data key. */
const MAX_OPENERS = 1024;

/** A data key. */
export interface DataKey {
  /** 1 and up; never given to another key of the same folder. */
  readonly id: number;
  readonly key: Uint8Array;
}

/** The data keys of a folder. The newest seals, and all of them open. */
export class DataKeys {
  private readonly byId = new Map<number, Buffer>();
  private readonly random: Random;
  private newestId = 0;

  /** @param random a strong source: salts that repeat would make nonces repeat */
  constructor(keys: readonly DataKey[], random: Random) {
    this.random = random;
    for (const key of keys) this.add(key);
    assert(this.newestId > 0, 'there is a data key');
  }

  /** The key that seals. */
  get newest(): number {
    return this.newestId;
  }

  /** All of them, for a thread that reads and writes the same folder. */
  list(): DataKey[] {
    return [...this.byId].map(([id, key]) => ({ id, key }));
  }

  has(id: number): boolean {
    return this.byId.has(id);
  }

  /** From here on a key that is newer than all others seals. */
  add({ id, key }: DataKey): void {
    assert(key.length === KEY_BYTES, 'a data key has 32 bytes');
    this.byId.set(id, Buffer.from(key));
    this.newestId = Math.max(this.newestId, id);
  }

  /** Nothing is left that a key has sealed. */
  forget(id: number): void {
    assert(id !== this.newestId, 'the key that seals is needed');
    this.byId.delete(id);
  }

  /** A key for one use, derived from a data key that is here. */
  derive(id: number, salt: Buffer, use: string, bytes: number = KEY_BYTES): Buffer {
    const key = this.byId.get(id);
    assert(key !== undefined, `data key ${id} is here`);
    return deriveKey(key, salt, use, bytes);
  }

  drawSalt(): Buffer {
    return this.random.bytes(SALT_BYTES);
  }

  /** @param use what is sealed for one use opens for no other */
  sealing(use: string): Sealing {
    return new Sealing(this, use);
  }
}

interface Sealer {
  readonly keyId: number;
  readonly salt: Buffer;
  readonly key: KeyObject;
  sealed: number;
}

/** Seals and opens pieces for one use. */
export class Sealing {
  private readonly keys: DataKeys;
  private readonly use: string;
  private sealer: Sealer | undefined;
  private readonly openers = new Map<string, KeyObject>();
  private readonly nonce = Buffer.alloc(NONCE_BYTES);

  constructor(keys: DataKeys, use: string) {
    this.keys = keys;
    this.use = use;
  }

  /** @param about bound to the piece, and not stored with it: where it belongs */
  seal(piece: Buffer, about: Buffer): Buffer {
    const sealed = Buffer.allocUnsafe(piece.length + SEAL_BYTES);
    this.sealInto(sealed, 0, piece, about);
    return sealed;
  }

  /** Writes a sealed piece at `at`; the piece may lie there already. @returns the offset behind it */
  sealInto(into: Buffer, at: number, piece: Buffer, about: Buffer): number {
    const sealer = this.current();
    const { nonce } = this;
    nonce.writeUIntBE(sealer.sealed, NONCE_BYTES - NUMBER_BYTES, NUMBER_BYTES);
    sealer.sealed++;
    const cipher: CipherGCM = createCipheriv('aes-256-gcm', sealer.key, nonce);
    cipher.setAAD(about);
    const encrypted = cipher.update(piece);
    cipher.final();
    into.set(encrypted, at);
    const tail = at + encrypted.length;
    into.writeUInt32BE(sealer.keyId, tail);
    into.set(sealer.salt, tail + SALT_AT);
    into.set(nonce.subarray(NONCE_BYTES - NUMBER_BYTES), tail + NUMBER_AT);
    into.set(cipher.getAuthTag(), tail + TAG_AT);
    return tail + SEAL_BYTES;
  }

  /** @returns undefined when it is not what was sealed for this use and with `about`, or by a key that is not here */
  open(sealed: Buffer, about: Buffer): Buffer | undefined {
    const tail = sealed.length - SEAL_BYTES;
    const key = tail < 0 ? undefined : this.opener(sealed.subarray(tail, tail + NUMBER_AT));
    if (key === undefined) return undefined;
    const { nonce } = this;
    nonce.set(sealed.subarray(tail + NUMBER_AT, tail + TAG_AT), NONCE_BYTES - NUMBER_BYTES);
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(about);
    decipher.setAuthTag(sealed.subarray(tail + TAG_AT));
    const piece = decipher.update(sealed.subarray(0, tail));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return piece;
  }

  /** Data key of a sealed piece; undefined when it is too short for one. */
  static keyOf(sealed: Buffer): number | undefined {
    return sealed.length < SEAL_BYTES ? undefined : sealed.readUInt32BE(sealed.length - SEAL_BYTES);
  }

  private current(): Sealer {
    const { keys, sealer } = this;
    if (sealer !== undefined && sealer.keyId === keys.newest && sealer.sealed < MAX_SEALED) return sealer;
    const salt = keys.drawSalt();
    const begun = { keyId: keys.newest, salt, key: this.derived(keys.newest, salt), sealed: 0 };
    this.sealer = begun;
    return begun;
  }

  private opener(head: Buffer): KeyObject | undefined {
    const name = head.toString('latin1');
    const known = this.openers.get(name);
    if (known !== undefined) return known;
    const id = head.readUInt32BE(0);
    if (!this.keys.has(id)) return undefined;
    if (this.openers.size >= MAX_OPENERS) this.openers.clear();
    const key = this.derived(id, head.subarray(SALT_AT));
    this.openers.set(name, key);
    return key;
  }

  private derived(id: number, salt: Buffer): KeyObject {
    return createSecretKey(this.keys.derive(id, salt, `seal ${this.use}`));
  }
}
