/**
 * Counts the items of tables and indexes, a few pages a round, for those who ask for descriptions: the service does so every six hours. What the counting reads
 * comes from replicas of this node where it has some; small tables are counted again every minute, large ones as often as costs little.
 */
import type { Millis } from '../../../platform/index.ts';
import { type ItemStore, type PagePart, startRow } from '../items/index.ts';
import { BASE_INDEX, indexRange } from '../rows/index.ts';
import { type AnyIndex, type Count, isGlobal, type TableCounts, type TableDescriptor } from '../tables/index.ts';

const PAGE_BYTES = 1024 * 1024;
/** Of one table in one round. */
const PAGES_A_ROUND = 4;
/** Between the end of one count and the beginning of the next. */
const LEAST_PAUSE_MS: Millis = 60 * 1000;
const LONGEST_PAUSE_MS: Millis = 6 * 60 * 60 * 1000;
/** What counting may read of one table, on the average. */
const BYTES_PER_MS = 50;

/** A count of one table that is under way. */
export class TableCount {
  private readonly counts = new Map<AnyIndex | undefined, { items: number; bytes: number }>();
  /** What is still to be counted: the table itself first. */
  private readonly left: (AnyIndex | undefined)[];
  private from: Buffer | undefined;
  private readonly table: TableDescriptor;

  /** @param table its indexes that are filled are counted too */
  constructor(table: TableDescriptor) {
    this.table = table;
    const filled = table.globalIndexes.filter(({ state }) => state === 'ACTIVE' || state === 'UPDATING');
    this.left = [undefined, ...table.localIndexes, ...filled];
  }

  /** Counts on, for some pages. @returns true at the end @throws StaleTableError when the table is another by now */
  async goOn(store: ItemStore, deadlineMs: Millis, signal: AbortSignal): Promise<boolean> {
    for (let pages = 0; pages < PAGES_A_ROUND && this.left.length > 0; pages++) {
      const index = this.left[0];
      const range = this.rangeOf(index);
      const part = await store.part(
        {
          ...{ table: this.table, index, range: { start: this.from ?? range.start, end: range.end } },
          ...{ limit: Number.POSITIVE_INFINITY, maxBytes: PAGE_BYTES, isReverse: false, isCounted: true },
          ...{ filter: undefined, projection: undefined, isFetched: false, readKind: 'eventual', fence: undefined },
        },
        false,
        deadlineMs,
        signal,
      );
      this.take(index, part);
    }
    return this.left.length === 0;
  }

  private rangeOf(index: AnyIndex | undefined): ReturnType<typeof indexRange> {
    return indexRange(this.table.id, index !== undefined && isGlobal(index) ? index.number : BASE_INDEX);
  }

  private take(index: AnyIndex | undefined, { scanned, bytes, last, next }: PagePart): void {
    const count = this.counts.get(index) ?? { items: 0, bytes: 0 };
    this.counts.set(index, { items: count.items + scanned, bytes: count.bytes + bytes });
    this.from = last === undefined ? next : Buffer.concat([startRow(this.table, index, last), Buffer.of(0)]);
    if (this.from === undefined) this.left.shift();
  }

  /** At the end. */
  result(): TableCounts {
    const indexes = new Map<string, Count>();
    for (const [index, count] of this.counts) if (index !== undefined) indexes.set(index.name, count);
    return { ...this.counts.get(undefined)!, indexes };
  }

  /** How long to wait before the table is counted again. */
  get pauseMs(): Millis {
    const read = [...this.counts.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    return Math.min(LONGEST_PAUSE_MS, Math.max(LEAST_PAUSE_MS, read / BYTES_PER_MS));
  }
}
