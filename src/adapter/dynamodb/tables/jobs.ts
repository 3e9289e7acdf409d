/**
 * Does what is left to do after changes of tables: deletes what tables and indexes had, fills new indexes. The node that leads the group of the jobs'
 * rows does them, one table after the other. Every step may be done twice, and by two nodes at once: what it writes follows from what it reads in the
 * same transaction.
 */
import type { KeyView, ServedPage } from '../../../kv/index.ts';
import { type HlcTimestamp, hasCode, type Millis, NEVER } from '../../../platform/index.ts';
import {
  BASE_INDEX,
  descriptorKey,
  indexRange,
  isHeadRow,
  JOB_ROWS,
  jobKey,
  partitionRowAt,
  partitionsStart,
  type RowRange,
  streamRows,
  tableOfJob,
  tableRange,
  tokenOf,
  ttlPrefix,
} from '../rows/index.ts';
import { type Item, prefixEnd } from '../values/index.ts';
import { readTable, readTasks, type TableCatalog, writeTasks } from './catalog.ts';
import {
  isGoing,
  isSameSegment,
  type SegmentName,
  segmentOf,
  type TableDescriptor,
  ttlAttribute,
} from './descriptor.ts';
import { expiryRanges, expiryRowKey, placeOfExpiryRow } from './expiry-rows.ts';
import { hashKeyBytesIn, indexRow, itemOfRow, rowKeyOf } from './index-rows.ts';
import { type KeyBytes, keyBytes } from './item-keys.ts';
import { decodeTasks, isSameTask, type TableTask } from './job-record.ts';
import { endOfSegment } from './segments.ts';
import { keptStreams } from './streams-of-tables.ts';
import type { TableServices } from './table-services.ts';

/** How long a node waits before it looks for jobs again; changes made here are looked for at once. */
const LOOK_MS: Millis = 1_000;
/** How long it waits for the rows of jobs. A node that stops waits as long when the others are gone already. */
const LOOK_TIMEOUT_MS: Millis = 2_000;
/** How long one step may take; one that was not done in time is done again. */
const STEP_MS: Millis = 5_000;
/**
 * Rows of one transaction of a fill, and what they may have. Where others write to them all the time it takes fewer: a transaction over many rows would be
 * overtaken on one of them again and again.
 */
const FILL_ROWS = 64;
const FILL_BYTES = 1024 * 1024;
/** How long several rows are tried together. */
const FILL_PATIENCE_MS: Millis = 200;
/** Tables that are looked at in one go; the rest comes with the next look. */
const MAX_JOBS = 1_000;
const NO_BYTES = Buffer.alloc(0);

/** Makes the rows of one item; false when nobody wants them any more. */
type RowMaker = (view: KeyView, table: TableDescriptor, place: KeyBytes, item: Item) => boolean;

/** One a node. */
export class TableJobs {
  private readonly services: TableServices;
  private readonly catalog: TableCatalog;
  private readonly abort = new AbortController();
  private running: Promise<void> | undefined;
  private isAsked = false;

  constructor(services: TableServices, catalog: TableCatalog) {
    this.services = services;
    this.catalog = catalog;
  }

  /** Begins to look for jobs. */
  start(): void {
    this.services.scheduler.after(LOOK_MS, () => {
      if (this.abort.signal.aborted) return;
      this.look();
      this.start();
    });
  }

  /** Settles when the step that is under way has ended. */
  async stop(): Promise<void> {
    this.abort.abort();
    await this.running;
  }

  /** There may be a job now. Harmless where it is not this node's to do. */
  look(): void {
    this.isAsked = true;
    if (this.running !== undefined || this.abort.signal.aborted) return;
    this.running = this.work()
      // What failed is looked for again, here or where the group is led then.
      .catch((error: unknown) => {
        if (!this.abort.signal.aborted) this.services.onBackgroundError(error);
      })
      .finally(() => {
        this.running = undefined;
      });
  }

