/**
 * Takes what is done to items to the groups that have them. In one group that this node leads it is one command; everywhere else the same body is run
 * as a transaction, which is one entry too when there is one group.
 */
import {
  type ConsistentReads,
  CrossGroupError,
  type KeyView,
  type KvRange,
  NotOwnerError,
  RangeBusyError,
  type ServedPage,
  type StoredValue,
  stepAnywhere,
  type Transactions,
} from '../../../kv/index.ts';
import type { GroupId, HlcTimestamp, Millis } from '../../../platform/index.ts';
import { NotLeaderError } from '../../../raftengine/index.ts';
import { DynamoError } from '../errors/index.ts';
import { decodeFence, tableRange } from '../rows/index.ts';
import type { TableDescriptor, TableDirectory, TableServices } from '../tables/index.ts';
import { StaleTableError } from './errors.ts';
import type { StreamLane } from './write-item.ts';

/** How far behind an answer may be that is not asked to be consistent. */
const MAX_STALENESS_MS: Millis = 2_000;
/** Changes of a table that one request may meet. */
const MAX_RENEWALS = 16;
const LANE_BYTES = 16;
/** Tables whose last write is remembered; beyond them the eldest are forgotten, when their time is over in any case. */
const MAX_REMEMBERED = 10_000;

export interface ItemServices extends TableServices {
  readonly directory: TableDirectory;
  readonly transactions: TableServices['transactions'] & Transactions;
  readonly reads: ConsistentReads;
}

/** A body over all rows that it names. */
export type WriteBody<Reply> = (view: KeyView, lane: StreamLane) => Reply;

export interface ScanOptions {
  readonly limit: number;
  readonly maxBytes: number;
  readonly reverse: boolean;
}

/** See the top of the file. One a node. */
export class ItemStore {
  readonly services: ItemServices;
  /** When this node has last written to a table: for so long as replicas may be behind it reads where it wrote. */
  private readonly writtenMs = new Map<number, Millis>();

  constructor(services: ItemServices) {
    this.services = services;
  }

  /**
   * Does something with a table, again as often as the table is found to be another.
   * @throws DynamoError `ResourceNotFoundException` when there is none
   */
  async withTable<T>(name: string, deadlineMs: Millis, use: (table: TableDescriptor) => Promise<T>): Promise<T> {
    return this.withTables([name], deadlineMs, (tables) => use(tables.get(name)!));
  }

  /** The same with several. */
  async withTables<T>(
    names: Iterable<string>,
    deadlineMs: Millis,
    use: (tables: ReadonlyMap<string, TableDescriptor>) => Promise<T>,
  ): Promise<T> {
    const { directory } = this.services;
    for (let tries = 0; ; tries++) {
      const tables = new Map<string, TableDescriptor>();
      for (const name of names) {
        const table = await (tries === 0 ? directory.find(name, deadlineMs) : directory.renew(name, deadlineMs));
        if (table === undefined || table.status === 'DELETING' || table.status === 'CREATING') {
          throw new DynamoError('ResourceNotFoundException', 'Requested resource not found');
        }
        tables.set(name, table);
      }
      try {
        return await use(tables);
      } catch (error) {
        if (tries >= MAX_RENEWALS) throw error;
        if (error instanceof StaleTableError) continue;
        // What does not fit the table may fit what it is by now: an index that this node has not heard of.
        const isMisfit = error instanceof DynamoError && error.type === 'ValidationException';
        if (!isMisfit || tries > 0 || !(await this.isOther(tables, deadlineMs))) throw error;
      }
    }
  }

  /** Whether one of some tables is not as it is known. */
  private async isOther(tables: ReadonlyMap<string, TableDescriptor>, deadlineMs: Millis): Promise<boolean> {
    for (const [name, { id, version }] of tables) {
      const now = await this.services.directory.renew(name, deadlineMs);
      if (now?.id !== id || now.version !== version) return true;
    }
    return false;
  }

  /**
   * Runs a body that writes, all of it or nothing.
   * @param keys that it reads
   * @param tables that it writes to
   * @throws what the body throws; ConflictError, OutcomeUnknownError and the like
   */
  async write<Reply>(
    keys: readonly Buffer[],
    tables: readonly TableDescriptor[],
    deadlineMs: Millis,
    body: WriteBody<Reply>,
  ): Promise<Reply> {
    const group = this.oneGroup(keys, tables);
    try {
      if (group !== undefined && this.services.kv.servesLocally(group)) {
        try {
          return await this.submit(group, (view) => body(view, { kind: 'time', ts: view.ts }), true);
        } catch (error) {
          if (!isElsewhere(error)) throw error;
        }
      }
      const lane: StreamLane = { kind: 'transaction', id: this.services.random.bytes(LANE_BYTES) };
      const request = { keys, deadlineMs, isPersistent: true };
      return (await this.services.transactions.run(request, (view) => body(view, lane))).reply as Reply;
    } finally {
      for (const { id } of tables) this.noteWrite(id);
    }
  }

