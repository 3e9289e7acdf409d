/**
 * Changes of a sparse sketch. The result is the very bytes that Redis would have: it splits the run that a register lies in, then joins runs of the
 * same count among the next five from the one before on, and nowhere else.
 */
import { assert } from '../../../../platform/index.ts';
import { REGISTER_COUNT } from './element-hash.ts';
import {
  countOfRun,
  denseByte,
  denseLike,
  fitsValueRun,
  HEADER_BYTES,
  isLongRun,
  isValueRun,
  lengthOfRun,
  SPARSE_MAX_COUNT,
  withDense,
  writeValues,
  writeZeros,
} from './sketch-format.ts';

/** Runs that are looked at for joining. */
const JOINED_RUNS = 5;
/** Most bytes of what takes the place of a run: zeros, a count, zeros. */
const SPLIT_BYTES = 5;

/** What became of a sketch when a register was raised. */
export type Raised = 'raised' | 'unchanged' | 'tooLarge' | 'corrupted';

/** A run of a sparse sketch. */
export interface Run {
  readonly first: number;
  readonly length: number;
  readonly count: number;
  /** Whether it is written in two bytes. */
  readonly isLong: boolean;
}

/** The runs of a sparse sketch in order; what they add up to nobody has checked. */
export function* runsOf(sketch: Buffer): Generator<Run> {
  let register = 0;
  for (let at = HEADER_BYTES; at < sketch.length; ) {
    const byte = sketch[at]!;
    const isLong = isLongRun(byte);
    const length = lengthOfRun(byte, sketch[at + 1] ?? 0);
    yield { first: register, length, count: countOfRun(byte), isLong };
    at += isLong ? 2 : 1;
    register += length;
  }
}

/**
 * Tells every run of registers that count something.
 * @returns false when the runs are not those of all registers: what was told may be nonsense
 */
export function eachCountedRun(sketch: Buffer, tell: (run: Run) => void): boolean {
  let registers = 0;
  for (const run of runsOf(sketch)) {
    if (run.count !== 0) {
      if (run.first + run.length > REGISTER_COUNT) return false;
      tell(run);
    }
    registers = run.first + run.length;
  }
  return registers === REGISTER_COUNT;
}

/** The same sketch with dense registers; undefined when the runs are not those of all registers. */
export function toDense(sketch: Buffer): Buffer | undefined {
  const dense = denseLike(sketch);
  const isComplete = eachCountedRun(sketch, ({ first, length, count }) => {
    for (let register = first; register < first + length; register++) writeDense(dense, register, count);
  });
  return isComplete ? dense : undefined;
}

/** Overwrites a register of a dense sketch. */
export function writeDense(dense: Buffer, register: number, count: number): void {
  const at = denseByte(register);
  const bytes = withDense(register, dense[at]!, dense[at + 1] ?? 0, count);
  dense[at] = bytes & 0xff;
  if (at + 1 < dense.length) dense[at + 1] = bytes >> 8;
}

/** A sparse sketch that is being changed. */
export class SparseSketch {
  private buffer: Buffer;
  private end: number;
  private readonly maxBytes: number;
  private readonly split = Buffer.alloc(SPLIT_BYTES);

  /** @param maxBytes length that it may not grow beyond */
  constructor(sketch: Buffer, maxBytes: number) {
    this.maxBytes = maxBytes;
    this.end = sketch.length;
    this.buffer = Buffer.alloc(sketch.length + 64);
    sketch.copy(this.buffer);
  }

  /** A view of it as it is now. */
  get bytes(): Buffer {
    return this.buffer.subarray(0, this.end);
  }

  /** Raises a register to a count if it is lower. */
  raise(register: number, count: number): Raised {
    if (count > SPARSE_MAX_COUNT) return 'tooLarge';
    let at = HEADER_BYTES;
    let before = HEADER_BYTES;
    let first = 0;
    let length = 0;
    for (; at < this.end; at += this.bytesOfRun(at)) {
      length = this.lengthAt(at);
      if (register <= first + length - 1) break;
      before = at;
      first += length;
    }
    if (length === 0 || at >= this.end) return 'corrupted';
    const old = countOfRun(this.buffer[at]!);
    if (old >= count) return 'unchanged';
    const splitBytes = this.splitOf(old, register - first, count, first + length - 1 - register);
    const grown = splitBytes - this.bytesOfRun(at);
    if (grown > 0 && this.end + grown > this.maxBytes) return 'tooLarge';
    this.replaceRun(at, splitBytes, grown);
    this.join(before);
    return 'raised';
  }

  private bytesOfRun(at: number): number {
    return isLongRun(this.buffer[at]!) ? 2 : 1;
  }

  private lengthAt(at: number): number {
    return lengthOfRun(this.buffer[at]!, at + 1 < this.end ? this.buffer[at + 1]! : 0);
  }

  /** Writes what takes the place of a run whose registers have `old`. @returns its length in bytes */
  private splitOf(old: number, before: number, count: number, behind: number): number {
    const { split } = this;
    const write = (at: number, length: number): number =>
      old === 0 ? writeZeros(split, at, length) : writeValues(split, at, old, length);
    let at = before > 0 ? write(0, before) : 0;
    at = writeValues(split, at, count, 1);
    return behind > 0 ? write(at, behind) : at;
  }

  private replaceRun(at: number, splitBytes: number, grown: number): void {
    const behind = at + splitBytes - grown;
    if (this.end + grown > this.buffer.length) {
      const larger = Buffer.alloc((this.end + grown) * 2);
      this.buffer.copy(larger, 0, 0, this.end);
      this.buffer = larger;
    }
    if (grown !== 0 && behind < this.end) this.buffer.copyWithin(behind + grown, behind, this.end);
    this.split.copy(this.buffer, at, 0, splitBytes);
    this.end += grown;
    assert(this.end >= HEADER_BYTES, 'a sketch has a header');
  }

  /** Joins neighbours of the same count from a run on. */
  private join(from: number): void {
    const { buffer } = this;
    let at = from;
    for (let left = JOINED_RUNS; left > 0 && at < this.end; left--) {
      const byte = buffer[at]!;
      const next = at + 1 < this.end ? buffer[at + 1]! : 0;
      if (isValueRun(byte) && isValueRun(next) && countOfRun(byte) === countOfRun(next)) {
        const length = this.lengthAt(at) + this.lengthAt(at + 1);
        if (fitsValueRun(length)) {
          writeValues(buffer, at + 1, countOfRun(byte), length);
          buffer.copyWithin(at, at + 1, this.end);
          this.end--;
          continue;
        }
      }
      at += this.bytesOfRun(at);
    }
  }
}
