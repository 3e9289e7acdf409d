import type { Clock, Millis } from '../../platform/index.ts';

/** What one turn of the event loop is used for: a command under load takes some ten turns, and would wait for a slice in each. */
const SLICE_MS: Millis = 2;
/** The clock is looked at after so much. */
const LOOK_COST = 32 << 10;
/** The most in a turn whatever the clock says: in a simulation it stands still meanwhile. */
const SLICE_COST = 1 << 20;

/**
 * Long work that is done a slice a turn, beside what clients wait for. A slice ends by the clock: the same rows take half a millisecond where they
 * lie in a cache and ten where they do not.
 */
export class Slices {
  private readonly clock: Clock;
  private readonly nextTurn: () => Promise<void>;
  private beganMs: Millis;
  private cost = 0;
  private lookedAt = 0;

  /** @param nextTurn lets the event loop go on */
  constructor(clock: Clock, nextTurn: () => Promise<void>) {
    this.clock = clock;
    this.nextTurn = nextTurn;
    this.beganMs = clock.monotonicMs();
  }

  /** @param cost of what was done, in bytes or what takes as long as they @returns whether this turn has had enough: call `next` then */
  isOver(cost: number): boolean {
    this.cost += cost;
    if (this.cost - this.lookedAt < LOOK_COST) return false;
    this.lookedAt = this.cost;
    return this.cost >= SLICE_COST || this.clock.monotonicMs() - this.beganMs >= SLICE_MS;
  }

  /** Settles in a later turn, in which another slice begins. */
  async next(): Promise<void> {
    await this.nextTurn();
    this.cost = 0;
    this.lookedAt = 0;
    this.beganMs = this.clock.monotonicMs();
  }
}
