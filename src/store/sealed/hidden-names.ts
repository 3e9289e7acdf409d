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
const BLOCK_WORDS = BLOCK_BYTES / 4;
/** Of rounds for one byte: two blocks. */
const ROUND_BYTES = 2 * BLOCK_BYTES;
/** Told apart from the chain's own blocks by a byte that is flipped. */
const SECOND_BLOCK = 0xa5;
export const NAMES_KEY_BYTES = 64;
/** Memory for keys up to this length is kept; longer ones have their own. */
const KEPT_BYTES = 256;

/** Blocks, as bytes and as words. */
class Blocks {
  readonly bytes: Buffer;
  readonly words: Int32Array;

  constructor(bytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(bytes);
    this.words = new Int32Array(this.bytes.buffer);
  }
}

/** What was computed of one key: its beginnings have it in common with other keys. */
class Work {
  /** The key, and of how many of its beginnings there are blocks. */
  readonly key: Buffer;
  count = 0;
  /** A block of the chain for each beginning, and the tables of the byte behind it. */
  readonly chain: Blocks;
  readonly tables: Buffer;
  readonly input: Blocks;

  /** @param bytes of the longest key */
  constructor(bytes: number) {
    this.key = Buffer.allocUnsafeSlow(bytes);
    this.chain = new Blocks(bytes * BLOCK_BYTES);
    this.tables = Buffer.allocUnsafeSlow(bytes * ROUND_BYTES);
    this.input = new Blocks(bytes * ROUND_BYTES);
  }
}

/**
 * Hides keys of one database. Making a cipher costs more than what it does here, so two serve every key; and a key that begins like the one before
 * costs only what differs.
 */
export class HiddenNames {
  private readonly chainCipher: ReturnType<typeof createCipheriv>;
  private readonly roundCipher: ReturnType<typeof createCipheriv>;
  /** What the chain's cipher gave last, with which it will mix the next block. */
  private readonly mixed = new Blocks(BLOCK_BYTES);
  private readonly kept = new Work(KEPT_BYTES);

  /** @param key 64 bytes: 32 for the chain, 32 for the rounds */
  constructor(key: Buffer) {
    assert(key.length === NAMES_KEY_BYTES, 'a key for names has 64 bytes');
    this.chainCipher = createCipheriv('aes-256-cbc', key.subarray(0, 32), this.mixed.bytes.fill(0));
    this.chainCipher.setAutoPadding(false);
    // Each block is on its own.
    this.roundCipher = createCipheriv('aes-256-ecb', key.subarray(32), null);
    this.roundCipher.setAutoPadding(false);
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
    const work = count <= KEPT_BYTES ? this.kept : new Work(count);
    const most = Math.min(work.count, count);
    let from = 0;
    while (from < most && work.key[from] === key[from]) from++;
    if (from < count) {
      this.chainOn(work, key, from, count);
      this.roundsOf(work, from, count);
    }
    return work.tables;
  }

  /** Blocks of the chain for the beginnings that end with the bytes `from` to `to - 1`. */
  private chainOn(work: Work, key: Buffer, from: number, to: number): void {
    const { input, chain } = work;
    const { mixed } = this;
    input.words.fill(0, 0, (to - from) * BLOCK_WORDS);
    for (let at = from; at < to; at++) {
      work.key[at] = key[at]!;
      input.bytes[(at - from) * BLOCK_BYTES] = key[at]!;
    }
    // The cipher mixes in what it gave last: that is taken out again, and what goes before in this key takes its place.
    for (let word = 0; word < BLOCK_WORDS; word++) {
      const before = from === 0 ? 0 : chain.words[(from - 1) * BLOCK_WORDS + word]!;
      input.words[word]! ^= mixed.words[word]! ^ before;
    }
    const blocks = this.chainCipher.update(input.bytes.subarray(0, (to - from) * BLOCK_BYTES));
    chain.bytes.set(blocks, from * BLOCK_BYTES);
    for (let word = 0; word < BLOCK_WORDS; word++) mixed.words[word] = chain.words[(to - 1) * BLOCK_WORDS + word]!;
    work.count = to;
  }

  private roundsOf({ input, chain, tables }: Work, from: number, to: number): void {
    for (let at = from; at < to; at++) {
      const pair = (at - from) * 2 * BLOCK_WORDS;
      for (let word = 0; word < BLOCK_WORDS; word++) {
        const one = chain.words[at * BLOCK_WORDS + word]!;
        input.words[pair + word] = one;
        input.words[pair + BLOCK_WORDS + word] = one;
      }
      input.bytes[pair * 4 + BLOCK_BYTES]! ^= SECOND_BLOCK;
    }
    const rounds = this.roundCipher.update(input.bytes.subarray(0, (to - from) * ROUND_BYTES));
    tables.set(rounds, from * ROUND_BYTES);
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
