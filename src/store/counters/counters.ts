/**
 * Exact numbers of live keys by class. Puts and deletes move a counter as they are applied. A range delete that covers all
 * keys a class can have sets its counter to 0 at once; one that covers a part has its keys counted in the background, by a
 * read at its own timestamp that looks below it, or by what it has left, where that is less. Until then the counter is too
 * high, and the range delete's row says so, so that a restart goes on counting. A range that is dropped has its live keys
 * counted in the same way. Deletes and drops are counted in the order in which they were applied: each looks at what those
 * before it have left.
 */
import type { HlcTimestamp } from '../../platform/index.ts';
import type { GroupStoreOptions, StoreScanPage } from '../contract/index.ts';
import type { RangeDrop } from '../ranges/index.ts';
import { type ReadView, scanPage } from '../reads/index.ts';
import { type RangeTombstone, type RangeTombstones, RangeTombstones as Tombstones } from '../rows/index.ts';

/** First byte of a range tombstone's row. Disk values: never renumber. */
export const RANGE_COUNTED = Buffer.from([0]);
export const RANGE_COUNT_PENDING = Buffer.from([1]);

/** Rows counted before the event loop gets its turn. */
const COUNT_PAGE_ROWS = 1000;
/** Pages in which what a range delete has left must be counted; where there is more of it, what it took is counted. */
const MOST_PAGES_LEFT = 16;

/** What takes keys away without a look at each, and has not been counted. */
export type Uncounted =
  | { readonly kind: 'delete'; readonly range: RangeTombstone }
  | { readonly kind: 'drop'; readonly range: RangeDrop };

/** How many keys there were when a range delete was applied. */
interface CountsBefore {
  readonly of: Uncounted;
  /** Of the classes that it may have taken some of. */
  readonly counts: ReadonlyMap<number, number>;
}

/** What counting needs of the store. */
export interface CounterSource {
  /** Runs a scan of what there is now. */
  scanning<Result>(readTs: HlcTimestamp, scan: (view: ReadView) => Promise<Result>): Promise<Result>;
  ranges(): RangeTombstones;
  drops(): readonly RangeDrop[];
  /** Called in the same turn in which the counters change: both are for the same flush. */
  markCounted(counted: Uncounted): void;
  readonly pageBytes: number;
}

/** The counters of one store. */
export class KeyCounters {
  private readonly classOf: GroupStoreOptions['counterClassOf'];
  private readonly rangeOf: GroupStoreOptions['counterRangeOf'];
  private readonly source: CounterSource;
  private counts: Map<number, number>;
  /** Whose keys are still to be counted, in the order of application. */
  private uncounted: Uncounted[];
  private counting: Promise<void> | undefined;
  /** Known of a delete that nothing else waited beside when it was applied, as long as reads at its moment show what there was then. */
  private before: CountsBefore | undefined;

  constructor(
    options: GroupStoreOptions,
    counts: ReadonlyMap<number, number>,
    uncounted: readonly Uncounted[],
    source: CounterSource,
  ) {
    this.classOf = options.counterClassOf;
    this.rangeOf = options.counterRangeOf;
    this.counts = new Map(counts);
    this.uncounted = [...uncounted];
    this.source = source;
  }

  /** Takes over the state of another store, after a copy was installed. */
  reset(counts: ReadonlyMap<number, number>, uncounted: readonly Uncounted[]): void {
    this.counts = new Map(counts);
    this.uncounted = [...uncounted];
    this.before = undefined;
    this.start();
  }

  /** True while keys wait to be counted: by reads of the past that the threshold may have passed. */
  get isCounting(): boolean {
    return this.uncounted.length > 0;
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
    const before = new Map<number, number>();
    for (const [counterClass, count] of this.counts) {
      if (this.covers(range, counterClass)) this.counts.set(counterClass, 0);
      else if (count > 0 && this.touches(range, counterClass)) before.set(counterClass, count);
    }
    if (before.size === 0) return true;
    const isExact = !this.isCounting;
    // Same timestamp and start: the longer one replaces it.
    this.uncounted = this.uncounted.filter(
      ({ kind, range: other }) => kind === 'drop' || other.ts !== range.ts || !other.start.equals(range.start),
    );
    const one: Uncounted = { kind: 'delete', range };
    this.uncounted.push(one);
    if (isExact) this.before = { of: one, counts: before };
    return false;
  }

  /** A version was applied that is older than what was there: reads of the past see it. */
  cameFromPast(): void {
    this.before = undefined;
  }

  /** Has the keys of a range that is dropped taken off; call `start` once the drop is visible. */
  drop(range: RangeDrop): void {
    this.uncounted.push({ kind: 'drop', range });
  }

  /** Counts in the background what waits for it. A failed read leaves it waiting; it is tried again by `settle`. */
  start(): void {
    if (this.uncounted.length > 0) this.settle().catch(() => {});
  }

  /** Settles when what waits now has been counted; what comes later does not keep it waiting. */
  async settle(): Promise<void> {
    const waiting = [...this.uncounted];
    while (waiting.some((one) => this.uncounted.includes(one))) {
      this.counting ??= this.countFirst().finally(() => {
        this.counting = undefined;
      });
      await this.counting;
    }
  }

