/**
 * The timestamps of one group, as its leader may issue them: those of the group's `Hlc` below a bound, the ceiling that was
 * committed through its log in the present term. A leader issues below it; the next one begins at the largest ceiling of its
 * log. So timestamps of a group rise across leaders, those included that were handed out and never written, whatever the
 * nodes' clocks say (the scheme of Spanner's and of TiKV's timestamp windows).
 *
 * A ceiling is raised by an entry that is on its way anyhow; by an entry of its own when there is none and the clock is
 * still being asked; and not at all while nobody asks. Whoever then comes waits for one commit, not until it is applied.
 */
import { assert, type HlcTimestamp, lastBefore, type Millis, timestampOfMs } from '../../platform/index.ts';
import type { ProposalOutcome } from '../../raftengine/index.ts';
import { CeilingExpiredError, TimestampAheadError } from '../contract/index.ts';
import { type ClockComparison, type Hlc, MAX_FORWARD_SKEW_MS, MAX_TAKE } from './hlc.ts';

/** How far ahead of time ceilings are reserved. */
export interface ClockLimits {
  /**
   * A ceiling is so far ahead of the wall clock. When the leader changes timestamps jump by what is left of it, and what
   * expires by them expires so much early: after an election nothing or next to nothing, because the ceiling was proposed
   * an election timeout before. A commit that takes longer makes the group wait for it and is no harm besides.
   */
  readonly windowMs: Millis;
  /** While the group's clock leads the wall clock it counts instead of following; then so much is enough. */
  readonly stepMs: Millis;
  /** A busy group carries a new ceiling with an entry once it would rise by this much. */
  readonly renewMs: Millis;
  /** What a range brings along in a move may lead this group's time by so many windows; more is refused. */
  readonly maxLeadWindows: number;
  /** How far the wall clocks of nodes may be apart: for timestamps that come with requests, and for `NodeClock`. */
  readonly maxForwardSkewMs: Millis;
}

export const DEFAULT_CLOCK_LIMITS: ClockLimits = {
  windowMs: 1000,
  stepMs: 300,
  renewMs: 300,
  maxLeadWindows: 30,
  maxForwardSkewMs: MAX_FORWARD_SKEW_MS,
};

/** Windows that healthy groups may be ahead by: one, and a step for each election of a bad minute. */
const FOREIGN_WINDOWS = 3;

/** There is room while the largest batch that can be taken ends below the bound. */
const ROOM_MS: Millis = 2;

/** What becomes of those who wait for a ceiling that may or may not come. */
const LOST = 'nobody knows whether the ceiling of the group was raised; try again';

/** What a proposed ceiling came to: raised, refused before it was proposed, or nobody knows. */
export type RenewalOutcome = { readonly kind: 'raised' } | { readonly kind: 'failed'; readonly error: Error };

/** What became of the entry that proposed it. */
export function renewalOutcome(outcome: ProposalOutcome): RenewalOutcome {
  if (outcome.kind === 'applied') return { kind: 'raised' };
  return { kind: 'failed', error: outcome.kind === 'notProposed' ? outcome.error : new CeilingExpiredError(LOST) };
}

export interface GroupClockOptions {
  readonly hlc: Hlc;
  readonly limits?: Partial<ClockLimits>;
  /** The group's replicated ceiling and the largest timestamp that was ever applied. */
  readonly replicated: { readonly ceilingMs: Millis; readonly maxTs: HlcTimestamp };
  /** Proposes HLC_LEASE ahead of everything that waits; `done` hears once, not before this returns, unless leadership ends. */
  readonly propose: (ceilingMs: Millis, done: (outcome: RenewalOutcome) => void) => void;
  /** Hears when there is room again, or why there is none; not before `request` returns. */
  readonly onRenewed: (failure: Error | undefined) => void;
  /** What those hear who wait while this node does not lead. */
  readonly notLeader: () => Error;
}

interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

/** See the top of the file. */
export class GroupClock {
  readonly limits: ClockLimits;
  private readonly hlc: Hlc;
  private readonly replicated: GroupClockOptions['replicated'];
  private readonly options: GroupClockOptions;
  /** Timestamps are issued below it; 0 while none may be. */
  private boundMs: Millis = 0;
  /** Counts leaderships; 0 between them. What an earlier one began is over. */
  private leadership = 0;
  private leaderships = 0;
  /** The ceiling that is on its way, in an entry of its own or in another; 0: it is about to be. Undefined while there is none. */
  private renewing: Millis | undefined;
  /** Whether that one counts before it is applied. */
  private countsCommitted = false;
  /** Entries on their way that say how far the group's timestamps have come by what is applied. */
  private holds = 0;
  private waiters: Waiter[] = [];

