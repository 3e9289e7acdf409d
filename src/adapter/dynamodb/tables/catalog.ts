/**
 * Changes of tables: each is one transaction over the table's rows and all of its fences, so that nothing is written by two versions of a table. What
 * takes longer is a task that the same transaction stores; `jobs` does it.
 */
import type { KeyView } from '../../../kv/index.ts';
import { type HlcTimestamp, type Millis, NEVER } from '../../../platform/index.ts';
import { DynamoError } from '../errors/index.ts';
import {
  CATALOG_VERSION_KEY,
  descriptorKey,
  documentKey,
  encodeFence,
  encodeLeftStream,
  fenceKey,
  jobKey,
  leftStreamKey,
  nameKey,
  PLACEMENT_KEY,
} from '../rows/index.ts';
import { encodeCounts, type TableCounts } from './counts.ts';
import { decodeDescriptor, encodeDescriptor, isGoing, segmentEnd, type TableDescriptor } from './descriptor.ts';
import { decodeTasks, encodeTasks, type TableTask } from './job-record.ts';
import { decodePlacement, emptyPlacement, encodePlacement, placeTable, removeTable } from './placement.ts';
import { keptStreams, STREAM_RECORDS_MS } from './streams-of-tables.ts';
import type { TableServices } from './table-services.ts';

const NUMBER_BYTES = 3;
const NO_TASKS: readonly TableTask[] = [];

/** What a change makes of a table: what it is then, and what is left to do. */
export interface TableChange {
  readonly table: TableDescriptor;
  /** In the place of the tasks that the table has; left out: those. */
  readonly tasks?: readonly TableTask[];
}

const numberRow = (table: number): Buffer => {
  const bytes = Buffer.allocUnsafe(NUMBER_BYTES);
  bytes.writeUIntBE(table, 0, NUMBER_BYTES);
  return bytes;
};

/** The number in a row of names. */
export const tableNumber = (value: Buffer): number => value.readUIntBE(0, NUMBER_BYTES);

/** The version in the row that nodes watch; 0 before there was a table. */
export const catalogVersion = (value: Buffer | undefined): number =>
  value === undefined ? 0 : Number(value.readBigUInt64BE());

function raiseVersion(view: KeyView): void {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(BigInt(catalogVersion(view.get(CATALOG_VERSION_KEY)?.value) + 1));
  view.put(CATALOG_VERSION_KEY, bytes, NEVER);
}

/** A table as the catalog has it. */
export function readTable(view: KeyView, table: number): TableDescriptor | undefined {
  const row = view.get(descriptorKey(table));
  return row === undefined ? undefined : decodeDescriptor(row.value);
}

/** Of a table that is going the fences are deleted: nothing can be written any more. */
function writeTable(view: KeyView, table: TableDescriptor): void {
  view.put(descriptorKey(table.id), encodeDescriptor(table), NEVER);
  for (const segment of table.segments) {
    const key = fenceKey(table.id, segment.start);
    if (isGoing(table)) view.delete(key);
    else view.put(key, encodeFence({ version: table.version, endToken: segmentEnd(table, segment) }), NEVER);
  }
}

/** The tasks of a table. */
export function readTasks(view: KeyView, table: number): readonly TableTask[] {
  const row = view.get(jobKey(table));
  return row === undefined ? NO_TASKS : decodeTasks(row.value);
}

/** Stores what is left to do for a table. */
export function writeTasks(view: KeyView, table: number, tasks: readonly TableTask[]): void {
  if (tasks.length > 0) view.put(jobKey(table), encodeTasks(tasks), NEVER);
  else view.delete(jobKey(table));
}

/** One a node. */
export class TableCatalog {
  private readonly services: TableServices;

  constructor(services: TableServices) {
    this.services = services;
  }

  /**
   * Makes a table. It is there as a whole when this has returned.
   * @param draft without number and version
   * @param tags the document of its tags; undefined without any
   * @throws DynamoError `ResourceInUseException` when there is one of that name
   */
  async create(
    draft: Omit<TableDescriptor, 'id' | 'version'>,
    tags: Buffer | undefined,
    deadlineMs: Millis,
  ): Promise<TableDescriptor> {
    this.checkActive();
    const name = nameKey(draft.name);
    const keys = [name, PLACEMENT_KEY, CATALOG_VERSION_KEY];
    return this.run(keys, deadlineMs, (view) => {
      if (view.get(name) !== undefined) {
        throw new DynamoError('ResourceInUseException', `Table already exists: ${draft.name}`);
      }
      const placed = view.get(PLACEMENT_KEY);
      const placement = placed === undefined ? emptyPlacement() : decodePlacement(placed.value);
      const id = placeTable(placement, (table) => view.get(descriptorKey(table)) !== undefined);
      const table = { id, version: 1, ...draft };
      view.put(PLACEMENT_KEY, encodePlacement(placement), NEVER);
      view.put(name, numberRow(id), NEVER);
      if (tags !== undefined) view.put(documentKey(id, 'tags'), tags, NEVER);
      writeTable(view, table);
      raiseVersion(view);
      return table;
    });
  }

  /**
   * Changes a table that is looked up by its name.
   * @param change from what the table is now; may run again, and may throw
   * @throws DynamoError `ResourceNotFoundException` when there is none, and what `change` throws
   */
  change(
    name: string,
    deadlineMs: Millis,
    change: (table: TableDescriptor, tasks: readonly TableTask[]) => TableChange,
  ): Promise<TableDescriptor> {
    return this.run([nameKey(name), CATALOG_VERSION_KEY], deadlineMs, (view) => {
      const row = view.get(nameKey(name));
      const table = row === undefined ? undefined : readTable(view, tableNumber(row.value));
      if (table === undefined) throw tableNotFound(name);
      return this.store(view, table, change);
    });
  }

