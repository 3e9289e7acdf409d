/**
 * Whether the safepoint has anything to let go of, as far as a node can tell from its own stores: a round writes to every group's log, which an
 * idle cluster is to be spared. Pure.
 */
import { type HlcTimestamp, type Millis, physicalMs } from '../../platform/index.ts';

/** What became history since the last time that was noted; less waits for a round that comes anyway. */
const GROWN_BYTES = 1 << 20;

/** See the top of the file. */
export class HistoryGrowth {
  private markBytes = 0;
  /** Wall clock when there was enough more of it the last time; 0 for never. */
  private grownMs: Millis = 0;

  /** @param bytes that became history in the stores here so far; less when a store has gone */
  note(bytes: number, nowMs: Millis): void {
    if (bytes < this.markBytes) this.markBytes = bytes;
    if (bytes - this.markBytes < GROWN_BYTES) return;
    this.markBytes = bytes;
    this.grownMs = nowMs;
  }

  /** True when a safepoint above this one would let something go. */
  isAbove(safepoint: HlcTimestamp): boolean {
    return this.grownMs > physicalMs(safepoint);
  }
}
