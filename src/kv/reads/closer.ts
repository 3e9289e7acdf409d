/**
 * The leader's side of one group: how far it can be closed. What the clock read a lag ago is closed, unless an entry below it
 * is still on its way. Nobody subtracts milliseconds from a timestamp: the clock was noted when it read that.
 */
import {
  type Elapsed,
  type HlcTimestamp,
  hlcTimestamp,
  type Millis,
  NEVER,
  timestampOfMs,
} from '../../platform/index.ts';
import type { ClosedNotice } from '../contract/index.ts';

/** What this needs of a group's executor and replica. */
export interface ClosableGroup {
  readonly group: ClosedNotice['group'];
  /** True while this node leads the group and serves. */
  isServing(): boolean;
  /** True when nobody else can have led the group until now. */
  holdsLease(): boolean;
  readonly term: number;
  readonly appliedIndex: number;
  /** Exclusive upper bound of what this leadership may issue, milliseconds; 0: nothing yet. */
  readonly boundMs: Millis;
  /** The smallest timestamp that was given to something whose outcome is open. */
  oldestAssigned(): HlcTimestamp | undefined;
  /** Whatever is issued from now on is above `ts`. */
  observe(ts: HlcTimestamp): void;
  /** At least everything that was issued or observed. */
  now(): HlcTimestamp;
}

const MAX_SAMPLES = 64;

interface Sample {
  readonly atMs: Millis;
  readonly ts: HlcTimestamp;
}

export class GroupCloser {
  private readonly group: ClosableGroup;
  private readonly elapsed: Elapsed;
  private readonly lagMs: Millis;
  /** What the group's clock read while this node surely led it; oldest first. */
  private samples: Sample[] = [];
  private term = 0;
  private closedTs: HlcTimestamp = NEVER;
  /** Everything acknowledged before is closed; elapsed time. */
  private coveredMs: Millis | undefined;

  constructor(group: ClosableGroup, elapsed: Elapsed, lagMs: Millis) {
    this.group = group;
    this.elapsed = elapsed;
    this.lagMs = lagMs;
  }

  /** Closes what can be closed now; undefined when nothing is known to be. */
  close(): ClosedNotice | undefined {
    const { group } = this;
    if (!group.isServing() || group.boundMs === 0) return undefined;
    if (group.term !== this.term) this.begin();
    // The moment first: a process that is stopped in between has noted too early a one.
    const nowMs = this.elapsed.elapsedMs();
    this.advance(nowMs);
    const ts = group.now();
    if (group.holdsLease()) this.sample({ atMs: nowMs, ts });
    if (this.coveredMs === undefined) return undefined;
    return {
      group: group.group,
      term: this.term,
      closedTs: this.closedTs,
      appliedIndex: group.appliedIndex,
      ageMs: this.elapsed.elapsedMs() - this.coveredMs,
    };
  }

  /** While nothing can be closed the oldest is kept, which will be first, and the newest. */
  private sample(sample: Sample): void {
    this.samples.push(sample);
    if (this.samples.length > MAX_SAMPLES) this.samples.splice(1, 1);
  }

  private begin(): void {
    this.term = this.group.term;
    this.samples = [];
    this.coveredMs = undefined;
    this.closedTs = NEVER;
  }

  private advance(nowMs: Millis): void {
    const limit = this.limit();
    let passed = 0;
    for (const { atMs, ts } of this.samples) {
      if (nowMs - atMs < this.lagMs || ts > limit) break;
      passed++;
      this.coveredMs = atMs;
      if (ts > this.closedTs) this.closedTs = ts;
    }
    if (passed === 0) return;
    this.samples.splice(0, passed);
    // From here on nothing is issued at or below: the wall clock may have been set back since.
    this.group.observe(this.closedTs);
  }

  /** True when nothing will be committed at or below `ts`, which was issued, once what is in flight is applied. */
  mayClose(ts: HlcTimestamp): boolean {
    return this.group.isServing() && this.group.boundMs > 0 && ts <= this.limit();
  }

  /** The largest timestamp that may be closed: below everything that is on its way, and below where the next leader begins. */
  private limit(): HlcTimestamp {
    const bound = timestampOfMs(this.group.boundMs) - 1n;
    const oldest = this.group.oldestAssigned();
    // The timestamp before an entry's own is that of its range deletes.
    const below = oldest === undefined ? bound : oldest - 2n;
    return hlcTimestamp(below < bound ? below : bound);
  }
}
