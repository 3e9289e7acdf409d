/** The sketch of one key, whichever way its registers are written. */
import { openString, type StringBody } from '../../bodies/index.ts';
import type { CommandContext } from '../../command/index.ts';
import { cardinalityOf } from './cardinality.ts';
import { observe, REGISTER_COUNT } from './element-hash.ts';
import {
  CARDINALITY_AT,
  corruptedSketch,
  DENSE_BYTES,
  denseByte,
  denseIn,
  ENCODING_AT,
  emptySketch,
  HEADER_BYTES,
  isSketch,
  notASketch,
  SketchEncoding,
  STALE_AT,
  STALE_BIT,
  withDense,
} from './sketch-format.ts';
import { eachCountedRun, runsOf, SparseSketch, toDense, writeDense } from './sparse-sketch.ts';

/** Values of 6 bits. */
const DIFFERENT_COUNTS = 64;

/** Registers of any number of sketches, each as high as in the one where it is highest. */
export class Union {
  readonly counts = new Uint8Array(REGISTER_COUNT);

  cardinality(): bigint {
    const histogram = new Uint32Array(DIFFERENT_COUNTS);
    for (const count of this.counts) histogram[count]!++;
    return cardinalityOf(histogram);
  }
}

/** A sketch that a command reads and changes; to be saved. */
export class Sketch {
  private readonly string: StringBody;
  private readonly maxSparseBytes: number;
  /** Whether its registers are dense. */
  isDense = false;
  /** A sparse one while it is being changed. */
  private sparse: SparseSketch | undefined;

  /**
   * @param readsAll whether all of it is going to be read
   * @throws RedisError when the key holds something else
   */
  constructor(ctx: CommandContext, userKey: Buffer, readsAll = false) {
    this.string = openString(ctx, userKey);
    this.maxSparseBytes = ctx.encodings.sketchBytes;
    const { string } = this;
    if (!string.exists) return;
    const header = string.slice(0, readsAll ? DENSE_BYTES : HEADER_BYTES);
    if (!isSketch(header, string.length)) throw notASketch();
    this.isDense = header[ENCODING_AT] === SketchEncoding.Dense;
  }

  /** Whether the key existed when it was opened. */
  get exists(): boolean {
    return this.string.exists;
  }

  /** All bytes of it. */
  whole(): Buffer {
    return this.sparse?.bytes ?? this.string.whole();
  }

  /** Makes the key a sketch of nothing. */
  create(): void {
    this.string.replace(emptySketch());
  }

  /** Adds an element. @returns whether that changed a register @throws RedisError when it is corrupted */
  add(element: Buffer): boolean {
    const { register, count } = observe(element);
    return this.raise(register, count);
  }

  /** Raises a register to a count. @returns whether it was lower @throws RedisError when it is corrupted */
  raise(register: number, count: number): boolean {
    if (!this.isDense) {
      this.sparse ??= new SparseSketch(this.string.whole(), this.maxSparseBytes);
      const raised = this.sparse.raise(register, count);
      if (raised === 'corrupted') throw corruptedSketch();
      if (raised !== 'tooLarge') return raised === 'raised';
      this.becomeDense();
    }
    const at = denseByte(register);
    const [first, second] = [this.string.byteAt(at), this.string.byteAt(at + 1)];
    if (denseIn(register, first, second) >= count) return false;
    const bytes = withDense(register, first, second, count);
    this.string.write(at, Buffer.of(bytes & 0xff, bytes >> 8).subarray(0, DENSE_BYTES - at));
    return true;
  }

  /** Raises all registers to those of a union. @throws RedisError when it is corrupted */
  raiseAll({ counts }: Union): void {
    for (let register = 0; register < REGISTER_COUNT && !this.isDense; register++) {
      if (counts[register]! > 0) this.raise(register, counts[register]!);
    }
    if (!this.isDense) return;
    const bytes = Buffer.from(this.string.whole());
    this.eachDense((register, count) => {
      if (counts[register]! > count) writeDense(bytes, register, counts[register]!);
    });
    this.string.write(0, bytes);
  }

  /** @throws RedisError when it is corrupted */
  becomeDense(): void {
    if (this.isDense) return;
    const dense = toDense(this.whole());
    if (dense === undefined) throw corruptedSketch();
    this.sparse = undefined;
    this.isDense = true;
    this.string.replace(dense);
  }

  /** The cardinality that was noted; undefined when it is out of date. */
  notedCardinality(): bigint | undefined {
    const noted = this.string.slice(CARDINALITY_AT, HEADER_BYTES);
    return (noted[STALE_AT - CARDINALITY_AT]! & STALE_BIT) === 0 ? noted.readBigUInt64LE(0) : undefined;
  }

  noteCardinality(cardinality: bigint): void {
    const noted = Buffer.alloc(HEADER_BYTES - CARDINALITY_AT);
    noted.writeBigInt64LE(cardinality, 0);
    this.string.write(CARDINALITY_AT, noted);
  }

  /** The cardinality by the registers. @throws RedisError when it is corrupted */
  cardinality(): bigint {
    const histogram = new Uint32Array(DIFFERENT_COUNTS);
    if (this.isDense) {
      this.eachDense((_, count) => histogram[count]!++);
      return cardinalityOf(histogram);
    }
    let registers = 0;
    for (const { first, length, count } of runsOf(this.whole())) {
      histogram[count]! += length;
      registers = first + length;
    }
    if (registers !== REGISTER_COUNT) throw corruptedSketch();
    return cardinalityOf(histogram);
  }

  /** Counts its registers in. @throws RedisError when it is corrupted */
  mergeInto({ counts }: Union): void {
    if (this.isDense) {
      this.eachDense((register, count) => {
        if (count > counts[register]!) counts[register] = count;
      });
      return;
    }
    const isComplete = eachCountedRun(this.whole(), ({ first, length, count }) => {
      for (let register = first; register < first + length; register++) {
        if (count > counts[register]!) counts[register] = count;
      }
    });
    if (!isComplete) throw corruptedSketch();
  }

  /** Tells every register of a dense one in order. */
  eachDense(tell: (register: number, count: number) => void): void {
    const bytes = this.string.whole();
    for (let register = 0; register < REGISTER_COUNT; register++) {
      const at = denseByte(register);
      tell(register, denseIn(register, bytes[at]!, bytes[at + 1] ?? 0));
    }
  }

  /** Writes what was changed. @param isStale whether the cardinality that is noted is not right any more */
  save(isStale: boolean): void {
    const { string, sparse } = this;
    if (sparse !== undefined) string.replace(sparse.bytes);
    this.sparse = undefined;
    const flags = string.byteAt(STALE_AT);
    if (isStale && (flags & STALE_BIT) === 0) string.write(STALE_AT, Buffer.of(flags | STALE_BIT));
    string.save();
  }
}
