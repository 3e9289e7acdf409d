/**
 * Hybrid logical clock of one group: 48 bits of wall milliseconds, 16 bits of counter. It never goes back, whatever the wall
 * clock does, and it moves past everything it has observed. Each group of a node has its own, so what one group has observed
 * is no other's time. Inside, the two halves are plain numbers (a packed value does not fit 53 bits, and bigint arithmetic
 * is slow); callers get bigints.
 *
 * While it leads the wall clock by a little it only counts, until the wall clock has caught up. When it leads by more, standing
 * still would stop everything that waits for time to pass: it goes on with nine tenths of the monotonic clock's speed.
 */
import {
  type Clock,
  type HlcTimestamp,
  logicalOf,
  MAX_LOGICAL,
  type Millis,
  physicalMs,
  timestampOf,
  timestampOfMs,
} from '../../platform/index.ts';

/** How far the wall clock of another node may lead this node's. */
export const MAX_FORWARD_SKEW_MS: Millis = 500;

/**
 * A lead up to this is made up for by standing still: what a few changes of leaders in a row add to the time of a healthy
 * group, and what clocks may differ by.
 */
export const STANDS_STILL_MS: Millis = 3_500;

/** How fast time goes that leads by more; what is missing to 1 is by how much the lead falls. */
export const LEADING_RATE = 0.9;

/** Timestamps that one call may take: all of one millisecond. */
export const MAX_TAKE = MAX_LOGICAL + 1;

/** Whether a clock has been held against those of other nodes yet; before that nobody may give out its time for good. */
export interface ClockComparison {
  readonly isReady: boolean;
  /** Calls back once it is, not before this returns. */
  whenReady(callback: () => void): void;
}

export class Hlc {
  private readonly clock: Clock;
  readonly comparison: ClockComparison | undefined;
  /** The newest timestamp issued or observed. */
  private lastMs = 0;
  private lastLogical = 0;
  /** Where time stood, and what the monotonic clock read then, when it had to go on by itself; undefined while it need not. */
  private leading: { readonly ms: Millis; readonly monotonicMs: Millis } | undefined;

  /** @param comparison left out: the clock is compared with nobody's */
  constructor(clock: Clock, comparison?: ClockComparison) {
    this.clock = clock;
    this.comparison = comparison;
  }

  /**
   * Issues `count` consecutive timestamps above everything issued or observed so far; `last` is then the largest of them.
   * Nothing is issued unless all of them lie below `boundMs`: a batch never straddles a bound. A wall clock that has
   * reached the bound already counts as standing right before it.
   * @param count from 1 to `MAX_TAKE`
   * @returns whether they were issued
   */
  take(count: number, boundMs: Millis): boolean {
    const timeMs = this.timeMs();
    const reachMs = timeMs < boundMs ? timeMs : boundMs - 1;
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
    return timestampOf(this.lastMs, this.lastLogical);
  }

  /** Milliseconds of `last`. */
  get lastPhysicalMs(): Millis {
    return this.lastMs;
  }

  /** Where the next timestamp would stand, were it issued now: at this clock's time, or at `last` when that leads it. */
  reachMs(): Millis {
    const timeMs = this.timeMs();
    return Math.max(timeMs, this.lastMs);
  }

  /** The time that new timestamps follow: that of the wall clock, or one of its own while it leads that by much. */
  timeMs(): Millis {
    const wallMs = this.clock.nowMs();
    let timeMs = wallMs;
    if (this.leading !== undefined) {
      const sinceMs = this.clock.monotonicMs() - this.leading.monotonicMs;
      timeMs = Math.floor(this.leading.ms + sinceMs * LEADING_RATE);
      if (timeMs <= wallMs) {
        this.leading = undefined;
        timeMs = wallMs;
      }
    }
    if (this.lastMs - timeMs <= STANDS_STILL_MS) return timeMs;
    this.leading = { ms: this.lastMs, monotonicMs: this.clock.monotonicMs() };
    return this.lastMs;
  }

  /** The wall clock that timestamps are made from. */
  wallMs(): Millis {
    return this.clock.nowMs();
  }

  /** The monotonic clock beside it, for whoever waits. */
  monotonicMs(): Millis {
    return this.clock.monotonicMs();
  }

  /** Issues one timestamp below no bound; for tools, and tests. What a group issues it draws from its `GroupClock`. */
  next(): HlcTimestamp {
    this.take(1, Number.MAX_SAFE_INTEGER);
    return this.last;
  }

  /** The present time without issuing it: at least the wall clock, never below anything issued or observed. */
  peek(): HlcTimestamp {
    const timeMs = this.timeMs();
    return timeMs > this.lastMs ? timestampOfMs(timeMs) : this.last;
  }

  /** Moves past `ts`: whatever is issued from now on is larger. Never refuses; see `isTooFarAhead` for what peers send. */
  observe(ts: HlcTimestamp): void {
    const ms = physicalMs(ts);
    const logical = logicalOf(ts);
    if (ms > this.lastMs || (ms === this.lastMs && logical > this.lastLogical)) {
      this.lastMs = ms;
      this.lastLogical = logical;
    }
  }

  /** Milliseconds by which a timestamp is older than this clock's time; negative for one that leads it. */
  ageMs(ts: HlcTimestamp): Millis {
    return this.timeMs() - physicalMs(ts);
  }

  /**
   * True when a timestamp received in an RPC leads this clock's time by more than `leadMs`: the receiver refuses it instead
   * of letting one broken clock drag the cluster along. Never asked at apply, which must not see clocks.
   */
  isTooFarAhead(ts: HlcTimestamp, leadMs: Millis = MAX_FORWARD_SKEW_MS): boolean {
    return this.ageMs(ts) < -leadMs;
  }
}
