/**
 * Goes round the tables whose rows this node leads, once a second: expired items, records of streams, segments that follow ranges, counts. Every step may be
 * done twice and by two nodes at once; what fails is done in another round. While this node leads no row of a table, nobody is asked anything.
 */
import type { Millis } from '../../../platform/index.ts';
import { type ItemStore, StaleTableError } from '../items/index.ts';
import { fenceKey, streamPrefix } from '../rows/index.ts';
import { isGoing, type Segment, type TableCatalog, type TableDescriptor, ttlAttribute } from '../tables/index.ts';
import { sweepExpired } from './expiry-sweep.ts';
import { followRanges, missingSegments } from './follow-ranges.ts';
import { leadsTables } from './led-tables.ts';
import { moveRecords, trimStreams } from './stream-upkeep.ts';
import { TableCount } from './table-counts.ts';

const ROUND_MS: Millis = 1_000;
/** How long it waits to hear of tables. A node that stops waits as long when the others are gone already. */
const LOOK_TIMEOUT_MS: Millis = 2_000;
/** How long one segment of one table may take in a round. */
const SEGMENT_TIMEOUT_MS: Millis = 5_000;
/** How often old records are looked for. */
const TRIM_MS: Millis = 60 * 60 * 1000;
/** How often segments are looked at although nothing has changed: they are joined when they are old, and streams when they are gone. */
const FOLLOW_MS: Millis = 60 * 1000;
/** Steps of one table in one round: others have their turn. */
const MAX_STEPS = 16;

/** How far a table is counted, and when it is counted next, monotonic. */
interface Counting {
  count: TableCount | undefined;
  nextMs: Millis;
}

/** One a node. */
export class TableUpkeep {
  private readonly store: ItemStore;
  private readonly catalog: TableCatalog;
  private readonly abort = new AbortController();
  private running: Promise<void> | undefined;
  /** All tables, as of `version`. */
  private tables: readonly TableDescriptor[] = [];
  private version: number | undefined;
  /** Version of the directory of ranges that segments were compared with last, and of the tables, and when, monotonic. */
  private followed: { readonly routes: number; readonly tables: number | undefined; readonly atMs: Millis } | undefined;
  private readonly counting = new Map<number, Counting>();
  /** When each segment was last trimmed, monotonic. Those that are gone go with the tables. */
  private trimmedMs = new Map<string, Millis>();

  constructor(store: ItemStore, catalog: TableCatalog) {
    this.store = store;
    this.catalog = catalog;
  }

  /** Begins to go round. */
  start(): void {
    const { scheduler } = this.store.services;
    scheduler.after(ROUND_MS, () => {
      if (this.abort.signal.aborted) return;
      this.running = this.round()
        .catch((error: unknown) => {
          if (!this.abort.signal.aborted) this.store.services.onBackgroundError(error);
        })
        .finally(() => {
          this.running = undefined;
          if (!this.abort.signal.aborted) this.start();
        });
    });
  }

  /** Settles when nothing is under way. */
  async stop(): Promise<void> {
    this.abort.abort();
    await this.running;
  }

  private async round(): Promise<void> {
    const { clock, kv, isActive, onBackgroundError } = this.store.services;
    if (!isActive() || !(await leadsTables(kv))) return;
    await this.lookAtTables(clock.monotonicMs() + LOOK_TIMEOUT_MS);
    await this.follow();
    await this.count();
    for (const table of this.tables) {
      if (table.streams.length === 0 && !hasTimes(table)) continue;
      for (const segment of table.segments) {
        if (this.abort.signal.aborted) return;
        if (!kv.servesLocally(kv.groupOf(fenceKey(table.id, segment.start)))) continue;
        // One table that cannot be worked on keeps no other one waiting.
        const deadlineMs = clock.monotonicMs() + SEGMENT_TIMEOUT_MS;
        await this.keepUp(table, segment, deadlineMs).catch(onBackgroundError);
      }
    }
  }

