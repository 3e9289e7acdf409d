/**
 * What the groups of a node have in common: its event loop. What is bounded by time only, such as a script, may take a good part of what others can wait
 * for the node; when something has, nothing more is evaluated before the node has heard of them, in no group.
 */
import type { Millis, Scheduler } from '../../platform/index.ts';

/** Less is not counted: it needs no look at whether the turn has ended. */
const LEAST_MS: Millis = 1;

/** See the top of the file. */
export class NodeTurn {
  private readonly scheduler: Pick<Scheduler, 'nextTurn'>;
  private readonly maxMs: Millis;
  private hasEnded = false;
  private takenMs: Millis = 0;
  /** Called when the next turn has begun, in this order. */
  private waiting = new Set<() => void>();

  /** @param maxMs after which nothing more is begun in a turn */
  constructor(scheduler: Pick<Scheduler, 'nextTurn'>, maxMs: Millis) {
    this.scheduler = scheduler;
    this.maxMs = maxMs;
  }

  /** Whether nothing more should be evaluated in this turn. */
  get isSpent(): boolean {
    return this.hasEnded;
  }

  /** Something was evaluated. */
  took(tookMs: Millis): void {
    if (tookMs < LEAST_MS) return;
    if (this.takenMs === 0) this.scheduler.nextTurn(() => this.begin());
    this.takenMs += tookMs;
    if (this.takenMs > this.maxMs) this.hasEnded = true;
  }

  /** Has somebody called, once, who waits for a turn that is not spent. */
  await(callback: () => void): void {
    this.waiting.add(callback);
  }

  private begin(): void {
    this.takenMs = 0;
    this.hasEnded = false;
    const called = [...this.waiting];
    this.waiting.clear();
    for (const [at, callback] of called.entries()) {
      // Whoever has not been called in this turn comes first in the next.
      if (this.isSpent) {
        this.waiting = new Set([...called.slice(at), ...this.waiting]);
        return;
      }
      callback();
    }
  }
}
