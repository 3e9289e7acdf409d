/**
 * HMAC-SHA-256 by a key that signs over and over, as RFC 2104 builds it from two hashes. Node's `Hmac` makes an object of OpenSSL for every signature, which
 * takes several times as long as the hashes; its one-shot `hash` makes none.
 */
import { hash } from 'node:crypto';

const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;
const INNER_PAD = 0x36;
const OUTER_PAD = 0x5c;
/** What is signed is shorter: a name, a time, a scope and a digest. */
const USUAL_TEXT_BYTES = 448;

/** See the top of the file. */
export class SigningKey {
  /** The padded key, and room for a text behind it. */
  private inner: Buffer;
  private readonly outer: Buffer;

  /** @param key of 64 bytes at most: longer ones would have to be hashed first */
  constructor(key: Buffer) {
    this.inner = Buffer.alloc(BLOCK_BYTES + USUAL_TEXT_BYTES, INNER_PAD);
    this.outer = Buffer.alloc(BLOCK_BYTES + DIGEST_BYTES, OUTER_PAD);
    for (let at = 0; at < key.length; at++) {
      this.inner[at] = key[at]! ^ INNER_PAD;
      this.outer[at] = key[at]! ^ OUTER_PAD;
    }
  }

  /** The signature of a text of ASCII, 32 bytes. */
  sign(text: string): Buffer {
    const end = BLOCK_BYTES + text.length;
    if (end > this.inner.length) this.inner = Buffer.concat([this.inner.subarray(0, BLOCK_BYTES)], 2 * end);
    this.inner.write(text, BLOCK_BYTES, 'latin1');
    hash('sha256', this.inner.subarray(0, end), 'buffer').copy(this.outer, BLOCK_BYTES);
    return hash('sha256', this.outer, 'buffer');
  }
}
