/**
 * The clock of a node, held against those of its peers. Everything on the node that needs the time of day asks here.
 *
 * Each wall clock has a vote, and so has what each node would show had its clock gone on evenly since it last agreed with
 * the others: a clock that jumps is outvoted by what it was before, in the very turn in which it jumps, and a single node
 * that is wrong from the start by those of its peers. The middle of all votes is the time; of two middles the earlier one,
 * since time that has run ahead cannot be taken back. A clock that is further from the middle than a bound is *off*: the node
 * then goes by the middle, and should not lead.
 *
 * What clocks were before counts for five minutes after they have left it. So clocks that were all set on purpose are
 * followed then at the latest, and at once when they were all set back. A machine that slept is no clock that was set: what its clocks and those of its
 * peers would show now is counted with the time that it slept.
 */
import { assert, BootClock, type Clock, type Millis, type NodeId, type Scheduler } from '../../platform/index.ts';
import type { PeerClocks, PeerReading } from '../../raftengine/index.ts';
import { type ClockComparison, LEADING_RATE, MAX_FORWARD_SKEW_MS } from './hlc.ts';

export interface NodeClockLimits {
  /** A clock that is further from the middle is off. */
  readonly maxOffsetMs: Millis;
  /** How long what a clock was before counts, once it is something else. */
  readonly settleMs: Millis;
  /** A peer that was not heard of for so long has no vote. */
  readonly freshMs: Millis;
  /** After a start peers are waited for so long. */
  readonly graceMs: Millis;
}

export const DEFAULT_NODE_CLOCK_LIMITS: NodeClockLimits = {
  maxOffsetMs: MAX_FORWARD_SKEW_MS,
  settleMs: 5 * 60_000,
  // Many beats, and the pauses of a busy process.
  freshMs: 5_000,
  graceMs: 3_000,
};

/** Readings of a peer that are kept: that of the shortest round trip among them counts. */
const READINGS_KEPT = 8;
/** Wall clocks are read in whole milliseconds. */
const CLOCK_GRAIN_MS: Millis = 1;
/** And one after the other. */
const READING_SLACK_MS: Millis = 5;
/** Within this share of the bound a clock that was off is right again, so that none goes to and fro. */
const BACK_SHARE = 0.8;

/** How a peer's clock stands against this node's. */
export interface PeerClockStatus {
  readonly nodeId: NodeId;
  /** Its wall clock less this node's. */
  readonly offsetMs: Millis;
  readonly errorMs: Millis;
  readonly isOff: boolean;
}

/** How a node's clock stands. */
export interface NodeClockStatus {
  /** This node's wall clock less the time that it goes by. */
  readonly offsetMs: Millis;
  /** That is right within this; 0 without peers. */
  readonly errorMs: Millis;
  readonly isOff: boolean;
  /** Heard lately. */
  readonly peers: readonly PeerClockStatus[];
}

export interface NodeClockOptions {
  /** The machine's. */
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly limits?: Partial<NodeClockLimits>;
  /** Hears when the clock goes off, and when it is right again. */
  readonly onChange?: (status: NodeClockStatus) => void;
}

interface Dated {
  /** Monotonic: who slept has heard nobody meanwhile, and what it knew of them holds. */
  readonly atMs: Millis;
  readonly reading: PeerReading;
}

interface Vote {
  readonly offsetMs: Millis;
  readonly errorMs: Millis;
}

/** See the top of the file. Offsets, and moments where nothing else is said, are against the `BootClock` of this node. */
export class NodeClock implements Clock, PeerClocks, ClockComparison {
  private readonly options: NodeClockOptions;
  private readonly clock: Clock;
  private readonly boot: BootClock;
  private readonly limits: NodeClockLimits;
  private readonly startedMs: Millis;
  /** Nodes that will be heard of while they live. */
  private readonly expected = new Set<NodeId>();
  /** Newest last. */
  private readonly readings = new Map<NodeId, Dated[]>();
  /** The wall clock as of the last judgement. */
  private wallOffsetMs: Millis;
  /** Since when the wall clock is where it is. */
  private steadySinceMs: Millis;
  /** Where the wall clock was while it agreed with the others. */
  private heldOffsetMs: Millis | undefined;
  /** Since when it is elsewhere. */
  private leftHeldMs: Millis | undefined;
  private middle: Vote;
  private isOff = false;
  private isCompared = false;
  private waiters: (() => void)[] = [];
  /** When the clocks will have caught up with what an operator has accepted; 0 for none. */
  private caughtUpAtMs: Millis = 0;