  constructor(options: GroupClockOptions) {
    this.options = options;
    this.hlc = options.hlc;
    this.replicated = options.replicated;
    this.limits = { ...DEFAULT_CLOCK_LIMITS, ...options.limits };
  }

  /** The bound of this leadership; 0 while no timestamp may be issued. */
  get bound(): Millis {
    return this.boundMs;
  }

  /** The present time of the group; at least everything that was issued here or observed. */
  now(): HlcTimestamp {
    return this.hlc.peek();
  }

  /** By how much the time of the group leads the clock; negative when the newest timestamp known here lies behind. */
  get leadMs(): Millis {
    const [wallMs, timeMs] = [this.hlc.wallMs(), this.hlc.timeMs()];
    return Math.max(this.hlc.lastPhysicalMs, timeMs > wallMs ? timeMs : 0) - wallMs;
  }

  /**
   * This node leads and has applied an entry of its term. From here on it is past everything that earlier leaders issued;
   * it issues timestamps itself when its own ceiling is committed.
   */
  begin(): void {
    this.leadership = ++this.leaderships;
    this.boundMs = 0;
    this.renewing = undefined;
    const { ceilingMs, maxTs } = this.replicated;
    this.hlc.observe(maxTs);
    if (ceilingMs > 0) this.hlc.observe(lastBefore(ceilingMs));
    this.request();
  }

  /** Leadership is over: nothing is issued any more, from now on. */
  end(): void {
    this.boundMs = 0;
    this.leadership = 0;
    this.renewing = undefined;
    this.settleWaiters(this.options.notLeader());
  }

  /** True when any batch may be taken now. */
  hasRoom(): boolean {
    return this.hlc.reachMs() + ROOM_MS <= this.boundMs;
  }

  /**
   * Issues `count` consecutive timestamps.
   * @returns the largest of them
   * @throws CeilingExpiredError: none was issued
   */
  take(count: number): HlcTimestamp {
    assert(count >= 1 && count <= MAX_TAKE, 'a batch of timestamps has a size');
    if (!this.hlc.take(count, this.boundMs)) throw expired(this.boundMs);
    return this.hlc.last;
  }

  /** Moves past a timestamp that is part of this group's own state. */
  observe(ts: HlcTimestamp): void {
    this.hlc.observe(ts);
  }

  /**
   * Moves past a timestamp that another group issued and that came with a request. `maxLeadMs` is what it may lead this
   * group's time by: by default what some changes of leaders in a row add there, and what clocks may differ by.
   * @throws TimestampAheadError
   */
  observeForeign(ts: HlcTimestamp, maxLeadMs: Millis = this.foreignLeadMs): void {
    if (this.hlc.isTooFarAhead(ts, maxLeadMs)) {
      throw new TimestampAheadError(`a timestamp leads the time of this group by ${-this.hlc.ageMs(ts)} ms`);
    }
    this.hlc.observe(ts);
  }

  private get foreignLeadMs(): Millis {
    return FOREIGN_WINDOWS * this.limits.windowMs + this.limits.maxForwardSkewMs;
  }

  /** The largest timestamp of another group that this one goes along with now; see `maxLeadMs`. */
  get reachTs(): HlcTimestamp {
    return timestampOfMs(this.hlc.timeMs() + this.maxLeadMs);
  }

  /** What no clock of a group that keeps to these limits leads a wall clock by. */
  get maxLeadMs(): Millis {
    return this.limits.maxLeadWindows * this.limits.windowMs;
  }

  /**
   * The ceiling that would be proposed now. There always is one: a group that has got ahead of the clocks goes on. Only a
   * leader's first one is then a step instead of a window ahead, so that changes of leaders in a row cost little.
   */
  private target(): Millis {
    const { windowMs, stepMs } = this.limits;
    const timeMs = this.boundMs === 0 ? this.hlc.wallMs() : this.hlc.timeMs();
    return Math.max(timeMs + windowMs, this.hlc.reachMs() + 1 + stepMs);
  }

  private isDue(target: Millis, rise: Millis): boolean {
    if (target <= this.boundMs) return false;
    return target - this.boundMs >= rise || this.boundMs - this.hlc.lastPhysicalMs < this.limits.stepMs / 2;
  }

