/**
 * A sorted run of keys in one piece of memory: all key bytes one after the other and an array of end offsets. Compared
 * with an array of Buffers it saves an object of about a hundred bytes per key and keeps a binary search inside a few
 * cache lines. Immutable after construction.
 */

/** From this many equal bytes on the native comparison is faster than a loop that the compiler inlines. */
const NATIVE_COMPARE_FROM = 24;

const NO_ENDS = new Uint32Array(0);
const NO_BYTES: Buffer = Buffer.allocUnsafeSlow(0);

/** Sorted keys; see the top of the file. */
export class KeySlab {
  readonly bytes: Buffer;
  /** End offset of each key in `bytes`; a key starts where its predecessor ends. */
  readonly ends: Uint32Array;

  static readonly empty: KeySlab = new KeySlab(NO_BYTES, NO_ENDS);

  constructor(bytes: Buffer, ends: Uint32Array) {
    this.bytes = bytes;
    this.ends = ends;
  }

  /** @param keys sorted, without duplicates; copied */
  static of(keys: readonly Buffer[]): KeySlab {
    return KeySlab.empty.splice(0, 0, keys);
  }

  get count(): number {
    return this.ends.length;
  }

  /** A view of one key, not a copy. */
  key(index: number): Buffer {
    return this.bytes.subarray(index === 0 ? 0 : this.ends[index - 1]!, this.ends[index]!);
  }

  /** Order of key `index` against `key`: negative, 0 or positive. */
  compare(index: number, key: Buffer): number {
    const bytes = this.bytes;
    const from = index === 0 ? 0 : this.ends[index - 1]!;
    const to = this.ends[index]!;
    const ownLength = to - from;
    const shared = Math.min(ownLength, key.length);
    const looped = Math.min(shared, NATIVE_COMPARE_FROM);
    for (let at = 0; at < looped; at++) {
      const difference = bytes[from + at]! - key[at]!;
      if (difference !== 0) return difference;
    }
    if (looped < shared) return bytes.compare(key, looped, key.length, from + looped, to);
    return ownLength - key.length;
  }

  /** Index of the greatest key that is at most `key`, or below it when `isStrict`; -1 when there is none. */
  floor(key: Buffer, isStrict: boolean): number {
    const limit = isStrict ? -1 : 0;
    let low = 0;
    let high = this.ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.compare(middle, key) <= limit) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** A copy in which `removed` keys from `at` on are replaced by `inserted`. */
  splice(at: number, removed: number, inserted: readonly Buffer[]): KeySlab {
    const { bytes, ends } = this;
    const headBytes = at === 0 ? 0 : ends[at - 1]!;
    const tailFrom = at + removed === 0 ? 0 : ends[at + removed - 1]!;
    let insertedBytes = 0;
    for (const key of inserted) insertedBytes += key.length;
    const shift = headBytes + insertedBytes - tailFrom;

    const newBytes = Buffer.allocUnsafeSlow(bytes.length + shift);
    const newEnds = new Uint32Array(ends.length - removed + inserted.length);
    bytes.copy(newBytes, 0, 0, headBytes);
    let offset = headBytes;
    for (let index = 0; index < at; index++) newEnds[index] = ends[index]!;
    for (let index = 0; index < inserted.length; index++) {
      const key = inserted[index]!;
      newBytes.set(key, offset);
      offset += key.length;
      newEnds[at + index] = offset;
    }
    bytes.copy(newBytes, offset, tailFrom, bytes.length);
    for (let index = at + removed; index < ends.length; index++) {
      newEnds[index - removed + inserted.length] = ends[index]! + shift;
    }
    return new KeySlab(newBytes, newEnds);
  }

  /** A copy of keys `[from, to)`. */
  slice(from: number, to: number): KeySlab {
    const base = from === 0 ? 0 : this.ends[from - 1]!;
    const last = to === 0 ? 0 : this.ends[to - 1]!;
    const bytes = Buffer.allocUnsafeSlow(last - base);
    this.bytes.copy(bytes, 0, base, last);
    const ends = new Uint32Array(to - from);
    for (let index = from; index < to; index++) ends[index - from] = this.ends[index]! - base;
    return new KeySlab(bytes, ends);
  }

  /** A copy of both, one after the other. */
  concat(next: KeySlab): KeySlab {
    const bytes = Buffer.allocUnsafeSlow(this.bytes.length + next.bytes.length);
    this.bytes.copy(bytes, 0);
    next.bytes.copy(bytes, this.bytes.length);
    const ends = new Uint32Array(this.ends.length + next.ends.length);
    ends.set(this.ends);
    for (let index = 0; index < next.ends.length; index++) {
      ends[this.ends.length + index] = next.ends[index]! + this.bytes.length;
    }
    return new KeySlab(bytes, ends);
  }
}
