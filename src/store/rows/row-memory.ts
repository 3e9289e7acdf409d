/**
 * Memory of rows. Rows stay in memory for as long as their keys are in use, each for another time, so what they share has to be
 * small: a row from the pool of `Buffer` keeps 64 KiB alive, most of it of others that are long gone. A row has no view of its own: that
 * is larger than most rows, and one more thing to be moved and marked by the collector of garbage.
 */

/** With rows of 100 bytes that are overwritten at random, five times their length is kept alive, which is less than their objects take. */
const SLAB_BYTES = 8 << 10;
/** Rows from here on have memory of their own. */
const ALONE_BYTES = SLAB_BYTES / 4;
/** Such a row is kept as it came when it takes at least this share of what it lies in. */
const FAIR_SHARE = 3 / 4;

/** See the top of the file. */
export class RowMemory {
  /** What was reserved last lies in it. */
  slab: Buffer = Buffer.allocUnsafeSlow(0);
  private shared = this.slab;
  private sharedUpTo = 0;

  /** Memory that nobody else uses and that holds anything. @param bytes how much @returns where in `slab` it begins */
  reserve(bytes: number): number {
    if (bytes >= ALONE_BYTES) {
      this.slab = Buffer.allocUnsafeSlow(bytes);
      return 0;
    }
    if (this.sharedUpTo + bytes > this.shared.length) {
      this.shared = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.sharedUpTo = 0;
    }
    this.slab = this.shared;
    const at = this.sharedUpTo;
    this.sharedUpTo += bytes;
    return at;
  }

  /** Keeps a row that was read, without a copy where it is long and lies alone. @returns where in `slab` it begins */
  keep(row: Buffer): number {
    if (row.length >= ALONE_BYTES && row.length >= row.buffer.byteLength * FAIR_SHARE) {
      this.slab = row;
      return 0;
    }
    const at = this.reserve(row.length);
    this.slab.set(row, at);
    return at;
  }
}
