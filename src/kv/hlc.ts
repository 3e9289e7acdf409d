/**
 * Hybrid logical clock: 48 bits of wall milliseconds, 16 bits of counter. It never goes back, whatever the wall clock
 * does, and it moves past everything it has observed. One instance serves all groups of a node, so timestamps of one node
 * are unique across groups. Inside, the two halves are plain numbers (a packed value does not fit 53 bits, and bigint
 * arithmetic is slow); callers get bigints.
 */
import { type Clock, type HlcTimestamp, hlcTimestamp, type Millis } from '../platform/index.ts';

const MAX_LOGICAL = 0xffff;

/** How far the wall clock of another node may lead this node's. */
export const MAX_FORWARD_SKEW_MS: Millis = 500;

/** Timestamps that one call may take: all of one millisecond. */
export const MAX_TAKE = MAX_LOGICAL + 1;

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

  /**
   * Issues `count` consecutive timestamps above everything issued or observed so far; `last` is then the largest of them.
   * Nothing is issued unless all of them lie below `boundMs`: a batch never straddles a bound. A wall clock that has
   * reached the bound already counts as standing right before it.
   * @param count from 1 to `MAX_TAKE`
   * @returns whether they were issued
   */
  take(count: number, boundMs: Millis): boolean {
    const wallMs = this.clock.nowMs();
    const reachMs = wallMs < boundMs ? wallMs : boundMs - 1;
    let endMs = this.lastMs;
    let endLogical = this.lastLogical + count;
    if (reachMs > endMs) {
      endMs = reachMs;
      endLogical = count - 1;
    }
    // Logical overflow borrows the next millisecond: packed, the two are consecutive.
    if (endLogical > MAX_LOGICAL) {
      endMs++;
      endLogical -= MAX_LOGICAL + 1;
    }
    if (endMs >= boundMs) return false;
    this.lastMs = endMs;
    this.lastLogical = endLogical;
    return true;
  }

  /** The newest timestamp issued or observed. */
  get last(): HlcTimestamp {
    return hlcTimestamp((BigInt(this.lastMs) << 16n) | BigInt(this.lastLogical));
  }

  /** Milliseconds of `last`. */
  get lastPhysicalMs(): Millis {
    return this.lastMs;
  }

  /** Where the next timestamp would stand, were it issued now: at the wall clock, or at `last` when that leads it. */
  reachMs(): Millis {
    const wallMs = this.clock.nowMs();
    return Math.max(wallMs, this.lastMs);
  }

  /** The wall clock that timestamps are made from. */
  wallMs(): Millis {
    return this.clock.nowMs();
  }

  /** Issues one timestamp below no bound; for tools, and tests. What a group issues it draws from its `GroupClock`. */
  next(): HlcTimestamp {
    this.take(1, Number.MAX_SAFE_INTEGER);
    return this.last;
  }

  /** The present time without issuing it: at least the wall clock, never below anything issued or observed. */
  peek(): HlcTimestamp {
    const wallMs = this.clock.nowMs();
    return wallMs > this.lastMs ? timestampOfMs(wallMs) : this.last;
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

  /** Milliseconds by which a timestamp is older than the wall clock; negative for one that leads it. */
  ageMs(ts: HlcTimestamp): Millis {
    return this.clock.nowMs() - Number(ts >> 16n);
  }

  /**
   * True when a timestamp received in an RPC leads this node's wall clock by more than `leadMs`: the receiver refuses it
   * instead of letting one broken clock drag the cluster along. Never asked at apply, which must not see clocks.
   */
  isTooFarAhead(ts: HlcTimestamp, leadMs: Millis = MAX_FORWARD_SKEW_MS): boolean {
    return this.ageMs(ts) < -leadMs;
  }
}
