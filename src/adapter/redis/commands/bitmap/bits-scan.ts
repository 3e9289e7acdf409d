/** Counting and finding bits. Bit 0 of a string is the highest bit of its first byte. */

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
