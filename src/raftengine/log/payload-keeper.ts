/**
 * Bytes of cached entries, in memory that holds nothing else. What comes from a peer is a view of everything that was read from
 * the socket with it, and what is made here may lie in a pool: a small entry that is kept would keep 64 KiB of others
 * alive. A group's entries leave the cache in the order in which they came, so those that share a slab go together.
 */

/** Slabs of a group begin small, for there may be ten thousand groups, and double up to the largest. */
const FIRST_SLAB_BYTES = 1024;
const LARGEST_SLAB_BYTES = 64 * 1024;
/** From here on a payload is worth memory of its own. */
const ALONE_FROM_BYTES = LARGEST_SLAB_BYTES / 4;
/** A large payload is kept as it is when it takes at least this share of what it lies in. */
const FAIR_SHARE = 0.75;

export class PayloadKeeper {
  private slab: Buffer = Buffer.alloc(0);
  private used = 0;
  private nextSlabBytes = FIRST_SLAB_BYTES;

  /** The same bytes, in memory that may be kept. */
  keep(payload: Buffer): Buffer {
    const { length } = payload;
    if (length >= ALONE_FROM_BYTES) {
      if (length >= payload.buffer.byteLength * FAIR_SHARE) return payload;
      const copy = Buffer.allocUnsafeSlow(length);
      payload.copy(copy);
      return copy;
    }
    if (this.used + length > this.slab.length) {
      this.slab = Buffer.allocUnsafeSlow(Math.max(this.nextSlabBytes, length));
      this.nextSlabBytes = Math.min(LARGEST_SLAB_BYTES, this.nextSlabBytes * 2);
      this.used = 0;
    }
    const kept = this.slab.subarray(this.used, this.used + length);
    payload.copy(kept);
    this.used += length;
    return kept;
  }
}
