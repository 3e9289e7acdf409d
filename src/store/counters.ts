/**
 * Exact numbers of live keys by class. Puts and deletes move a counter as they are applied. A range delete that covers all
 * keys a class can have sets its counter to 0 at once; one that covers a part has its keys counted in the background, by a
 * read at its own timestamp that looks below it. Until then the counter is too high, and the range delete's row says so,
 * so that a restart goes on counting.
 */
import type { RangeTombstone, RangeTombstones } from './range-tombstones.ts';
import { RangeTombstones as Tombstones } from './range-tombstones.ts';
import { type ReadView, scanPage } from './reads.ts';
import type { GroupStoreOptions } from './types.ts';

/** First byte of a range tombstone's row. Disk values: never renumber. */
export const RANGE_COUNTED = Buffer.from([0]);
export const RANGE_COUNT_PENDING = Buffer.from([1]);

/** Rows counted before the event loop gets its turn. */
const COUNT_PAGE_ROWS = 1000;

/** What counting needs of the store. */
export interface CounterSource {
  view(): ReadView;
  ranges(): RangeTombstones;
  markCounted(range: RangeTombstone): void;
  readonly pageBytes: number;
}

/** The counters of one store. */
export class KeyCounters {
  private readonly classOf: GroupStoreOptions['counterClassOf'];
  private readonly rangeOf: GroupStoreOptions['counterRangeOf'];
  private readonly source: CounterSource;
  private counts: Map<number, number>;
  /** Range deletes whose keys are still to be counted, oldest first. */
  private uncounted: RangeTombstone[];
  private counting: Promise<void> | undefined;

  constructor(
    options: GroupStoreOptions,
    counts: ReadonlyMap<number, number>,
    uncounted: readonly RangeTombstone[],
    source: CounterSource,
  ) {
    this.classOf = options.counterClassOf;
    this.rangeOf = options.counterRangeOf;
    this.counts = new Map(counts);
    this.uncounted = [...uncounted];
    this.source = source;
  }

  /** Takes over the state of another store, after a copy was installed. */
  reset(counts: ReadonlyMap<number, number>, uncounted: readonly RangeTombstone[]): void {
    this.counts = new Map(counts);
    this.uncounted = [...uncounted];
    this.start();
  }

  count(counterClass: number): number {
    return this.counts.get(counterClass) ?? 0;
  }

  snapshot(): ReadonlyMap<number, number> {
    return new Map(this.counts);
  }

  add(key: Buffer, change: number): void {
    const counterClass = this.classOf?.(key);
    if (counterClass === undefined || counterClass < 0) return;
    this.counts.set(counterClass, this.count(counterClass) + change);
  }

  private covers(range: RangeTombstone, counterClass: number): boolean {
    const keys = this.rangeOf?.(counterClass);
    return (
      keys !== undefined && Buffer.compare(range.start, keys.start) <= 0 && Buffer.compare(range.end, keys.end) >= 0
    );
  }

  private touches(range: RangeTombstone, counterClass: number): boolean {
    const keys = this.rangeOf?.(counterClass);
    return (
      keys === undefined || (Buffer.compare(range.start, keys.end) < 0 && Buffer.compare(range.end, keys.start) > 0)
    );
  }

  /** Books what can be booked at once. @returns false when keys have to be counted; call `start` once the delete is visible */
  resetCovered(range: RangeTombstone): boolean {
    let isCounted = true;
    for (const [counterClass, count] of this.counts) {
      if (this.covers(range, counterClass)) this.counts.set(counterClass, 0);
      else if (count > 0 && this.touches(range, counterClass)) isCounted = false;
    }
    if (!isCounted) {
      // Same timestamp and start: the longer one replaces it.
      this.uncounted = this.uncounted.filter((other) => other.ts !== range.ts || !other.start.equals(range.start));
      this.uncounted.push(range);
    }
    return isCounted;
  }

  /** Counts in the background what waits for it. A failed read leaves it waiting; it is tried again by `settle`. */
  start(): void {
    if (this.uncounted.length > 0) this.settle().catch(() => {});
  }

  /** Settles when what waits now has been counted; what comes later does not keep it waiting. */
  async settle(): Promise<void> {
    const waiting = [...this.uncounted];
    while (waiting.some((range) => this.uncounted.includes(range))) {
      this.counting ??= this.countFirst().finally(() => {
        this.counting = undefined;
      });
      await this.counting;
    }
  }

  private async countFirst(): Promise<void> {
    const range = this.uncounted[0]!;
    const before = this.rangesBefore(range);
    const found = new Map<number, number>();
    let start: Buffer | undefined = range.start;
    while (start !== undefined) {
      const page = await scanPage(
        { ...this.source.view(), ranges: before },
        { start, end: range.end, readTs: range.ts, limit: COUNT_PAGE_ROWS, keysOnly: true },
        { withExpired: true, pageBytes: this.source.pageBytes },
      );
      for (const { key } of page.rows) {
        const counterClass = this.classOf?.(key);
        if (counterClass === undefined || counterClass < 0) continue;
        found.set(counterClass, (found.get(counterClass) ?? 0) + 1);
      }
      start = page.next;
    }
    // Synchronous from here: the counters and the mark go into the same flush.
    if (this.uncounted[0] !== range) return;
    this.uncounted.shift();
    const since = this.source.ranges().all.filter((other) => other.ts >= range.ts);
    for (const [counterClass, count] of found) {
      // A later delete of the whole class has set its counter already.
      if (since.some((other) => this.covers(other, counterClass))) continue;
      this.counts.set(counterClass, this.count(counterClass) - count);
    }
    this.source.markCounted(range);
  }

  /** Range deletes that had taken their keys already when `range` was counted: older ones, and of equal age those before it. */
  private rangesBefore(range: RangeTombstone): RangeTombstones {
    let before: RangeTombstones = Tombstones.empty;
    for (const other of this.source.ranges().all) {
      const isEarlier = other.ts < range.ts || (other.ts === range.ts && Buffer.compare(other.start, range.start) < 0);
      if (isEarlier) before = before.with(other);
    }
    return before;
  }
}
