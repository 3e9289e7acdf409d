/** Which number a new table has, and so which group it begins in. */
import { ByteReader, ByteWriter } from '../../../platform/index.ts';
import { CorruptRowError } from '../rows/index.ts';

const FORMAT = 1;
const BUCKETS = 255;
const NUMBERS = 0x1_0000;

/** Of each bucket, 1 to 255: how many tables it has, and the number behind the one that was given out last. */
export interface Placement {
  readonly counts: Uint32Array;
  readonly nexts: Uint16Array;
}

export const emptyPlacement = (): Placement => ({
  counts: new Uint32Array(BUCKETS + 1),
  nexts: new Uint16Array(BUCKETS + 1),
});

/** Buckets in an order that spreads the first tables over all ranges of a new cluster. */
const SPREAD: readonly number[] = Array.from({ length: BUCKETS }, (_, at) => {
  let bucket = 0;
  for (let bit = 0; bit < 8; bit++) if (((at + 1) & (1 << bit)) !== 0) bucket |= 0x80 >> bit;
  return bucket;
});

/**
 * The number of a new table: in a bucket that has the fewest tables.
 * @param isUsed true for numbers that a table still has; those are passed over
 */
export function placeTable({ counts, nexts }: Placement, isUsed: (table: number) => boolean): number {
  const fewest = Math.min(...SPREAD.map((bucket) => counts[bucket]!));
  const bucket = SPREAD.find((one) => counts[one] === fewest)!;
  let number = nexts[bucket]!;
  while (isUsed(bucket * NUMBERS + number)) number = (number + 1) % NUMBERS;
  counts[bucket]!++;
  nexts[bucket] = (number + 1) % NUMBERS;
  return bucket * NUMBERS + number;
}

/** A table is gone. */
export function removeTable({ counts }: Placement, table: number): void {
  const bucket = Math.floor(table / NUMBERS);
  counts[bucket] = Math.max(0, counts[bucket]! - 1);
}

/** Encodes the buckets that have or had tables: bucket u8, tables u32, next u16. */
export function encodePlacement({ counts, nexts }: Placement): Buffer {
  const used = SPREAD.filter((bucket) => counts[bucket]! > 0 || nexts[bucket]! > 0).sort((a, b) => a - b);
  const writer = new ByteWriter(2 + used.length * 7).u8(FORMAT).u8(used.length);
  for (const bucket of used) writer.u8(bucket).u32(counts[bucket]!).u16(nexts[bucket]!);
  return writer.finish();
}

/** @throws CorruptRowError */
export function decodePlacement(bytes: Buffer): Placement {
  const reader = new ByteReader(bytes, 'the placement of tables', CorruptRowError);
  reader.version(FORMAT);
  const placement = emptyPlacement();
  for (let left = reader.u8(); left > 0; left--) {
    const bucket = reader.u8();
    placement.counts[bucket] = reader.u32();
    placement.nexts[bucket] = reader.u16();
  }
  reader.end();
  return placement;
}
