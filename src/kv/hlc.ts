/**
 * Hybrid logical clock: 48 bits of wall milliseconds, 16 bits of counter. It never goes back, whatever the wall clock
 * does, and it moves past everything it has observed. One instance serves all groups of a node, so timestamps of one node
 * are unique across groups. Inside, the two halves are plain numbers (a packed value does not fit 53 bits, and bigint
 * arithmetic is slow); callers get bigints.
 */
import { type Clock, type HlcTimestamp, hlcTimestamp, type Millis } from '../platform/index.ts';

const MAX_LOGICAL = 0xffff;

/** How far a timestamp that arrives from another node may lead this node's wall clock. */
export const MAX_FORWARD_SKEW_MS: Millis = 500;

/** The timestamp of a wall-clock instant with logical part 0; `physicalMs` is its inverse. */
export const timestampOfMs = (ms: Millis): HlcTimestamp => hlcTimestamp(BigInt(ms) << 16n);

export class Hlc {
  private readonly clock: Clock;
  /** The newest timestamp issued or observed. */
  private lastMs = 0;
  private lastLogical = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Issues a timestamp above everything issued or observed so far. Logical overflow borrows the next millisecond. */
  next(): HlcTimestamp {
    const wallMs = this.clock.nowMs();
    if (wallMs > this.lastMs) {
      this.lastMs = wallMs;
      this.lastLogical = 0;
    } else if (this.lastLogical < MAX_LOGICAL) {
      this.lastLogical++;
    } else {
      this.lastMs++;
      this.lastLogical = 0;
    }
    return hlcTimestamp((BigInt(this.lastMs) << 16n) | BigInt(this.lastLogical));
  }

  /** The present time without issuing it: at least the wall clock, never below anything issued or observed. */
  peek(): HlcTimestamp {
    const wallMs = this.clock.nowMs();
    if (wallMs > this.lastMs) return timestampOfMs(wallMs);
    return hlcTimestamp((BigInt(this.lastMs) << 16n) | BigInt(this.lastLogical));
  }

  /** Moves past `ts`: whatever is issued from now on is larger. Never refuses; see `isTooFarAhead` for what peers send. */
  observe(ts: HlcTimestamp): void {
    const ms = Number(ts >> 16n);
    const logical = Number(ts & 0xffffn);
    if (ms > this.lastMs || (ms === this.lastMs && logical > this.lastLogical)) {
      this.lastMs = ms;
      this.lastLogical = logical;
    }
  }

  /**
   * True when a timestamp received in an RPC leads this node's wall clock by more than `MAX_FORWARD_SKEW_MS`: the receiver
   * refuses it instead of letting one broken clock drag the cluster along. Never asked at apply, which must not see clocks.
   */
  isTooFarAhead(ts: HlcTimestamp): boolean {
    return Number(ts >> 16n) > this.clock.nowMs() + MAX_FORWARD_SKEW_MS;
  }
}
