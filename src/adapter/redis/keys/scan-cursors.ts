/**
 * SCAN's cursors. A cursor says where to go on without any state that must survive: the slot (14 bits) and a hash (48
 * bits) of the key to go on from. This node remembers the keys behind the cursors that it gave out lately, so the usual
 * case is a direct seek; a cursor that it does not know (another node gave it out, or too long ago) is resolved by looking
 * through the slot for the key with that hash.
 */
import { SLOT_COUNT } from './keyspace.ts';

/** Cursors remembered; each holds one key. */
const REMEMBERED_CURSORS = 4096;
const HASH_BITS = 48n;
const HASH_MASK = (1n << HASH_BITS) - 1n;

/** A cursor taken apart. */
export interface CursorPosition {
  readonly slot: number;
  readonly hash: bigint;
}

export class ScanCursors {
  /** Storage keys by cursor and database, least recently used first. */
  private readonly remembered = new Map<string, Buffer>();

  /** The cursor for going on from `storageKey` (never 0, which ends a scan); `slot` is the key's. */
  cursorFor(storageKey: Buffer, db: number, slot: number): bigint {
    const cursor = (BigInt(slot) << HASH_BITS) | cursorHash(storageKey);
    this.remember(nameOf(cursor, db), storageKey);
    return cursor;
  }

  /** The storage key behind a cursor that was given out lately by this node. */
  recall(cursor: bigint, db: number): Buffer | undefined {
    const name = nameOf(cursor, db);
    const storageKey = this.remembered.get(name);
    if (storageKey !== undefined) this.remember(name, storageKey);
    return storageKey;
  }

  private remember(name: string, storageKey: Buffer): void {
    this.remembered.delete(name);
    this.remembered.set(name, storageKey);
    if (this.remembered.size > REMEMBERED_CURSORS) {
      for (const oldest of this.remembered.keys()) {
        this.remembered.delete(oldest);
        break;
      }
    }
  }
}

const nameOf = (cursor: bigint, db: number): string => `${db}:${cursor}`;

/** Takes a cursor apart; undefined when no SCAN of ours can have answered it. */
export function decodeCursor(cursor: bigint): CursorPosition | undefined {
  const slot = Number(cursor >> HASH_BITS);
  return slot < SLOT_COUNT ? { slot, hash: cursor & HASH_MASK } : undefined;
}

/** 48 bits of two FNV-1a hashes with different offsets; never 0, so that no cursor is. */
export function cursorHash(storageKey: Buffer): bigint {
  let low = 0x811c9dc5;
  let high = 0x9747b28c;
  for (let offset = 0; offset < storageKey.length; offset++) {
    const byte = storageKey[offset]!;
    low = Math.imul(low ^ byte, 0x01000193);
    high = Math.imul(high ^ byte, 0x01000193) ^ (low >>> 15);
  }
  const hash = (BigInt(high >>> 16) << 32n) | BigInt(low >>> 0);
  return hash === 0n ? 1n : hash;
}
