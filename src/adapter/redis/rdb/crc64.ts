/**
 * The checksum of Redis' files and payloads: CRC-64 of Jones, reflected, without inversions. Halves of 32 bits, because bigints are a hundred times
 * slower.
 */

/** The polynomial, reflected: 0x95ac9329ac4bc9b5. */
const POLYNOMIAL_HIGH = 0x95ac9329;
const POLYNOMIAL_LOW = 0xac4bc9b5;
const BYTES = 256;

const HIGH = new Int32Array(BYTES);
const LOW = new Int32Array(BYTES);
for (let byte = 0; byte < BYTES; byte++) {
  let high = 0;
  let low = byte;
  for (let bit = 0; bit < 8; bit++) {
    const isOdd = (low & 1) !== 0;
    low = (low >>> 1) | (high << 31);
    high >>>= 1;
    if (!isOdd) continue;
    low ^= POLYNOMIAL_LOW;
    high ^= POLYNOMIAL_HIGH;
  }
  HIGH[byte] = high;
  LOW[byte] = low;
}

/** The checksum in the eight bytes in which it is stored, the lowest first. */
export function crc64(bytes: Buffer): Buffer {
  let high = 0;
  let low = 0;
  for (let at = 0; at < bytes.length; at++) {
    const index = (low ^ bytes[at]!) & 0xff;
    low = ((low >>> 8) | (high << 24)) ^ LOW[index]!;
    high = (high >>> 8) ^ HIGH[index]!;
  }
  const sum = Buffer.allocUnsafe(8);
  sum.writeInt32LE(low, 0);
  sum.writeInt32LE(high | 0, 4);
  return sum;
}
