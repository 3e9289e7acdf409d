/**
 * What this node still wants to read of the past: each pin keeps the cluster from collecting what its timestamp needs. A pin
 * is a lease, so that nobody who forgets one, and no node that dies, holds collection back for good.
 */
import { type Clock, type HlcTimestamp, KvorumError, type Millis } from '../../platform/index.ts';

/** A pin lasts so long unless it is renewed. */
export const PIN_LEASE_MS: Millis = 60_000;
/** Pins of one node that clients can hold for as long as they like; work that ends by itself is not counted. */
export const MAX_PINS = 10_000;

/** A pin that is held. */
export interface ReadPin {
  /** Lasts for another lease from now. */
  renew(): void;
  /** Keeps history at this timestamp too, if it is older. */
  lower(ts: HlcTimestamp): void;
  /** Twice is fine. @param afterMs it lasts for so long yet: whoever was cut off may come back; left out: not at all */
  release(afterMs?: Millis): void;
}

/** Too many reads of the past are pinned at a time. */
export class PinLimitError extends KvorumError {
  readonly code = 'PIN_LIMIT';
  readonly disposition = 'wait';
}

/** The oldest of what is pinned, and who holds it. */
export interface OldestPin {
  readonly ts: HlcTimestamp;
  /** What it is for, such as `backup` or `transaction`; for operators. */
  readonly purpose: string;
}

interface Held {
  ts: HlcTimestamp;
  readonly purpose: string;
  untilMs: Millis;
}

/** The pins of one node. */
export class ReadPins {
  private readonly clock: Clock;
  /** Of clients. */
  private readonly pins = new Set<Held>();
  /** Of work that is under way: what bounds it bounds them. */
  private readonly works = new Set<Held>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Pins held now, expired ones included until somebody looks. */
  get count(): number {
    return this.pins.size + this.works.size;
  }

  /**
   * Keeps history at `ts` and above from the next certification on. What was collected before stays collected: whoever pins
   * reads once afterwards to see that it is still there.
   * @throws PinLimitError
   */
  pin(ts: HlcTimestamp, purpose: string, leaseMs: Millis = PIN_LEASE_MS): ReadPin {
    if (this.pins.size >= MAX_PINS) this.dropExpired();
    if (this.pins.size >= MAX_PINS) throw new PinLimitError(`${MAX_PINS} reads of the past are pinned here`);
    return this.held(this.pins, ts, purpose, leaseMs);
  }

  /** The same for a piece of work that ends by itself and then lets go: it is never refused. */
  hold(ts: HlcTimestamp, purpose: string, leaseMs: Millis = PIN_LEASE_MS): ReadPin {
    return this.held(this.works, ts, purpose, leaseMs);
  }

  private held(among: Set<Held>, ts: HlcTimestamp, purpose: string, leaseMs: Millis): ReadPin {
    const held: Held = { ts, purpose, untilMs: this.clock.monotonicMs() + leaseMs };
    among.add(held);
    return {
      renew: () => {
        held.untilMs = this.clock.monotonicMs() + leaseMs;
      },
      lower: (lowerTs) => {
        if (lowerTs < held.ts) held.ts = lowerTs;
      },
      release: (afterMs = 0) => {
        held.untilMs = this.clock.monotonicMs() + afterMs;
        if (afterMs === 0) among.delete(held);
      },
    };
  }

  /** The oldest pin that has not run out. */
  oldest(): OldestPin | undefined {
    this.dropExpired();
    let oldest: Held | undefined;
    for (const among of [this.pins, this.works]) {
      for (const pin of among) if (oldest === undefined || pin.ts < oldest.ts) oldest = pin;
    }
    return oldest === undefined ? undefined : { ts: oldest.ts, purpose: oldest.purpose };
  }

  private dropExpired(): void {
    const nowMs = this.clock.monotonicMs();
    for (const among of [this.pins, this.works]) {
      for (const pin of among) if (pin.untilMs <= nowMs) among.delete(pin);
    }
  }
}
