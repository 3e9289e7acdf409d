/** Pending events of a simulation, earliest first: a binary heap in an array. */
import type { Millis } from '../types.ts';

/** A machine that events belong to. Events of a life that is over are dropped, those of a paused machine wait. */
export interface EventOwner {
  readonly name: string;
  /** Counts reboots. */
  readonly life: number;
  /** Virtual time until which the machine stands still. */
  readonly pausedUntilMs: Millis;
}

/** Where events of a machine wait for it: with its turn, its timers, those of one connection, or with all others. */
export type EventQueue = 'turn' | 'timers' | object;

export interface SimEvent {
  atMs: Millis;
  /** Decides among events of the same time: drawn, or below all drawn ones for events that a pause held up. */
  draw: number;
  readonly sequence: number;
  readonly label: string;
  readonly owner: EventOwner | undefined;
  readonly ownerLife: number;
  /** Where it waits while its owner stands still. */
  readonly queue: EventQueue | undefined;
  /** Undefined once cancelled. */
  callback: (() => void) | undefined;
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  if (a.atMs !== b.atMs) return a.atMs < b.atMs;
  if (a.draw !== b.draw) return a.draw < b.draw;
  return a.sequence < b.sequence;
}

export class EventHeap {
  private readonly events: SimEvent[] = [];

  get size(): number {
    return this.events.length;
  }

  peek(): SimEvent | undefined {
    return this.events[0];
  }

  push(event: SimEvent): void {
    const { events } = this;
    let at = events.length;
    events.push(event);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!isBefore(event, events[parent]!)) break;
      events[at] = events[parent]!;
      at = parent;
    }
    events[at] = event;
  }

  pop(): SimEvent | undefined {
    const { events } = this;
    const top = events[0];
    const last = events.pop();
    if (top === undefined || last === undefined || events.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= events.length) break;
      if (child + 1 < events.length && isBefore(events[child + 1]!, events[child]!)) child += 1;
      if (!isBefore(events[child]!, last)) break;
      events[at] = events[child]!;
      at = child;
    }
    events[at] = last;
    return top;
  }
}
