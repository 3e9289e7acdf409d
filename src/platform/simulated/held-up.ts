/**
 * What a machine that stood still finds when it goes on, in the order in which Node.js takes it up: the turn in which it stood still is ended, then timers
 * that have run out fire, then one connection after the other is read, first that which something came from first. What came of one keeps its order.
 */
import type { EventOwner, EventQueue, SimEvent } from './event-heap.ts';

const TURN = 0;
const TIMERS = 1;
/** Events of one queue in a run, at most. */
const QUEUE_EVENTS = 2 ** 32;

/** Queues of one pause. */
interface Pause {
  readonly untilMs: number;
  readonly places: Map<EventQueue | undefined, number>;
}

/** See the top of the file. */
export class HeldUp {
  private readonly pauses = new WeakMap<EventOwner, Pause>();
  private count = 0;

  /** Decides among events of the moment at which the machine goes on; below whatever is drawn. To be asked in the order of their times. */
  place({ queue }: SimEvent, owner: EventOwner): number {
    const at = queue === 'turn' ? TURN : queue === 'timers' ? TIMERS : this.placeOf(queue, owner);
    return at * QUEUE_EVENTS + this.count++ - Number.MAX_SAFE_INTEGER;
  }

  private placeOf(queue: EventQueue | undefined, owner: EventOwner): number {
    let pause = this.pauses.get(owner);
    if (pause?.untilMs !== owner.pausedUntilMs) {
      pause = { untilMs: owner.pausedUntilMs, places: new Map() };
      this.pauses.set(owner, pause);
    }
    const at = pause.places.get(queue) ?? TIMERS + 1 + pause.places.size;
    pause.places.set(queue, at);
    return at;
  }
}
