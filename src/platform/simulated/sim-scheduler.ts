/** Timers and ends of turns of a simulated machine. */
import type { SeededRandom } from '../random.ts';
import type { Cancel, Scheduler } from '../scheduler.ts';
import type { Millis } from '../types.ts';
import type { EventOwner } from './event-heap.ts';
import type { SimClock } from './sim-clock.ts';
import type { Simulation } from './simulation.ts';

/** A timer fires up to this much late. */
const MAX_LATENESS_MS = 1;
/** A turn of the event loop lasts up to this long: events within it are gathered as in a real process. */
const MAX_TURN_MS = 0.05;

export class SimScheduler implements Scheduler {
  private readonly simulation: Simulation;
  private readonly clock: SimClock;
  private readonly owner: EventOwner;
  private readonly random: SeededRandom;
  private turn: (() => void)[] = [];
  private turnLife = -1;

  constructor(simulation: Simulation, clock: SimClock, owner: EventOwner) {
    this.simulation = simulation;
    this.clock = clock;
    this.owner = owner;
    this.random = simulation.random.fork(2);
  }

  after(delayMs: Millis, callback: () => void): Cancel {
    return this.fireAt(this.clock.monotonicMs() + Math.max(0, delayMs), callback);
  }

  endOfTurn(callback: () => void): void {
    if (this.turnLife !== this.owner.life) {
      // Callbacks of a life that is over are gone with it.
      this.turnLife = this.owner.life;
      this.turn = [];
    }
    this.turn.push(callback);
    if (this.turn.length === 1)
      this.simulation.schedule(
        this.random.next() * MAX_TURN_MS,
        'end of turn',
        () => this.endTurn(),
        this.owner,
        'turn',
      );
  }

  nextTurn(callback: () => void): void {
    this.simulation.schedule(this.random.next() * MAX_TURN_MS, 'next turn', callback, this.owner, 'turn');
  }

  /** Callbacks that are added meanwhile belong to the same turn. */
  private endTurn(): void {
    try {
      for (let next = 0; next < this.turn.length; next++) this.turn[next]!();
    } finally {
      this.turn = [];
    }
  }

  private fireAt(deadlineMs: Millis, callback: () => void): Cancel {
    let cancelled = false;
    let cancelEvent: Cancel = () => {};
    const arm = (): void => {
      const leftMs = Math.max(0, this.clock.trueMs(deadlineMs - this.clock.monotonicMs()));
      cancelEvent = this.simulation.schedule(
        leftMs + this.random.next() * MAX_LATENESS_MS,
        'timer',
        () => {
          if (cancelled) return;
          // The clock may have been slowed down since.
          if (this.clock.monotonicMs() < deadlineMs) arm();
          else callback();
        },
        this.owner,
        'timers',
      );
    };
    arm();
    return () => {
      cancelled = true;
      cancelEvent();
    };
  }
}
