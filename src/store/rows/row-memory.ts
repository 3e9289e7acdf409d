/**
 * Memory of rows. Rows stay in memory for as long as their keys are in use, each for another time, so what they share has to be
 * small: a row from the pool of `Buffer` keeps 64 KiB alive, most of it of others that are long gone.
 */

/** With rows of 100 bytes that are overwritten at random, five times their length is kept alive, which is less than their objects take. */
const SLAB_BYTES = 8 << 10;
/** Rows from here on have memory of their own. */
const ALONE_BYTES = SLAB_BYTES / 4;

/** See the top of the file. */
export class RowMemory {
  private slab = Buffer.allocUnsafeSlow(0);
  private at = 0;

  /** Memory that nobody else uses and that holds anything. @param bytes how much */
  take(bytes: number): Buffer {
    if (bytes >= ALONE_BYTES) return Buffer.allocUnsafeSlow(bytes);
    if (this.at + bytes > this.slab.length) {
      this.slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.at = 0;
    }
    const row = this.slab.subarray(this.at, this.at + bytes);
    this.at += bytes;
    return row;
  }
}