  /** Reads rows of any groups as they were at one moment. @throws what the body throws */
  async read<Reply>(keys: readonly Buffer[], deadlineMs: Millis, body: (view: KeyView) => Reply): Promise<Reply> {
    const request = { keys, deadlineMs, isReadOnly: true, isPersistent: true };
    return (await this.services.transactions.run(request, body)).reply as Reply;
  }

  /** The group that has all keys, and all rows of indexes, by the directory; undefined when several have. */
  private oneGroup(keys: readonly Buffer[], tables: readonly TableDescriptor[]): GroupId | undefined {
    const { kv } = this.services;
    const group = kv.groupOf(keys[0]!);
    for (const { id, globalIndexes } of tables) {
      if (globalIndexes.length === 0) continue;
      const { start, end } = tableRange(id);
      const stretch = kv.stretchAt(start);
      if (stretch.group !== group || (stretch.end !== undefined && Buffer.compare(stretch.end, end) < 0))
        return undefined;
    }
    return keys.every((key) => kv.groupOf(key) === group) ? group : undefined;
  }

  private submit<Reply>(group: GroupId, evaluate: (view: KeyView) => Reply, isWrite: boolean): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.services.kv.submit<Reply>(group, {
        isWrite,
        evaluate,
        complete: (error, reply) => (error === undefined ? resolve(reply as Reply) : reject(error)),
      });
    });
  }

  private noteWrite(table: number): void {
    this.writtenMs.delete(table);
    this.writtenMs.set(table, this.services.clock.monotonicMs());
    if (this.writtenMs.size <= MAX_REMEMBERED) return;
    for (const eldest of this.writtenMs.keys()) {
      this.writtenMs.delete(eldest);
      return;
    }
  }

  /** Whether a read may be answered by a replica that is behind: this node has not written to the table lately. */
  private mayLag(table: TableDescriptor): boolean {
    const writtenMs = this.writtenMs.get(table.id);
    return writtenMs === undefined || this.services.clock.monotonicMs() - writtenMs > MAX_STALENESS_MS;
  }

  /**
   * Values of rows, with the fence of their segment: they are of one moment.
   * @param fence of the table's segment, looked at by consistent reads
   * @throws StaleTableError when the table is another
   */
  async get(
    table: TableDescriptor,
    key: Buffer,
    fence: Buffer,
    isConsistent: boolean,
    deadlineMs: Millis,
  ): Promise<Buffer | undefined> {
    const { reads, cluster, transactions } = this.services;
    if (!isConsistent && this.mayLag(table)) {
      const consistency = { kind: 'bounded', maxStalenessMs: MAX_STALENESS_MS } as const;
      return (await reads.get(key, consistency, deadlineMs)).value?.value;
    }
    const success = [key, fence].map((one) => ({ kind: 'get', key: one }) as const);
    const { results } = await stepAnywhere(cluster, transactions, { conditions: [], success, failure: [] }, deadlineMs);
    const [row, fenced] = results.map((result) => (result.kind === 'get' ? result.value : undefined));
    checkFenceRow(fenced, table);
    return row?.value;
  }

  /** A row as it was at a moment that is not long ago. @throws HistoryGoneError */
  async getAt(key: Buffer, ts: HlcTimestamp, deadlineMs: Millis): Promise<Buffer | undefined> {
    return (await this.services.reads.get(key, { kind: 'exact', ts }, deadlineMs)).value?.value;
  }

  /** The table is still the one that is known. @throws StaleTableError */
  async checkTable(table: TableDescriptor, fence: Buffer, deadlineMs: Millis): Promise<void> {
    const { result } = await this.services.cluster.one({ kind: 'get', key: fence }, deadlineMs);
    checkFenceRow(result.kind === 'get' ? result.value : undefined, table);
  }

  /** Pages of a range of a table's rows. */
  pages(
    table: TableDescriptor,
    range: KvRange,
    { limit, maxBytes, reverse }: ScanOptions,
    isConsistent: boolean,
    deadlineMs: Millis,
    signal: AbortSignal,
  ): AsyncGenerator<ServedPage> {
    const { reads, cluster } = this.services;
    const options = { limit, maxBytes, reverse, keysOnly: false };
    if (isConsistent || !this.mayLag(table)) return cluster.scan(range, options, deadlineMs, signal);
    const consistency = { kind: 'bounded', maxStalenessMs: MAX_STALENESS_MS } as const;
    return reads.scan(range, options, consistency, deadlineMs, signal);
  }
}

function checkFenceRow(row: StoredValue | undefined, { version }: TableDescriptor): void {
  if (row === undefined || decodeFence(row.value).version !== version) throw new StaleTableError();
}

/** Nothing has happened, and somebody else has to do it. */
const isElsewhere = (error: unknown): boolean =>
  error instanceof NotLeaderError ||
  error instanceof NotOwnerError ||
  error instanceof RangeBusyError ||
  error instanceof CrossGroupError;