  constructor(options: NodeClockOptions) {
    this.options = options;
    this.clock = options.clock;
    this.boot = new BootClock(options.clock);
    this.limits = { ...DEFAULT_NODE_CLOCK_LIMITS, ...options.limits };
    this.startedMs = this.boot.bootMs();
    this.wallOffsetMs = this.clock.nowMs() - this.startedMs;
    this.steadySinceMs = this.startedMs;
    this.middle = { offsetMs: this.wallOffsetMs, errorMs: 0 };
  }

  // ---- the time

  /** The time of day: that of the wall clock, or of the middle while that is off. */
  nowMs(): Millis {
    const wallMs = this.clock.nowMs();
    const monotonicMs = this.clock.monotonicMs();
    if (Math.abs(wallMs - this.boot.at(monotonicMs) - this.wallOffsetMs) > READING_SLACK_MS) this.review();
    const timeMs = this.isOff ? Math.floor(this.boot.at(monotonicMs) + this.middle.offsetMs) : wallMs;
    return timeMs + leadAt(timeMs, this.caughtUpAtMs);
  }

  /**
   * An operator has accepted that the time of all nodes leads their clocks. From one moment to the next it does; then it goes
   * more slowly than they do until they have caught up.
   * @param caughtUpAtMs when that will be, unix milliseconds; the same on all nodes; 0 for never mind
   */
  accept(caughtUpAtMs: Millis): void {
    this.caughtUpAtMs = caughtUpAtMs;
  }

  monotonicMs(): Millis {
    return this.clock.monotonicMs();
  }

  bootMs(): Millis {
    return this.boot.bootMs();
  }

  // ---- what peers and this node tell each other

  reading() {
    this.review();
    const heldMs = this.heldOffsetMs === undefined ? undefined : this.boot.bootMs() + this.heldOffsetMs;
    return { isOff: this.isOff, wallMs: this.clock.nowMs(), heldMs };
  }

  expect(peer: NodeId): void {
    this.expected.add(peer);
  }

  heard(peer: NodeId, reading: PeerReading): void {
    const kept = this.readings.get(peer) ?? [];
    const best = kept.length === 0 ? undefined : bestOf(kept);
    // It has been set since: what it was before says nothing any more.
    const apartMs = best === undefined ? 0 : Math.abs(best.reading.wallOffsetMs - reading.wallOffsetMs);
    const isSet = best !== undefined && apartMs > best.reading.errorMs + reading.errorMs + READING_SLACK_MS;
    const newest = { atMs: this.clock.monotonicMs(), reading };
    this.readings.set(peer, isSet ? [newest] : [...kept.slice(1 - READINGS_KEPT), newest]);
    this.review();
    if (!this.isCompared && this.hasHeardEnough()) this.beReady();
  }

  /** False while this node should leave leadership to others. With nobody to compare with it is not asked to. */
  get mayLead(): boolean {
    return !this.isOff || this.fresh().length === 0;
  }

  /** True for a peer that should not lead: it says so itself, or it is seen from here. */
  isPeerOff(peer: NodeId): boolean {
    return this.status().peers.some(({ nodeId, isOff }) => nodeId === peer && isOff);
  }

  // ---- whether it may be relied on

  get isReady(): boolean {
    if (!this.isCompared && this.hasHeardEnough()) this.beReady();
    return this.isCompared;
  }

  whenReady(callback: () => void): void {
    assert(!this.isCompared, 'nobody waits for what is there');
    const leftMs = this.startedMs + this.limits.graceMs - this.boot.bootMs();
    if (this.waiters.length === 0) this.options.scheduler.after(Math.max(0, leftMs), () => this.beReady());
    this.waiters.push(callback);
  }

  /** Two peers settle it; of one that does not come nobody knows whether it ever will. */
  private hasHeardEnough(): boolean {
    const nowMs = this.boot.bootMs();
    const heard = this.fresh().length;
    return heard >= Math.min(2, this.expected.size) || nowMs - this.startedMs >= this.limits.graceMs;
  }

  private beReady(): void {
    this.isCompared = true;
    const { waiters } = this;
    this.waiters = [];
    for (const waiter of waiters) waiter();
  }

  // ---- the judgement

  status(): NodeClockStatus {
    this.review();
    const peers = this.fresh();
    return {
      offsetMs: Math.round(this.wallOffsetMs - this.middle.offsetMs),
      errorMs: peers.length === 0 ? 0 : Math.ceil(this.middle.errorMs + CLOCK_GRAIN_MS),
      isOff: this.isOff,
      peers: peers.map(({ nodeId, reading }) => ({
        nodeId,
        offsetMs: Math.round(reading.wallOffsetMs - this.wallOffsetMs),
        errorMs: Math.ceil(reading.errorMs + CLOCK_GRAIN_MS),
        isOff: reading.isOff || this.isFar({ offsetMs: reading.wallOffsetMs, errorMs: reading.errorMs }, 1),
      })),
    };
  }