  private async work(): Promise<void> {
    const { kv, isActive } = this.services;
    while (this.isAsked && !this.abort.signal.aborted) {
      this.isAsked = false;
      if (!isActive() || !kv.servesLocally(kv.groupOf(JOB_ROWS.start))) return;
      for (const { table, tasks } of await this.jobs()) {
        for (const task of tasks) {
          if (this.abort.signal.aborted) return;
          await this.carryOut(table, task);
        }
      }
    }
  }

  private async jobs(): Promise<{ readonly table: number; readonly tasks: readonly TableTask[] }[]> {
    const jobs: { readonly table: number; readonly tasks: readonly TableTask[] }[] = [];
    const options = { limit: MAX_JOBS, reverse: false, keysOnly: false };
    const pages = this.services.cluster.scan(JOB_ROWS, options, this.deadline(LOOK_TIMEOUT_MS), this.abort.signal);
    for await (const { rows } of pages) {
      for (const { key, value } of rows) jobs.push({ table: tableOfJob(key), tasks: decodeTasks(value) });
    }
    return jobs;
  }

  private deadline(timeoutMs: Millis = STEP_MS): Millis {
    return this.services.clock.monotonicMs() + timeoutMs;
  }

  private async carryOut(table: number, task: TableTask): Promise<void> {
    const { cluster, clock } = this.services;
    switch (task.kind) {
      case 'deleteTable': {
        const descriptor = await this.descriptor(table);
        const isStreamed = descriptor !== undefined && keptStreams(descriptor, clock.nowMs()).length > 0;
        if (!isStreamed) return this.deleteWhole(table);
        for (const range of rowsBesideStreams(descriptor)) await cluster.deleteRange(range, this.deadline());
        await this.catalog.bury(table, clock.nowMs(), this.deadline());
        return;
      }
      case 'forgetStreams':
        if (clock.nowMs() >= task.afterMs) await this.deleteWhole(table);
        return;
      case 'dropIndex':
        await cluster.deleteRange(indexRange(table, task.index), this.deadline());
        await this.finish(table, task, (before) => ({
          ...before,
          globalIndexes: before.globalIndexes.filter(({ number }) => number !== task.index),
        }));
        return;
      case 'fillIndex':
        if (!(await this.fill(table, task, indexFiller(task.index)))) return;
        await this.finish(table, task, (before) => ({
          ...before,
          globalIndexes: before.globalIndexes.map((index) =>
            index.number === task.index && index.state === 'CREATING'
              ? { ...index, state: 'ACTIVE', isBackfilling: false }
              : index,
          ),
        }));
        return;
      case 'fillExpiry':
        if (!(await this.fill(table, task, fillExpiry))) return;
        await this.finish(table, task, (before) =>
          before.ttl?.state === 'ENABLING' ? { ...before, ttl: { ...before.ttl, state: 'ENABLED' } } : before,
        );
        return;
      case 'endSegment':
        await this.finish(table, task, (before, changedTs) => endOfSegment(before, task.segment, changedTs));
        return;
      case 'moveExpiry':
        if (await this.moveExpiry(table, task.segment)) await this.finish(table, task, (before) => before);
        return;
      case 'clearHead':
        if (await this.clearHead(table, task.token)) await this.finish(table, task, (before) => before);
        return;
      case 'dropExpiry': {
        const descriptor = await this.descriptor(table);
        for (const range of descriptor === undefined ? [] : expiryRanges(descriptor)) {
          await cluster.deleteRange(range, this.deadline());
        }
        await this.finish(table, task, (before) =>
          before.ttl?.state === 'DISABLING' ? { ...before, ttl: { ...before.ttl, state: 'DISABLED' } } : before,
        );
        return;
      }
    }
  }

  private async deleteWhole(table: number): Promise<void> {
    await this.services.cluster.deleteRange(tableRange(table), this.deadline());
    await this.catalog.remove(table, this.deadline());
  }

  private async descriptor(id: number): Promise<TableDescriptor | undefined> {
    const request = { keys: [descriptorKey(id)], isReadOnly: true, deadlineMs: this.deadline() };
    return (await this.services.transactions.run(request, (view) => readTable(view, id))).reply;
  }

