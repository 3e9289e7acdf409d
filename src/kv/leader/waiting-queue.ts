/**
 * Operations that wait for one key in one line, the oldest first. What leaves is only marked, because most leave at the front; marks are swept out
 * when they are as many as the rest.
 */
import type { Operation } from '../contract/index.ts';

/** A place in one queue. */
export interface Place {
  /** Name of the key that is waited for. */
  readonly key: string;
  readonly operation: Operation<unknown>;
  /** Since when it waits, monotonic, and its number among all that ever waited here. */
  readonly sinceMs: number;
  readonly ordinal: number;
  isLeft: boolean;
}

/** Few are swept at the price of many. */
const MIN_SWEPT = 32;

const isBefore = (one: Place, other: Place): boolean =>
  one.sinceMs < other.sinceMs || (one.sinceMs === other.sinceMs && one.ordinal < other.ordinal);

/** See the top of the file. */
export class WaitingQueue {
  private places: Place[] = [];
  private leftCount = 0;

  get size(): number {
    return this.places.length - this.leftCount;
  }

  /** Adds one where its age puts it: mostly at the end. */
  add(place: Place): void {
    const { places } = this;
    let low = 0;
    let high = places.length;
    if (high > 0 && isBefore(places[high - 1]!, place)) low = high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBefore(places[middle]!, place)) low = middle + 1;
      else high = middle;
    }
    if (low === places.length) places.push(place);
    else places.splice(low, 0, place);
  }

  leave(place: Place): void {
    if (place.isLeft) return;
    place.isLeft = true;
    this.leftCount++;
    if (this.leftCount < MIN_SWEPT || this.leftCount * 2 < this.places.length) return;
    this.places = this.places.filter(({ isLeft }) => !isLeft);
    this.leftCount = 0;
  }

  /** Those who wait now, the oldest first; who leaves meanwhile is left out. */
  *waiting(): Iterable<Place> {
    for (const place of this.places) if (!place.isLeft) yield place;
  }
}