  /** @returns the ceiling that the entry which is about to be proposed is to carry, 0 for none; then `carried` must be called */
  carry(): Millis {
    if (this.renewing !== undefined || this.leadership === 0) return 0;
    const target = this.target();
    if (!this.isDue(target, this.limits.renewMs)) return 0;
    this.begun(target);
    return target;
  }

  private begun(ceilingMs: Millis): void {
    this.renewing = ceilingMs;
    this.countsCommitted = this.holds === 0;
  }

  /** What became of an entry that carried a ceiling; called while the leadership lasts in which it was proposed. */
  carried(ceilingMs: Millis, isApplied: boolean): void {
    // It was raised when the entry was committed.
    if (this.renewing !== ceilingMs) return;
    this.renewing = undefined;
    if (isApplied) this.raise(this.replicated.ceilingMs);
    else if (!this.hasRoom()) this.request();
  }

  /**
   * The entry with a ceiling is committed: whoever leads next has applied it before it issues anything. So it holds at once, and nobody waits until this
   * replica has applied what is before it in the log, which takes seconds when that is large.
   */
  committed(ceilingMs: Millis): void {
    if (this.leadership === 0 || this.renewing !== ceilingMs || !this.countsCommitted) return;
    this.renewing = undefined;
    this.raise(ceilingMs);
  }

  /**
   * An entry is being proposed that will tell others how far this group's timestamps have come when it is applied. A ceiling behind it in the log must not
   * count before that.
   * @returns to be called when the entry is applied, or will not be
   */
  holdCommitted(): () => void {
    this.holds++;
    return () => {
      this.holds--;
    };
  }

  /** The clock was asked and no entry follows that could carry a ceiling: half a window ahead of the end one goes alone. */
  keepOpen(): void {
    if (this.renewing !== undefined || this.leadership === 0) return;
    if (this.boundMs - this.hlc.lastPhysicalMs > this.limits.windowMs / 2) return;
    const target = this.target();
    if (this.isDue(target, this.limits.windowMs / 2)) this.renew(target);
  }

  /** Somebody waits for room: raises the ceiling unless that is under way. `onRenewed` is called. */
  request(): void {
    if (this.renewing !== undefined || this.leadership === 0) return;
    const { comparison } = this.hlc;
    if (comparison?.isReady === false) this.waitFor(comparison);
    else this.renew(this.target());
  }

  /** A ceiling is for good: none is proposed by a clock that nobody has looked at yet. */
  private waitFor(comparison: ClockComparison): void {
    this.renewing = 0;
    const { leadership } = this;
    comparison.whenReady(() => {
      if (leadership !== this.leadership) return;
      this.renewing = undefined;
      this.request();
    });
  }

  private renew(target: Millis): void {
    this.begun(target);
    const { leadership } = this;
    const done = (outcome: RenewalOutcome): void => {
      if (leadership !== this.leadership || this.renewing !== target) return;
      this.renewing = undefined;
      if (outcome.kind === 'raised') this.raise(this.replicated.ceilingMs);
      else this.fail(outcome.error);
    };
    this.options.propose(target, done);
  }

  /** A ceiling of this term is for good. */
  private raise(ceilingMs: Millis): void {
    if (this.leadership === 0) return;
    this.boundMs = Math.max(this.boundMs, ceilingMs);
    if (!this.hasRoom()) {
      this.request();
      return;
    }
    this.options.onRenewed(undefined);
    this.settleWaiters(undefined);
  }

  private fail(error: Error): void {
    if (this.hasRoom()) return;
    this.options.onRenewed(error);
    this.settleWaiters(error);
  }

  /**
   * Settles when there is room; undefined when there is now. Another may use it up before the waiter runs: ask again.
   * @throws CeilingExpiredError or why no ceiling could be proposed; NotLeaderError
   */
  opening(): Promise<void> | undefined {
    if (this.hasRoom()) return undefined;
    if (this.leadership === 0) return Promise.reject(this.options.notLeader());
    const opened = new Promise<void>((resolve, reject) => this.waiters.push({ resolve, reject }));
    this.request();
    return opened;
  }

  private settleWaiters(error: Error | undefined): void {
    const { waiters } = this;
    this.waiters = [];
    for (const waiter of waiters) {
      if (error === undefined) waiter.resolve();
      else waiter.reject(error);
    }
  }
}

const expired = (boundMs: Millis): CeilingExpiredError =>
  new CeilingExpiredError(
    boundMs === 0
      ? 'the group has no ceiling for its timestamps yet; try again'
      : `the group's timestamps have reached their ceiling of ${boundMs} ms and it cannot be raised; try again`,
  );