  /** The task is done: the table is what `change` makes of it. */
  private async finish(
    id: number,
    task: TableTask,
    change: (table: TableDescriptor, changedTs: HlcTimestamp) => TableDescriptor,
  ): Promise<void> {
    await this.catalog.changeById(id, this.deadline(), (before, tasks, changedTs) => {
      const left = tasks.filter((other) => !isSameTask(other, task));
      // Done by somebody else, or not wanted any more.
      if (left.length === tasks.length) return { table: before };
      return { table: withStatus(change(before, changedTs)), tasks: left };
    });
  }

  /**
   * Puts expiry rows of a new segment's items at its own head. Until then they are where the sweep of the old segment finds them.
   * @returns false when the node stops before the end
   */
  private async moveExpiry(id: number, segment: SegmentName): Promise<boolean> {
    const descriptor = await this.descriptor(id);
    const parent = descriptor?.segments.find((one) => isSameSegment(one, segment))?.parent;
    if (descriptor === undefined || parent === undefined || ttlAttribute(descriptor) === undefined) return true;
    const prefix = ttlPrefix(id, parent.start);
    return this.overRows(id, { start: prefix, end: prefixEnd(prefix)! }, (view, table, row) => {
      if (ttlAttribute(table) === undefined) return;
      const { hashKey } = placeOfExpiryRow(table, prefix, row);
      if (segmentOf(table, tokenOf(hashKey)).start !== parent.start) moveExpiryRow(view, table, prefix, row);
    });
  }

  /**
   * Empties a head at which no segment begins any more. Where one begins again it is that one's.
   * @returns false when the node stops before the end
   */
  private clearHead(id: number, token: number): Promise<boolean> {
    const prefix = ttlPrefix(id, token);
    const range = { start: streamRows(id, token).start, end: partitionsStart(id, BASE_INDEX, token) };
    return this.overRows(id, range, (view, table, row) => {
      if (segmentOf(table, token).start === token) return;
      if (row.subarray(0, prefix.length).equals(prefix)) moveExpiryRow(view, table, prefix, row);
      else view.delete(row);
    });
  }

  /**
   * Does something with every row of a range, in transactions that read the table as it is then.
   * @returns false when the node stops before the end
   */
  private async overRows(
    id: number,
    { start, end }: RowRange,
    act: (view: KeyView, table: TableDescriptor, row: Buffer) => void,
  ): Promise<boolean> {
    const options = { limit: FILL_ROWS, reverse: false, keysOnly: true };
    for (let from = start; Buffer.compare(from, end) < 0; ) {
      if (this.abort.signal.aborted) return false;
      const pages = this.services.cluster.scan({ start: from, end }, options, this.deadline(), this.abort.signal);
      const page = (await pages.next()).value as ServedPage | undefined;
      await pages.return(undefined);
      if (page === undefined) return false;
      const rows = page.rows.map(({ key }) => key);
      const request = { keys: [descriptorKey(id), ...rows], deadlineMs: this.deadline(), isPersistent: true };
      await this.services.transactions.run(request, (view) => {
        const table = readTable(view, id);
        if (table === undefined || isGoing(table)) return;
        for (const row of rows) if (view.get(row) !== undefined) act(view, table, row);
      });
      from = page.end;
    }
    return true;
  }

  /**
   * Goes over all items of a table from where the task is, and has rows made for each as it is then.
   * @returns false when the node stops before the end
   */
  private async fill(
    id: number,
    task: Extract<TableTask, { readonly kind: 'fillIndex' | 'fillExpiry' }>,
    make: RowMaker,
  ): Promise<boolean> {
    const { start, end } = indexRange(id, BASE_INDEX);
    let from = task.cursor === undefined ? start : Buffer.from(task.cursor, 'hex');
    let limit = FILL_ROWS;
    while (Buffer.compare(from, end) < 0) {
      if (this.abort.signal.aborted) return false;
      const options = { limit, maxBytes: FILL_BYTES, reverse: false, keysOnly: true };
      const pages = this.services.cluster.scan({ start: from, end }, options, this.deadline(), this.abort.signal);
      const page = (await pages.next()).value as ServedPage | undefined;
      await pages.return(undefined);
      if (page === undefined) return false;
      const keys = page.rows.map(({ key }) => key);
      try {
        if (!(await this.fillPage(id, task, keys, page.end, make))) return true;
        from = page.end;
        limit = Math.min(FILL_ROWS, limit + 1);
      } catch (error) {
        if (limit === 1 || !hasCode(error, 'CONFLICT')) throw error;
        limit = Math.max(1, limit >> 2);
      }
    }
    return true;
  }