  private async lookAtTables(deadlineMs: Millis): Promise<void> {
    const { directory } = this.store.services;
    const version = await directory.catalogVersion(deadlineMs);
    if (version === this.version) return;
    this.tables = await directory.all(deadlineMs, this.abort.signal);
    this.version = version;
    const names = new Set(this.tables.flatMap((table) => table.segments.map((segment) => nameOf(table, segment))));
    this.trimmedMs = new Map([...this.trimmedMs].filter(([name]) => names.has(name)));
    const ids = new Set(this.tables.map(({ id }) => id));
    for (const id of this.counting.keys()) if (!ids.has(id)) this.counting.delete(id);
  }

  /** Counts the tables whose first heads this node leads, those whose turn it is. */
  private async count(): Promise<void> {
    const { clock, kv, onBackgroundError } = this.store.services;
    for (const table of this.tables) {
      if (this.abort.signal.aborted) return;
      const counting = this.counting.get(table.id) ?? { count: undefined, nextMs: clock.monotonicMs() };
      const isDue = !isGoing(table) && clock.monotonicMs() >= counting.nextMs;
      if (!isDue || !kv.servesLocally(kv.groupOf(fenceKey(table.id, 0)))) continue;
      this.counting.set(table.id, counting);
      await this.countOn(table, counting).catch(onBackgroundError);
    }
  }

  private async countOn(table: TableDescriptor, counting: Counting): Promise<void> {
    const { clock } = this.store.services;
    const deadlineMs = clock.monotonicMs() + SEGMENT_TIMEOUT_MS;
    counting.count ??= new TableCount(table);
    const { count } = counting;
    try {
      if (!(await count.goOn(this.store, deadlineMs, this.abort.signal))) return;
      await this.catalog.storeCounts(table.id, count.result(), deadlineMs);
      counting.nextMs = clock.monotonicMs() + count.pauseMs;
      counting.count = undefined;
    } catch (error) {
      // An index may be gone meanwhile: from the beginning, by the table as it is then.
      counting.count = undefined;
      if (!(error instanceof StaleTableError)) throw error;
    }
  }

  /** Lets segments begin where ranges begin, and ends those that need not be. */
  private async follow(): Promise<void> {
    const { kv, clock, onBackgroundError } = this.store.services;
    const now = { routes: kv.routesVersion, tables: this.version, atMs: clock.monotonicMs() };
    const { followed } = this;
    const isKnown = followed?.routes === now.routes && followed.tables === now.tables;
    if (isKnown && now.atMs - followed.atMs < FOLLOW_MS) return;
    let isAll = true;
    for (const table of this.tables) {
      if (this.abort.signal.aborted) return;
      const deadlineMs = clock.monotonicMs() + SEGMENT_TIMEOUT_MS;
      await followRanges(kv, this.catalog, table, clock.nowMs(), deadlineMs).catch((error: unknown) => {
        isAll = false;
        onBackgroundError(error);
      });
    }
    // Leaders change without a word: who leads the heads later looks then.
    const isDone = isAll && this.tables.every((table) => missingSegments(kv, table).length === 0);
    this.followed = isDone ? now : undefined;
  }

  private async keepUp(table: TableDescriptor, segment: Segment, deadlineMs: Millis): Promise<void> {
    const { services } = this.store;
    const { clock } = services;
    const { signal } = this.abort;
    if (hasTimes(table))
      await repeatedly(() => sweepExpired(this.store, table, segment, clock.nowMs(), deadlineMs, signal));
    for (const { generation } of table.streams) {
      const prefix = streamPrefix(table.id, segment.start, generation);
      await repeatedly(() => moveRecords(services, prefix, deadlineMs, signal));
    }
    const name = nameOf(table, segment);
    const lastMs = this.trimmedMs.get(name);
    const nowMs = clock.monotonicMs();
    if (table.streams.length === 0 || (lastMs !== undefined && nowMs - lastMs < TRIM_MS)) return;
    await trimStreams(services, table, segment, clock.nowMs(), deadlineMs);
    this.trimmedMs.set(name, nowMs);
  }
}

const hasTimes = (table: TableDescriptor): boolean => !isGoing(table) && ttlAttribute(table) !== undefined;
const nameOf = ({ id }: TableDescriptor, { start }: Segment): string => `${id}/${start}`;

async function repeatedly(step: () => Promise<{ readonly hasMore: boolean }>): Promise<void> {
  for (let steps = 0; steps < MAX_STEPS; steps++) if (!(await step()).hasMore) return;
}
