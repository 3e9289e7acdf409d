/**
 * What this node still wants to read of the past: each pin keeps the cluster from collecting what its timestamp needs. A pin
 * is a lease, so that nobody who forgets one, and no node that dies, holds collection back for good.
 */
import { type Clock, type HlcTimestamp, KvorumError, type Millis } from '../../platform/index.ts';

/** A pin lasts so long unless it is renewed. */
export const PIN_LEASE_MS: Millis = 60_000;
/** Pins of one node; beyond, whoever reads takes its chance with the retention like everybody else. */
export const MAX_PINS = 10_000;

/** A pin that is held. */
export interface ReadPin {
  /** Lasts for another lease from now. */
  renew(): void;
  /** Twice is fine. */
  release(): void;
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

interface Held extends OldestPin {
  untilMs: Millis;
}

/** The pins of one node. */
export class ReadPins {
  private readonly clock: Clock;
  private readonly pins = new Set<Held>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Pins held now, expired ones included until somebody looks. */
  get count(): number {
    return this.pins.size;
  }

  /**
   * Keeps history at `ts` and above from the next certification on. What was collected before stays collected: whoever pins
   * reads once afterwards to see that it is still there.
   * @throws PinLimitError
   */
  pin(ts: HlcTimestamp, purpose: string, leaseMs: Millis = PIN_LEASE_MS): ReadPin {
    if (this.pins.size >= MAX_PINS) this.dropExpired();
    if (this.pins.size >= MAX_PINS) throw new PinLimitError(`${MAX_PINS} reads of the past are pinned here`);
    const held: Held = { ts, purpose, untilMs: this.clock.monotonicMs() + leaseMs };
    this.pins.add(held);
    return {
      renew: () => {
        held.untilMs = this.clock.monotonicMs() + leaseMs;
      },
      release: () => {
        this.pins.delete(held);
      },
    };
  }

  /** The oldest pin that has not run out. */
  oldest(): OldestPin | undefined {
    this.dropExpired();
    let oldest: Held | undefined;
    for (const pin of this.pins) if (oldest === undefined || pin.ts < oldest.ts) oldest = pin;
    return oldest === undefined ? undefined : { ts: oldest.ts, purpose: oldest.purpose };
  }

  private dropExpired(): void {
    const nowMs = this.clock.monotonicMs();
    for (const pin of this.pins) if (pin.untilMs <= nowMs) this.pins.delete(pin);
  }
}
