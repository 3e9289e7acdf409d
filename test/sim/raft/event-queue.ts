/** Virtual time: a binary heap of callbacks ordered by (time, insertion). */

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class EventQueue {
  nowMs = 0;
  private readonly heap: Event[] = [];
  private inserted = 0;

  after(delayMs: number, run: () => void): void {
    const event = { atMs: this.nowMs + delayMs, order: this.inserted++, run };
    let slot = this.heap.length;
    this.heap.push(event);
    while (slot > 0) {
      const parent = (slot - 1) >> 1;
      if (isBefore(this.heap[parent]!, event)) break;
      this.heap[slot] = this.heap[parent]!;
      slot = parent;
    }
    this.heap[slot] = event;
  }

  /** Runs the next event if it is due by `untilMs`. @returns false when there is none */
  runNext(untilMs: number): boolean {
    const next = this.heap[0];
    if (next === undefined || next.atMs > untilMs) {
      this.nowMs = untilMs;
      return false;
    }
    const last = this.heap.pop()!;
    if (this.heap.length > 0) this.sink(last);
    this.nowMs = next.atMs;
    next.run();
    return true;
  }

  private sink(event: Event): void {
    let slot = 0;
    for (;;) {
      let child = 2 * slot + 1;
      if (child >= this.heap.length) break;
      if (child + 1 < this.heap.length && isBefore(this.heap[child + 1]!, this.heap[child]!)) child++;
      if (isBefore(event, this.heap[child]!)) break;
      this.heap[slot] = this.heap[child]!;
      slot = child;
    }
    this.heap[slot] = event;
  }
}

function isBefore(left: Event, right: Event): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order);
}
