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

/** A checksum of bytes that come piece by piece. */
export class Crc64 {
  private high = 0;
  private low = 0;

  add(bytes: Uint8Array): void {
    let { high, low } = this;
    for (let at = 0; at < bytes.length; at++) {
      const index = (low ^ bytes[at]!) & 0xff;
      low = ((low >>> 8) | (high << 24)) ^ LOW[index]!;
      high = (high >>> 8) ^ HIGH[index]!;
    }
    this.high = high;
    this.low = low;
  }

  /** The checksum in the eight bytes in which it is stored, the lowest first. */
  sum(): Buffer {
    const sum = Buffer.allocUnsafe(8);
    sum.writeInt32LE(this.low, 0);
    sum.writeInt32LE(this.high | 0, 4);
    return sum;
  }
}

/** The checksum of bytes that are all there. */
export function crc64(bytes: Uint8Array): Buffer {
  const crc = new Crc64();
  crc.add(bytes);
  return crc.sum();
}
