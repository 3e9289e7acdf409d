/**
 * Whether a batch that could leave is kept open for more commands. While one is on its way the next one gathers, so clients that wait
 * for their replies fall into two crowds, and everybody waits for two batches. Those who were answered by the last one are just sending
 * their next command: a batch waits for them, a few turns where that is enough, and where batches take long up to half of what one takes, since the
 * wait saves a whole one. Where they do not come in time, because processing takes longer than what a batch waits for, nobody waits. One wait in
 * vain for a few does not say so: they may have sent a command that nobody sends again, as the cluster's own work does.
 */
import { TurnGathering } from './turn-gathering.ts';
import type { Millis } from './types.ts';

/** Share of the time that batches take. */
const PATIENCE = 1 / 2;
/** Below it a timer, which is no finer than a millisecond, would cost more than the wait saves. */
const LEAST_PATIENCE_MS: Millis = 0.5;
/** A wait in vain that ends with so much of the crowd was for a few. */
const MOST_OF_CROWD = 3 / 4;
/** Batches that leave at once after one waited in vain; twice as many after each further one. */
const FIRST_REST = 16;
const LONGEST_REST = 4096;
/** Weight of the last batch in what batches take. */
const LAST_SHARE = 1 / 8;

/** See the top of the file. */
export class CrowdGathering {
  private readonly maxTurns: number;
  private readonly nowMs: () => Millis;
  private readonly turns: TurnGathering;
  /** Commands of the last batch, and those that came while it was on its way: about what will come again. */
  private crowd = 0;
  private batchMs: Millis = 0;
  private waitsSinceMs: Millis | undefined;
  /** The batch that has waited leaves without all that it waited for. */
  private isInVain = false;
  /** The last batch that waited did so. */
  private wasInVain = false;
  /** Batches that still leave at once. */
  private resting = 0;
  private nextRest = FIRST_REST;

  /** @param maxTurns how many turns a batch waits at most, 0: none waits for anything. @param nowMs monotonic */
  constructor(maxTurns: number, nowMs: () => Millis) {
    this.maxTurns = maxTurns;
    this.nowMs = nowMs;
    this.turns = new TurnGathering(maxTurns);
  }

  /** What a batch takes lately. */
  get usualMs(): Millis {
    return this.batchMs;
  }

  /** True when a batch of so many commands should wait for one turn more. */
  waitsFor(commands: number): boolean {
    return this.turns.waitsFor(commands);
  }

  /** How long a batch of so many commands, which waits for no further turn, should wait for others; 0: it leaves. */
  patienceMs(commands: number): Millis {
    if (this.maxTurns === 0 || commands >= this.crowd || this.resting > 0) return 0;
    const patienceMs = this.batchMs * PATIENCE;
    if (patienceMs < LEAST_PATIENCE_MS) return 0;
    this.waitsSinceMs ??= this.nowMs();
    const leftMs = this.waitsSinceMs + patienceMs - this.nowMs();
    if (leftMs > 0) return leftMs;
    if (this.wasInVain || commands < this.crowd * MOST_OF_CROWD) {
      this.resting = this.nextRest;
      this.nextRest = Math.min(2 * this.nextRest, LONGEST_REST);
    }
    this.isInVain = true;
    return 0;
  }

  /** A batch left. @returns when, for `settled` */
  begin(): Millis {
    if (this.resting > 0) this.resting--;
    else if (this.waitsSinceMs !== undefined && !this.isInVain) this.nextRest = FIRST_REST;
    if (this.waitsSinceMs !== undefined) this.wasInVain = this.isInVain;
    this.isInVain = false;
    this.waitsSinceMs = undefined;
    this.turns.begin();
    return this.nowMs();
  }

  /** What became of a batch is known. @param waiting commands that came since it left, which are none of one client alone */
  settled(leftAtMs: Millis, commands: number, waiting: number): void {
    const tookMs = this.nowMs() - leftAtMs;
    this.batchMs += (tookMs - this.batchMs) * (this.batchMs === 0 ? 1 : LAST_SHARE);
    this.crowd = waiting > 0 ? commands + waiting : Math.min(this.crowd, commands);
  }
}
