/**
 * The right to answer reads without asking anybody. It lasts from the moment a round was SENT that a quorum answered, for
 * as long as the voters that answered will not elect anybody else: `sent + E * (1 - drift) - margin`. Counting from the
 * receipt of the answers would stretch it by the time that they travelled.
 *
 * It is void in a term that has seen a leadership transfer, since the campaign that a TimeoutNow orders is exempt from
 * stickiness and a delayed one may arrive at any time in that term.
 */
import type { Millis } from '../../platform/index.ts';
import type { RaftConfig } from './types.ts';

export class Lease {
  private readonly durationMs: Millis;
  /** Send time of the newest round that a quorum answered; `Infinity` when this node alone is the quorum. */
  private startMs: Millis = Number.NEGATIVE_INFINITY;
  private voided = false;
  /** Rounds sent up to here do not count: the process was stalled since. */
  floorMs: Millis = Number.NEGATIVE_INFINITY;

  constructor(config: RaftConfig) {
    const electionTimeoutMs = config.electionTimeoutTicks * config.tickMs;
    this.durationMs = electionTimeoutMs * (1 - config.leaseDrift) - config.leaseMarginMs;
  }

  /** A new term starts without a lease. */
  reset(): void {
    this.startMs = Number.NEGATIVE_INFINITY;
    this.voided = false;
  }

  voidForTerm(): void {
    this.voided = true;
  }

  isVoid(): boolean {
    return this.voided;
  }

  /** @param startMs send time of the newest round answered by a quorum */
  extend(startMs: Millis): void {
    this.startMs = startMs;
  }

  /** First instant at which the lease does not hold; 0 when there is none. */
  untilMs(nowMs: Millis): Millis {
    if (this.voided || this.startMs === Number.NEGATIVE_INFINITY) return 0;
    return Math.min(this.startMs, nowMs) + this.durationMs;
  }
}