  private async countFirst(): Promise<void> {
    const first = this.uncounted[0]!;
    const { kind, range } = first;
    const before = kind === 'drop' ? this.deletesUpTo(range.ts) : this.deletesBefore(range);
    const drops = this.source.drops();
    const dropped =
      kind === 'drop' ? drops.slice(0, Math.max(0, drops.indexOf(range))) : drops.filter(({ ts }) => ts < range.ts);
    const state = { ranges: before, dropped };
    const found =
      (await this.countByRest(first, state)) ?? (await this.countKeys(range.start, range.end, range.ts, state));
    // Synchronous from here: the counters and the mark go into the same flush.
    if (this.uncounted[0] !== first) return;
    this.uncounted.shift();
    this.before = undefined;
    const isSince = (other: RangeTombstone): boolean =>
      other.ts > range.ts || (kind === 'delete' && other.ts === range.ts);
    const since = this.source.ranges().all.filter(isSince);
    for (const [counterClass, count] of found) {
      // A later delete of the whole class has set its counter already.
      if (since.some((other) => this.covers(other, counterClass))) continue;
      this.counts.set(counterClass, this.count(counterClass) - count);
    }
    this.source.markCounted(first);
  }

  /**
   * What a range delete took, by what it has left of each class: one of all that a group has leaves nothing, however much it took.
   * @returns undefined where that is not known, or too much is left
   */
  private async countByRest(one: Uncounted, state: Partial<ReadView>): Promise<Map<number, number> | undefined> {
    const { before } = this;
    const { range } = one;
    if (before?.of !== one || range.end === undefined) return undefined;
    // Deletes of one moment have taken keys together.
    if (this.source.ranges().all.some((other) => other.ts === range.ts && !other.start.equals(range.start)))
      return undefined;
    const found = new Map<number, number>();
    let pages = MOST_PAGES_LEFT;
    for (const [counterClass, count] of before.counts) {
      const keys = this.rangeOf?.(counterClass);
      if (keys === undefined) return undefined;
      let left = 0;
      for (const [start, end] of [
        [keys.start, range.start],
        [range.end, keys.end],
      ] as const) {
        for await (const page of this.pages(start, end, range.ts, state)) {
          if (pages-- === 0) return undefined;
          left += this.classesIn(page).get(counterClass) ?? 0;
        }
      }
      found.set(counterClass, count - left);
    }
    return this.before === before ? found : undefined;
  }

  /**
   * Live keys of a range by class, expired ones included.
   * @param end undefined is the end of the key space
   * @param state what differs from the store's present state
   */
  async countKeys(
    from: Buffer,
    end: Buffer | undefined,
    readTs: HlcTimestamp,
    state: Partial<ReadView>,
  ): Promise<ReadonlyMap<number, number>> {
    const found = new Map<number, number>();
    for await (const page of this.pages(from, end, readTs, state)) {
      for (const [counterClass, count] of this.classesIn(page)) {
        found.set(counterClass, (found.get(counterClass) ?? 0) + count);
      }
    }
    return found;
  }

  private classesIn({ rows }: StoreScanPage): Map<number, number> {
    const found = new Map<number, number>();
    for (const { key } of rows) {
      const counterClass = this.classOf?.(key);
      if (counterClass === undefined || counterClass < 0) continue;
      found.set(counterClass, (found.get(counterClass) ?? 0) + 1);
    }
    return found;
  }

  /** Pages of what there is of a range at a timestamp. */
  private async *pages(
    from: Buffer,
    end: Buffer | undefined,
    readTs: HlcTimestamp,
    state: Partial<ReadView>,
  ): AsyncGenerator<StoreScanPage> {
    let start: Buffer | undefined = from;
    while (start !== undefined && (end === undefined || Buffer.compare(start, end) < 0)) {
      const request = { start, end, readTs, limit: COUNT_PAGE_ROWS, keysOnly: true };
      const options = { withExpired: true, pageBytes: this.source.pageBytes, deadRunRows: Number.POSITIVE_INFINITY };
      const page: StoreScanPage = await this.source.scanning(readTs, (view) =>
        scanPage({ ...view, ...state }, request, options),
      );
      yield page;
      start = page.next;
    }
  }

  private deletesUpTo(ts: HlcTimestamp): RangeTombstones {
    let deletes: RangeTombstones = Tombstones.empty;
    for (const range of this.source.ranges().all) if (range.ts <= ts) deletes = deletes.with(range);
    return deletes;
  }

  /** Range deletes that had taken their keys already when `range` was counted: older ones, and of equal age those before it. */
  private deletesBefore(range: RangeTombstone): RangeTombstones {
    let before: RangeTombstones = Tombstones.empty;
    for (const other of this.source.ranges().all) {
      const isEarlier = other.ts < range.ts || (other.ts === range.ts && Buffer.compare(other.start, range.start) < 0);
      if (isEarlier) before = before.with(other);
    }
    return before;
  }
}
