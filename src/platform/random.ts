/**
 * Randomness as a constructor argument, so that one seed decides a whole simulated run.
 */
import { randomBytes } from 'node:crypto';

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform integer in [0, bound). */
  int(bound: number): number;
  /** `length` random bytes. */
  bytes(length: number): Buffer;
}

const DRAWN_AHEAD_BYTES = 4096;

/** The machine's random source; `bytes` is cryptographically strong, `next` and `int` need not be. */
export class SystemRandom implements Random {
  /** Drawn ahead: each call of the system's source costs more than the few bytes that an id needs. */
  private drawn = Buffer.alloc(0);

  next(): number {
    return Math.random();
  }

  int(bound: number): number {
    return Math.floor(Math.random() * bound);
  }

  bytes(length: number): Buffer {
    if (length > DRAWN_AHEAD_BYTES / 8) return randomBytes(length);
    if (this.drawn.length < length) this.drawn = randomBytes(DRAWN_AHEAD_BYTES);
    const bytes = Buffer.from(this.drawn.subarray(0, length));
    this.drawn = this.drawn.subarray(length);
    return bytes;
  }
}

/** Deterministic generator (xoshiro128**, Blackman & Vigna 2018, seeded by splitmix32); equal seeds give equal streams. */
export class SeededRandom implements Random {
  private readonly state: Uint32Array;

  constructor(seed: number) {
    this.state = new Uint32Array(4);
    let mix = seed >>> 0;
    for (let lane = 0; lane < 4; lane++) {
      mix = (mix + 0x9e3779b9) >>> 0;
      let word = mix;
      word = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
      word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
      this.state[lane] = (word ^ (word >>> 15)) >>> 0;
    }
  }

  private nextUint32(): number {
    const s = this.state;
    const s1 = s[1]!;
    const product = Math.imul(s1, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = s1 << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s1;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= shifted;
    const s3 = s[3]!;
    s[3] = (s3 << 11) | (s3 >>> 21);
    return result;
  }

  next(): number {
    const high = this.nextUint32() >>> 5;
    const low = this.nextUint32() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }

  int(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  bytes(length: number): Buffer {
    const buffer = Buffer.allocUnsafe(length);
    for (let offset = 0; offset < length; offset++) buffer[offset] = this.nextUint32() >>> 24;
    return buffer;
  }

  /** An independent stream derived from this one and a label, so that adding draws in one place does not move others. */
  fork(label: number): SeededRandom {
    return new SeededRandom((this.nextUint32() ^ Math.imul(label + 1, 0x9e3779b9)) >>> 0);
  }
}
