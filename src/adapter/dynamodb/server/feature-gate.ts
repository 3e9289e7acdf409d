/**
 * Writes wait for the feature where it is on its way: a cluster that has just begun, or a node that has just joined, does not know yet that every node
 * can read what this adapter stores. Where a node stands in the way nobody waits: the operation says so.
 */
import type { FeatureStanding } from '../../../distribution/index.ts';
import { type Clock, type Millis, type Scheduler, sleep } from '../../../platform/index.ts';

const LOOK_MS: Millis = 50;
/** A feature that is on its way for longer than this is not. */
const MAX_WAIT_MS: Millis = 15_000;

/** See the top of the file. */
export class FeatureGate {
  private readonly standing: () => FeatureStanding;
  private readonly clock: Clock;
  private readonly scheduler: Scheduler;
  /** Once active a feature stays so. */
  private isOpen = false;

  constructor(standing: () => FeatureStanding, clock: Clock, scheduler: Scheduler) {
    this.standing = standing;
    this.clock = clock;
    this.scheduler = scheduler;
  }

  /** Whether every node can read what this adapter stores. */
  get isActive(): boolean {
    this.isOpen ||= this.standing().kind === 'active';
    return this.isOpen;
  }

  /** Settles when there is nothing left to wait for. @param deadlineMs on the monotonic clock */
  async passed(deadlineMs: Millis): Promise<void> {
    const untilMs = Math.min(deadlineMs, this.clock.monotonicMs() + MAX_WAIT_MS);
    while (!this.isActive && this.standing().kind === 'coming' && this.clock.monotonicMs() < untilMs) {
      await sleep(this.scheduler, LOOK_MS);
    }
  }
}
