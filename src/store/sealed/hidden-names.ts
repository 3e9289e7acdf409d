/**
 * Keys of rows as an encrypted database has them. Nothing of a key can be read, and a database can still be asked for one key, for all keys that
 * begin alike, and so for keys in order: a byte becomes another byte, by a permutation that all bytes before it choose. Keys that begin with
 * the same bytes still do, to the same length, and no order is left among those that follow.
 *
 *   chain      CBC under one key over the bytes of the key, each one in a block of its own; its last block stands for all bytes up to there
 *   rounds     two blocks under another key of each block of the chain: 32 bytes that nobody can tell from random ones
 *   a byte     four rounds of a Feistel network over its two halves, each round a table of 16 entries from 8 of the 32 bytes
 *
 * Chain and rounds together are an encrypted CBC-MAC of every beginning of the key (EMAC, Petrank & Rackoff 2000), a pseudorandom function of
 * texts of any length. To preserve beginnings and nothing else is what Crypto-PAn does for addresses (Xu, Fan, Ammar & Moon 2002). What it
 * shows: how long keys are, which of them begin alike and how far, and whether the same key is written again.
 */
import { createCipheriv } from 'node:crypto';
import { assert } from '../../platform/index.ts';

const BLOCK_BYTES = 16;
/** Of rounds for one byte: two blocks. */
const ROUND_BYTES = 2 * BLOCK_BYTES;
const NO_IV = Buffer.alloc(BLOCK_BYTES);
/** Told apart from the chain's own blocks by a byte that is flipped. */
const SECOND_BLOCK = 0xa5;
export const NAMES_KEY_BYTES = 64;

/** Hides keys of one database. */
export class HiddenNames {
  private readonly chainKey: Buffer;
  private readonly rounds: ReturnType<typeof createCipheriv>;

  /** @param key 64 bytes: 32 for the chain, 32 for the rounds */
  constructor(key: Buffer) {
    assert(key.length === NAMES_KEY_BYTES, 'a key for names has 64 bytes');
    this.chainKey = Buffer.from(key.subarray(0, 32));
    // Each block is on its own, so one cipher serves every key.
    this.rounds = createCipheriv('aes-256-ecb', key.subarray(32), null);
    this.rounds.setAutoPadding(false);
  }

  /**
   * @param key its first byte, the kind of the row, becomes `kind`
   * @returns as long as the key; the beginning of what longer keys with this beginning become
   */
  hide(key: Buffer, kind: number): Buffer {
    const hidden = Buffer.allocUnsafe(key.length);
    hidden[0] = kind;
    if (key.length === 1) return hidden;
    const tables = this.tablesOf(key, key.length - 1);
    for (let at = 1; at < key.length; at++) hidden[at] = permuted(key[at]!, tables, (at - 1) * ROUND_BYTES);
    return hidden;
  }

  /** What the byte behind a beginning becomes, for each of the 256 that it may be. */
  nextBytes(beginning: Buffer): Uint8Array {
    const tables = this.tablesOf(beginning, beginning.length);
    const at = (beginning.length - 1) * ROUND_BYTES;
    return Uint8Array.from({ length: 256 }, (_, byte) => permuted(byte, tables, at));
  }

  /** The tables of the bytes 1 to `count` of a key, chosen by the bytes before each. */
  private tablesOf(key: Buffer, count: number): Buffer {
    const bytes = Buffer.alloc(count * BLOCK_BYTES);
    for (let at = 0; at < count; at++) bytes[at * BLOCK_BYTES] = key[at]!;
    const cipher = createCipheriv('aes-256-cbc', this.chainKey, NO_IV);
    cipher.setAutoPadding(false);
    const chain = cipher.update(bytes);
    const pairs = Buffer.allocUnsafe(count * ROUND_BYTES);
    for (let at = 0; at < count; at++) {
      const from = at * BLOCK_BYTES;
      const to = at * ROUND_BYTES;
      pairs.set(chain.subarray(from, from + BLOCK_BYTES), to);
      pairs.set(chain.subarray(from, from + BLOCK_BYTES), to + BLOCK_BYTES);
      pairs[to + BLOCK_BYTES]! ^= SECOND_BLOCK;
    }
    return this.rounds.update(pairs) as Buffer;
  }
}

/** Entry `half` of a table of 16 halves of bytes. */
const entry = (tables: Buffer, at: number, half: number): number => {
  const pair = tables[at + (half >>> 1)]!;
  return (half & 1) === 0 ? pair & 15 : pair >>> 4;
};

function permuted(byte: number, tables: Buffer, at: number): number {
  let left = byte >>> 4;
  let right = byte & 15;
  left ^= entry(tables, at, right);
  right ^= entry(tables, at + 8, left);
  left ^= entry(tables, at + 16, right);
  right ^= entry(tables, at + 24, left);
  return (left << 4) | right;
}
