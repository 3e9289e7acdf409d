/** Counting and finding bits. Bit 0 of a string is the highest bit of its first byte. */
import type { StringBody } from '../../bodies/index.ts';

const BITS_SET: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0;
  for (let rest = byte; rest !== 0; rest &= rest - 1) count++;
  return count;
});

/** Number of one bits among `bytes[from, to)`. */
function countBytes(bytes: Buffer, from: number, to: number): number {
  let count = 0;
  for (let index = from; index < to; index++) count += BITS_SET[bytes[index]!]!;
  return count;
}

/** Number of one bits from bit `firstBit` to bit `lastBit`, both inclusive and inside the string. */
export function countBits(bytes: Buffer, firstBit: number, lastBit: number): number {
  if (firstBit > lastBit) return 0;
  const firstByte = Math.floor(firstBit / 8);
  const lastByte = Math.floor(lastBit / 8);
  const before = bytes[firstByte]! & ~(0xff >> (firstBit % 8)) & 0xff;
  const after = bytes[lastByte]! & (0x7f >> (lastBit % 8));
  return countBytes(bytes, firstByte, lastByte + 1) - BITS_SET[before]! - BITS_SET[after]!;
}

/** Position of the first bit of value `bit` from `firstBit` to `lastBit`, both inclusive and inside the string, or -1. */
export function findBit(bytes: Buffer, bit: 0 | 1, firstBit: number, lastBit: number): number {
  if (firstBit > lastBit) return -1;
  const lastByte = Math.floor(lastBit / 8);
  // Looking for a zero is looking for a one in the complement.
  const flip = bit === 1 ? 0 : 0xff;
  let mask = 0xff >> (firstBit % 8);
  for (let index = Math.floor(firstBit / 8); index <= lastByte; index++) {
    const found = (bytes[index]! ^ flip) & mask;
    mask = 0xff;
    if (found === 0) continue;
    const position = index * 8 + Math.clz32(found) - 24;
    return position <= lastBit ? position : -1;
  }
  return -1;
}

/** Number of one bits of a string from bit `firstBit` to bit `lastBit`, both inclusive and inside the string. */
export function countBitsOf(string: StringBody, firstBit: number, lastBit: number): number {
  let count = 0;
  for (const { at, bytes } of string.parts(Math.floor(firstBit / 8), Math.floor(lastBit / 8) + 1)) {
    const from = Math.max(0, firstBit - at * 8);
    count += countBits(bytes, from, Math.min(lastBit - at * 8, bytes.length * 8 - 1));
  }
  return count;
}

/** Position of the first bit of value `bit` of a string from `firstBit` to `lastBit`, both inclusive and inside the string, or -1. */
export function findBitOf(string: StringBody, bit: 0 | 1, firstBit: number, lastBit: number): number {
  for (const { at, length, bytes } of string.parts(Math.floor(firstBit / 8), Math.floor(lastBit / 8) + 1)) {
    const from = Math.max(0, firstBit - at * 8);
    const to = Math.min(lastBit - at * 8, length * 8 - 1);
    const position = findBit(bytes, bit, from, Math.min(to, bytes.length * 8 - 1));
    if (position >= 0) return at * 8 + position;
    // What a part lacks is zeros.
    const zero = Math.max(from, bytes.length * 8);
    if (bit === 0 && zero <= to) return at * 8 + zero;
  }
  return -1;
}