  /**
   * Changes a table by its number; `undefined` when it is gone.
   * @param change is told when the table was changed last; one that answers the table as it was changes nothing
   */
  changeById(
    id: number,
    deadlineMs: Millis,
    change: (table: TableDescriptor, tasks: readonly TableTask[], changedTs: HlcTimestamp) => TableChange,
  ): Promise<TableDescriptor | undefined> {
    return this.run([descriptorKey(id), jobKey(id), CATALOG_VERSION_KEY], deadlineMs, (view) => {
      const row = view.get(descriptorKey(id));
      if (row === undefined) return undefined;
      return this.store(view, decodeDescriptor(row.value), (table, tasks) => change(table, tasks, row.commitTs));
    });
  }

  private store(
    view: KeyView,
    table: TableDescriptor,
    change: (table: TableDescriptor, tasks: readonly TableTask[]) => TableChange,
  ): TableDescriptor {
    const before = readTasks(view, table.id);
    const { table: changed, tasks } = change(table, before);
    if (changed === table && tasks === undefined) return table;
    const stored = { ...changed, version: table.version + 1 };
    writeTable(view, stored);
    for (const { start } of table.segments)
      if (!stored.segments.some((segment) => segment.start === start)) view.delete(fenceKey(table.id, start));
    if (tasks !== undefined) writeTasks(view, table.id, tasks);
    raiseVersion(view);
    return stored;
  }

  /** Changes one document of a table. @param change undefined deletes it @throws DynamoError when the table is gone */
  changeDocument(
    name: string,
    kind: 'tags' | 'policy',
    deadlineMs: Millis,
    change: (document: Buffer | undefined) => Buffer | undefined,
  ): Promise<void> {
    this.checkActive();
    return this.run([nameKey(name)], deadlineMs, (view) => {
      const row = view.get(nameKey(name));
      if (row === undefined) throw tableNotFound(name);
      const key = documentKey(tableNumber(row.value), kind);
      const before = view.get(key)?.value;
      const after = change(before);
      if (after !== undefined) view.put(key, after, NEVER);
      else if (before !== undefined) view.delete(key);
    });
  }

  /** Stores what was counted of a table, when it is there still and the counts are others than before. */
  async storeCounts(id: number, counts: TableCounts, deadlineMs: Millis): Promise<void> {
    const key = documentKey(id, 'counts');
    const bytes = encodeCounts(counts);
    await this.run([descriptorKey(id), key], deadlineMs, (view) => {
      const isSame = view.get(key)?.value.equals(bytes) === true;
      if (view.get(descriptorKey(id)) !== undefined && !isSame) view.put(key, bytes, NEVER);
    });
  }

  /** Takes a table's name from it, of which nothing is left but records of streams: they are found by their own names. */
  bury(id: number, nowMs: Millis, deadlineMs: Millis): Promise<void> {
    return this.run([descriptorKey(id), PLACEMENT_KEY, CATALOG_VERSION_KEY], deadlineMs, (view) => {
      const table = readTable(view, id);
      if (table?.status !== 'DELETING') return;
      this.forgetName(view, table);
      writeTable(view, { ...table, status: 'DELETED', version: table.version + 1 });
      for (const { label, disabledMs = nowMs } of keptStreams(table, nowMs))
        view.put(leftStreamKey(table.name, label), encodeLeftStream({ table: id, disabledMs }), NEVER);
      writeTasks(view, id, [{ kind: 'forgetStreams', afterMs: nowMs + STREAM_RECORDS_MS }]);
      raiseVersion(view);
    });
  }

  /** Forgets a table of which nothing is left. */
  remove(id: number, deadlineMs: Millis): Promise<void> {
    return this.run([descriptorKey(id), PLACEMENT_KEY, CATALOG_VERSION_KEY], deadlineMs, (view) => {
      const table = readTable(view, id);
      if (table === undefined) return;
      // Of one that was buried another table may have the name.
      if (table.status === 'DELETED')
        for (const { label } of table.streams) view.delete(leftStreamKey(table.name, label));
      else this.forgetName(view, table);
      view.delete(descriptorKey(id));
      view.delete(jobKey(id));
      raiseVersion(view);
    });
  }

  private forgetName(view: KeyView, { id, name }: TableDescriptor): void {
    const placement = decodePlacement(view.get(PLACEMENT_KEY)?.value ?? encodePlacement(emptyPlacement()));
    removeTable(placement, id);
    view.put(PLACEMENT_KEY, encodePlacement(placement), NEVER);
    view.delete(nameKey(name));
    for (const kind of ['tags', 'counts', 'policy'] as const) view.delete(documentKey(id, kind));
  }

  private async run<Reply>(
    keys: readonly Buffer[],
    deadlineMs: Millis,
    body: (view: KeyView) => Reply,
  ): Promise<Reply> {
    const { reply } = await this.services.transactions.run({ keys, deadlineMs, isPersistent: true }, body);
    return reply as Reply;
  }

  private checkActive(): void {
    if (this.services.isActive()) return;
    throw new DynamoError(
      'InternalServerError',
      'The feature dynamodb is not active yet: every node of the cluster has to run a program that has it.',
    );
  }
}

/** The table of an operation on tables is not there. */
export const tableNotFound = (name: string): DynamoError =>
  new DynamoError('ResourceNotFoundException', `Requested resource not found: Table: ${name} not found`);