  private fresh(): { readonly nodeId: NodeId; readonly reading: PeerReading }[] {
    const nowMs = this.clock.monotonicMs();
    const fresh: { readonly nodeId: NodeId; readonly reading: PeerReading }[] = [];
    for (const [nodeId, kept] of this.readings) {
      if (nowMs - kept.at(-1)!.atMs <= this.limits.freshMs) fresh.push({ nodeId, reading: bestOf(kept).reading });
    }
    return fresh;
  }

  /** @param share of the bound */
  private isFar({ offsetMs, errorMs }: Vote, share: number): boolean {
    const limitMs = this.limits.maxOffsetMs * share + this.middle.errorMs + errorMs;
    return Math.abs(offsetMs - this.middle.offsetMs) > limitMs;
  }

  /** Judges by what all clocks show now. It happens with every beat, and has to happen now and then where there are none. */
  review(): void {
    const nowMs = this.boot.bootMs();
    const wallOffsetMs = this.clock.nowMs() - nowMs;
    if (Math.abs(wallOffsetMs - this.wallOffsetMs) > this.limits.maxOffsetMs) this.steadySinceMs = nowMs;
    this.wallOffsetMs = wallOffsetMs;
    this.forget(nowMs);
    const peers = this.fresh();
    const walls: Vote[] = [{ offsetMs: wallOffsetMs, errorMs: 0 }];
    const helds: Vote[] = this.heldOffsetMs === undefined ? [] : [{ offsetMs: this.heldOffsetMs, errorMs: 0 }];
    for (const { reading } of peers) {
      const { wallOffsetMs: offsetMs, heldOffsetMs, errorMs } = reading;
      walls.push({ offsetMs, errorMs });
      if (heldOffsetMs !== undefined) helds.push({ offsetMs: heldOffsetMs, errorMs });
    }
    const votes = [...walls, ...helds].sort((left, right) => left.offsetMs - right.offsetMs);
    this.middle = votes[(votes.length - 1) >> 1]!;
    const wasOff = this.isOff;
    this.isOff = this.isFar(walls[0]!, wasOff ? BACK_SHARE : 1);
    if (!this.isOff) this.hold(walls, nowMs);
    if (this.isOff !== wasOff) this.options.onChange?.(this.status());
  }

  /** What the clock was before counts no longer than a while. */
  private forget(nowMs: Millis): void {
    if (this.heldOffsetMs === undefined) return;
    if (Math.abs(this.wallOffsetMs - this.heldOffsetMs) <= this.limits.maxOffsetMs) this.leftHeldMs = undefined;
    else if (this.leftHeldMs === undefined) this.leftHeldMs = nowMs;
    else if (nowMs - this.leftHeldMs >= this.limits.settleMs) {
      this.heldOffsetMs = undefined;
      this.leftHeldMs = undefined;
    }
  }

  /** The clock is what most clocks are, or has nobody beside it and was not set for long: from here on that counts. */
  private hold(walls: readonly Vote[], nowMs: Millis): void {
    const agreeing = walls.filter((wall) => !this.isFar(wall, 1)).length;
    const isSteady =
      this.heldOffsetMs === undefined
        ? nowMs - this.steadySinceMs >= this.limits.settleMs
        : Math.abs(this.wallOffsetMs - this.heldOffsetMs) <= this.limits.maxOffsetMs;
    if (walls.length > 1 ? 2 * agreeing > walls.length : isSteady) this.heldOffsetMs = this.wallOffsetMs;
  }
}

/** By how much time leads clocks that show `timeMs` and will have caught up at `caughtUpAtMs`. */
export const leadAt = (timeMs: Millis, caughtUpAtMs: Millis): Millis =>
  Math.max(0, Math.floor((caughtUpAtMs - timeMs) * (1 - LEADING_RATE)));

/** What the clocks show while time, which leads them until `caughtUpAtMs`, is `timeMs`. */
export const clockAt = (timeMs: Millis, caughtUpAtMs: Millis): Millis => {
  if (timeMs >= caughtUpAtMs) return timeMs;
  return Math.floor((timeMs - caughtUpAtMs * (1 - LEADING_RATE)) / LEADING_RATE);
};

/** The other way round: when clocks that show `timeMs` will have caught up with a time that leads them by `leadMs`. */
export const caughtUpAfter = (timeMs: Millis, leadMs: Millis): Millis =>
  Math.ceil(timeMs + leadMs / (1 - LEADING_RATE));

/** That of the shortest round trip. */
function bestOf(kept: readonly Dated[]): Dated {
  let best = kept[0]!;
  for (const one of kept) if (one.reading.errorMs <= best.reading.errorMs) best = one;
  return best;
}
