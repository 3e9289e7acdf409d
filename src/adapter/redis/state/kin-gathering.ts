/**
 * When a turn of requests begins that have only their groups in common. A transaction over groups costs four entries and a message to each leader and
 * back, whatever is in it, so those that come while one of their kin is under way share the next one, and a turn waits as well for those whom the
 * last one has just answered, as entries of a group do (`CrowdGathering`). Nobody is behind anybody here: a turn that takes far longer than usual, for a
 * lock or a leader that is gone, is waited for no longer.
 */
import { type Clock, CrowdGathering, type Millis, nextTurn, type Scheduler } from '../../../platform/index.ts';

/** Turns of the event loop that a gathering waits at most for those who were answered last. */
const GATHER_TURNS = 3;
/** A turn under way is waited for so many times as long as turns take, and at least for so long. */
const PATIENCE = 2;
const LEAST_PATIENCE_MS: Millis = 20;

export interface KinGatheringParts {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
}

/** Of one kin. */
export class KinGathering {
  private readonly parts: KinGatheringParts;
  private readonly crowd: CrowdGathering;
  /** Turns under way that others still wait for, by when they began. */
  private readonly running = new Map<object, Millis>();
  /** Ends the waits of those that gather. */
  private readonly wakes = new Set<() => void>();

  constructor(parts: KinGatheringParts) {
    this.parts = parts;
    this.crowd = new CrowdGathering(GATHER_TURNS, () => parts.clock.monotonicMs());
  }

  /** Settles when a turn should begin. @param count of what it has gathered so far @param most that it may have */
  async isRipe(count: () => number, most: number): Promise<void> {
    const { scheduler } = this.parts;
    await new Promise<void>((resolve) => scheduler.endOfTurn(resolve));
    while (count() < most) {
      const runningMs = this.runningMs();
      if (runningMs > 0) await this.wait(runningMs);
      else if (this.crowd.waitsFor(count())) await nextTurn(scheduler);
      else {
        const patienceMs = this.crowd.patienceMs(count());
        if (patienceMs === 0) return;
        await this.wait(patienceMs);
      }
    }
  }

  /** Something was added to what is gathered. */
  joined(): void {
    for (const wake of this.wakes) wake();
  }

  /** A turn begins. @returns to be called when it has ended, with what it has had and what has been gathered meanwhile */
  begin(): (had: number, gathered: number) => void {
    const turn = {};
    const beganMs = this.crowd.begin();
    this.running.set(turn, beganMs);
    return (had, gathered) => {
      this.running.delete(turn);
      this.crowd.settled(beganMs, had, gathered);
      this.joined();
    };
  }

  /** How long what is under way is still waited for. */
  private runningMs(): Millis {
    const patienceMs = Math.max(LEAST_PATIENCE_MS, PATIENCE * this.crowd.usualMs);
    const sinceMs = this.parts.clock.monotonicMs() - patienceMs;
    let leftMs = 0;
    for (const [turn, beganMs] of this.running) {
      if (beganMs <= sinceMs) this.running.delete(turn);
      else leftMs = Math.max(leftMs, beganMs - sinceMs);
    }
    return leftMs;
  }

  private wait(ms: Millis): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        cancel();
        this.wakes.delete(wake);
        resolve();
      };
      const cancel = this.parts.scheduler.after(ms, wake);
      this.wakes.add(wake);
    });
  }
}
