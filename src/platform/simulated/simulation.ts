/**
 * Virtual time. Everything that takes time in a simulated cluster (timers, messages, disk operations) is an event in one
 * queue; the simulation runs them one by one, jumps the clock from one to the next, and lets all promises that an event
 * settled run to their end before the next event. All chance comes from one seed, so the same seed gives the same run, which
 * `traceHash` proves.
 *
 * What runs inside must take time, chance and I/O from the simulated seams alone; a real timer, socket or file would bring
 * an order from outside.
 */
import { assert } from '../assert.ts';
import { SeededRandom } from '../random.ts';
import type { Cancel } from '../scheduler.ts';
import type { Millis } from '../types.ts';
import { EventHeap, type EventOwner, type EventQueue, type SimEvent } from './event-heap.ts';
import type { EventWatch } from './event-watch.ts';
import { HeldUp } from './held-up.ts';

export interface SimulationOptions {
  readonly seed: number;
  /** Gets one line an event, for reading a failing run. */
  readonly traceTo?: (line: string) => void;
  /** Notes which events take the processor for long. */
  readonly watch?: EventWatch;
}

/** `runUntil` gave up. */
export class SimulationTimeoutError extends Error {
  override readonly name = 'SimulationTimeoutError';
}

/**
 * Events are run from immediates, between which Node empties the microtask queue; several are queued at once because a
 * turn of the event loop costs more than an event.
 */
const EVENTS_PER_TURN = 64;

export class Simulation {
  readonly seed: number;
  /** The source of all chance. Components fork their own stream from it at the start. */
  readonly random: SeededRandom;
  private readonly order: SeededRandom;
  private readonly traceTo: ((line: string) => void) | undefined;
  private readonly watch: EventWatch | undefined;
  private readonly heap = new EventHeap();
  private currentMs: Millis = 0;
  private sequence = 0;
  private eventCount = 0;
  private readonly heldUp = new HeldUp();
  private running = false;
  private hashLow = 0x811c9dc5;
  private hashHigh = 0x9e3779b9;

  constructor(options: SimulationOptions) {
    this.seed = options.seed;
    this.random = new SeededRandom(options.seed);
    this.order = this.random.fork(0);
    this.traceTo = options.traceTo;
    this.watch = options.watch;
  }

  /** True time since the start; the clocks of the machines differ from it. */
  nowMs(): Millis {
    return this.currentMs;
  }

  /** Whether anybody reads what events are called: labels that have to be put together are worth it only then. */
  get isTraced(): boolean {
    return this.traceTo !== undefined;
  }

  /** Events run so far. */
  get events(): number {
    return this.eventCount;
  }

  /** Equal for two runs that did the same things in the same order at the same times. */
  traceHash(): string {
    return (this.hashHigh >>> 0).toString(16).padStart(8, '0') + (this.hashLow >>> 0).toString(16).padStart(8, '0');
  }

  /** Makes a number part of the trace: checksums of contents, drawn choices. */
  note(value: number): void {
    this.hashLow = Math.imul(this.hashLow ^ value, 0x01000193);
    this.hashHigh = Math.imul(((this.hashHigh << 5) | (this.hashHigh >>> 27)) ^ this.hashLow, 0x85ebca6b);
  }

  /**
   * Runs `callback` after `delayMs` of true time; dropped when `owner` has crashed by then, late when it is paused.
   * @param label what the event is, for the trace
   * @param queue what it waits with while the owner is paused
   */
  schedule(delayMs: Millis, label: string, callback: () => void, owner?: EventOwner, queue?: EventQueue): Cancel {
    assert(delayMs >= 0, 'an event in the past');
    this.sequence += 1;
    const event: SimEvent = {
      atMs: this.currentMs + delayMs,
      draw: this.order.next(),
      sequence: this.sequence,
      label,
      owner,
      ownerLife: owner?.life ?? 0,
      queue,
      callback,
    };
    this.heap.push(event);
    return () => {
      event.callback = undefined;
    };
  }

  /** A promise that settles after `delayMs` of true time, unless `owner` crashes before. */
  delay(delayMs: Millis, label: string, owner?: EventOwner): Promise<void> {
    return new Promise((resolve) => {
      this.schedule(delayMs, label, resolve, owner);
    });
  }

  /**
   * Lets `ms` of virtual time pass.
   * @returns rejects with the first error that an event callback throws
   */
  async runFor(ms: Millis): Promise<void> {
    await this.run(() => false, this.currentMs + ms);
  }

  /**
   * Lets `ms` of virtual time pass, or less when `isOver` says so, which is asked between events.
   * @returns true when it said so
   */
  passUntil(isOver: () => boolean, ms: Millis): Promise<boolean> {
    return this.run(isOver, this.currentMs + ms);
  }

  /**
   * Runs until `condition` holds, which is looked at between events.
   * @throws SimulationTimeoutError after `withinMs` of virtual time
   */
  async runUntil(condition: () => boolean, withinMs: Millis = 60_000): Promise<void> {
    const reached = await this.run(condition, this.currentMs + withinMs);
    if (!reached)
      throw new SimulationTimeoutError(
        `not reached within ${withinMs} ms of virtual time (seed ${this.seed}): ${condition.toString()}`,
      );
  }

  /** Runs until a promise settles and gives its outcome. @throws SimulationTimeoutError */
  async runToEnd<T>(promise: Promise<T>, withinMs: Millis = 60_000): Promise<T> {
    let settled = false;
    const finished = (): void => {
      settled = true;
    };
    promise.then(finished, finished);
    await this.runUntil(() => settled, withinMs);
    return await promise;
  }

  private run(condition: () => boolean, deadlineMs: Millis): Promise<boolean> {
    assert(!this.running, 'the simulation is already running');
    this.running = true;
    return new Promise<boolean>((resolve, reject) => {
      let left = EVENTS_PER_TURN;
      // Steps that are already queued when a run ends must not act in the next one.
      let isOver = false;
      const finish = (): void => {
        isOver = true;
        this.running = false;
      };
      const step = (): void => {
        if (isOver) return;
        this.watch?.ended();
        try {
          if (condition()) {
            finish();
            resolve(true);
          } else if (!this.runNext(deadlineMs)) {
            finish();
            resolve(false);
          }
        } catch (error) {
          finish();
          reject(error);
        }
        left -= 1;
        if (left === 0 && !isOver) queueTurn();
      };
      const queueTurn = (): void => {
        left = EVENTS_PER_TURN;
        for (let i = 0; i < EVENTS_PER_TURN; i++) setImmediate(step);
      };
      queueTurn();
    });
  }

  /** @returns false when there is no event up to the deadline, which is then the time */
  private runNext(deadlineMs: Millis): boolean {
    for (;;) {
      const event = this.heap.peek();
      if (event === undefined || event.atMs > deadlineMs) {
        this.currentMs = deadlineMs;
        return false;
      }
      this.heap.pop();
      const { owner, callback } = event;
      if (callback === undefined || (owner !== undefined && owner.life !== event.ownerLife)) continue;
      if (owner !== undefined && owner.pausedUntilMs > event.atMs) {
        event.atMs = owner.pausedUntilMs;
        event.draw = this.heldUp.place(event, owner);
        this.heap.push(event);
        continue;
      }
      this.currentMs = event.atMs;
      this.eventCount += 1;
      this.note(event.sequence);
      this.note(event.atMs * 4096);
      this.traceTo?.(`${event.atMs.toFixed(4)} ${owner?.name ?? '-'} ${event.label}`);
      this.watch?.began(owner?.name ?? '-', event.label, event.atMs);
      callback();
      return true;
    }
  }
}