  /** @returns false when the task is not there any more */
  private async fillPage(
    id: number,
    task: TableTask,
    keys: readonly Buffer[],
    cursor: Buffer,
    make: RowMaker,
  ): Promise<boolean> {
    const rows = keys.filter((key) => !isHeadRow(key));
    const deadlineMs = keys.length > 1 ? this.deadline(FILL_PATIENCE_MS) : this.deadline();
    const request = { keys: [descriptorKey(id), jobKey(id), ...rows], deadlineMs, isPersistent: true };
    const { reply } = await this.services.transactions.run(request, (view) => {
      const table = readTable(view, id);
      const tasks = readTasks(view, id);
      if (table === undefined || !tasks.some((other) => isSameTask(other, task))) return false;
      let items = 0;
      for (const key of rows) {
        if (partitionRowAt(key, hashKeyBytesIn(key, table.key)).kind !== 'item') continue;
        const row = view.get(key);
        if (row === undefined) continue;
        const { item } = itemOfRow(table, key, row.value);
        if (!make(view, table, keyBytes(table.key, item), item)) return false;
        items++;
      }
      const moved = tasks.map((other) => (isSameTask(other, task) ? movedOn(other, cursor, items) : other));
      writeTasks(view, id, moved);
      return true;
    });
    return reply === true;
  }
}

/** Puts an expiry row where its item has it now. */
function moveExpiryRow(view: KeyView, table: TableDescriptor, prefix: Buffer, row: Buffer): void {
  const place = placeOfExpiryRow(table, prefix, row);
  const key = rowKeyOf(table, place);
  const item = view.get(key);
  const moved = item === undefined ? undefined : expiryRowKey(table, place, itemOfRow(table, key, item.value).item);
  view.delete(row);
  if (moved !== undefined) view.put(moved, NO_BYTES, NEVER);
}

/** A task whose next page begins at `cursor`. */
function movedOn(task: TableTask, cursor: Buffer, items: number): TableTask {
  const next = { cursor: cursor.toString('hex') };
  if (task.kind === 'fillIndex') return { ...task, ...next, items: task.items + items };
  return task.kind === 'fillExpiry' ? { ...task, ...next } : task;
}

const indexFiller =
  (number: number): RowMaker =>
  (view, table, place, item) => {
    const index = table.globalIndexes.find((one) => one.number === number);
    if (index?.state !== 'CREATING') return false;
    const row = indexRow(table, index, place, item);
    if (row !== undefined) view.put(row.key, row.value, NEVER);
    return true;
  };

const fillExpiry: RowMaker = (view, table, place, item) => {
  if (table.ttl?.state !== 'ENABLING') return false;
  const key = expiryRowKey(table, place, item);
  if (key !== undefined) view.put(key, NO_BYTES, NEVER);
  return true;
};

/** All of a table and its indexes but the records of its streams. */
function rowsBesideStreams({ id, segments }: TableDescriptor): RowRange[] {
  const { start, end } = tableRange(id);
  const ranges: RowRange[] = [];
  let from = start;
  for (const segment of segments) {
    const streams = streamRows(id, segment.start);
    ranges.push({ start: from, end: streams.start });
    from = streams.end;
  }
  return [...ranges, { start: from, end }];
}

/** A table is being changed for as long as one of its indexes is. */
export function withStatus(table: TableDescriptor): TableDescriptor {
  if (isGoing(table)) return table;
  const isChanging = table.globalIndexes.some(({ state }) => state !== 'ACTIVE');
  return { ...table, status: isChanging ? 'UPDATING' : 'ACTIVE' };
}
