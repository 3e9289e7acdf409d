/**
 * Takes what is done to items to the groups that have them. In one group it is one command at the group's leader, here or on another node; over several the
 * same body is run as a transaction.
 */
import {
  type ConsistentReads,
  CrossGroupError,
  forwarded,
  type KeyView,
  type KvRange,
  NotOwnerError,
  RangeBusyError,
  type RemoteForm,
  stepAnywhere,
  submit,
  type Transactions,
} from '../../../kv/index.ts';
import type { GroupId, HlcTimestamp, Millis } from '../../../platform/index.ts';
import { NotLeaderError } from '../../../raftengine/index.ts';
import { DynamoError } from '../errors/index.ts';
import { tableRange } from '../rows/index.ts';
import { isGoing, type TableDescriptor, type TableDirectory, type TableServices } from '../tables/index.ts';
import { StaleTableError } from './errors.ts';
import { ITEM_SERVICE } from './message-head.ts';
import { decodeOutcome } from './outcome-message.ts';
import { encodePageQuestion, readPagePart } from './page-message.ts';
import { leaderRows, type PagePart, type PartQuestion, readPart, replicaRows } from './page-part.ts';
import { checkFenceRow, type StreamLane } from './write-item.ts';

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

/** See the top of the file. One a node. */
export class ItemStore {
  readonly services: ItemServices;
  /** Clients' tokens of transactions that this node is doing, with digests of what they ask: as many as requests under way. */
  readonly tokensUnderWay = new Map<string, Buffer>();
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
    const known = this.services.directory.knownNow(name);
    const useIt = (tables: ReadonlyMap<string, TableDescriptor>): Promise<T> => use(tables.get(name)!);
    if (known === undefined || !isServed(known)) return this.withTables([name], deadlineMs, useIt);
    // Nearly always the table is as it is known, and nothing is built for several.
    try {
      return await use(known);
    } catch (error) {
      if (!(await this.isNews(error, () => new Map([[name, known]]), deadlineMs))) throw error;
      return await this.withTables([name], deadlineMs, useIt, 1);
    }
  }

  /** The same with several. @param triesBefore from the second try on, tables are looked up */
  async withTables<T>(
    names: Iterable<string>,
    deadlineMs: Millis,
    use: (tables: ReadonlyMap<string, TableDescriptor>) => Promise<T>,
    triesBefore = 0,
  ): Promise<T> {
    const { directory } = this.services;
    for (let tries = triesBefore; ; tries++) {
      const tables = new Map<string, TableDescriptor>();
      for (const name of names) {
        const known = tries === 0 ? directory.knownNow(name) : undefined;
        const table = known ?? (await directory.renew(name, deadlineMs));
        if (table === undefined || !isServed(table)) {
          throw new DynamoError('ResourceNotFoundException', 'Requested resource not found');
        }
        tables.set(name, table);
      }
      try {
        return await use(tables);
      } catch (error) {
        if (tries >= MAX_RENEWALS) throw error;
        const isNews = tries === 0 ? await this.isNews(error, () => tables, deadlineMs) : isStale(error);
        if (!isNews) throw error;
      }
    }
  }

  /** Whether an error comes of knowing tables as they were. What does not fit a table may fit what it is by now: an index that this node has not heard of. */
  private async isNews(
    error: unknown,
    tables: () => ReadonlyMap<string, TableDescriptor>,
    deadlineMs: Millis,
  ): Promise<boolean> {
    if (isStale(error)) return true;
    const isMisfit = error instanceof DynamoError && error.type === 'ValidationException';
    return isMisfit && (await this.isOther(tables(), deadlineMs));
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
   * @param remote how another node is told to run it that leads the group of all rows; left out: only this node runs it
   * @throws what the body throws; ConflictError, OutcomeUnknownError and the like
   */
  async write<Reply>(
    keys: readonly Buffer[],
    tables: readonly TableDescriptor[],
    deadlineMs: Millis,
    body: WriteBody<Reply>,
    remote?: RemoteForm<Reply>,
  ): Promise<Reply> {
    try {
      const group = this.oneGroup(keys, tables);
      const isHere = group !== undefined && (remote !== undefined || this.services.kv.servesLocally(group));
      if (isHere) {
        try {
          return await this.writeAt(group, deadlineMs, body, remote);
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

  /** One command of a group, at its leader. */
  private writeAt<Reply>(
    group: GroupId,
    deadlineMs: Millis,
    body: WriteBody<Reply>,
    remote: RemoteForm<Reply> | undefined,
  ): Promise<Reply> {
    const { kv, cluster } = this.services;
    const evaluate = (view: KeyView): Reply => body(view, { kind: 'time', ts: view.ts });
    return remote === undefined ? submit(kv, group, evaluate) : cluster.router.run(group, evaluate, remote, deadlineMs);
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
    const { kv, reads, cluster, transactions } = this.services;
    const group = kv.groupOf(key);
    const here = kv.readNow(group, isConsistent ? [key, fence] : [key]);
    if (here !== undefined) {
      if (isConsistent) checkFenceRow(table, here[1]);
      return here[0]?.value;
    }
    if (!isConsistent && this.mayLag(table)) {
      const replica = reads.now(group, [key], MAX_STALENESS_MS);
      if (replica !== undefined) return replica[0]?.value;
      const consistency = { kind: 'bounded', maxStalenessMs: MAX_STALENESS_MS } as const;
      return (await reads.get(key, consistency, deadlineMs)).value?.value;
    }
    const success = [key, fence].map((one) => ({ kind: 'get', key: one }) as const);
    const { results } = await stepAnywhere(cluster, transactions, { conditions: [], success, failure: [] }, deadlineMs);
    const [row, fenced] = results.map((result) => (result.kind === 'get' ? result.value : undefined));
    checkFenceRow(table, fenced);
    return row?.value;
  }

  /** A row as it was at a moment that is not long ago. @throws HistoryGoneError */
  async getAt(key: Buffer, ts: HlcTimestamp, deadlineMs: Millis): Promise<Buffer | undefined> {
    return (await this.services.reads.get(key, { kind: 'exact', ts }, deadlineMs)).value?.value;
  }

  /** True when two keys are in different groups, as far as this node knows. */
  isApart(one: Buffer, other: Buffer): boolean {
    const { kv } = this.services;
    return kv.groupOf(one) !== kv.groupOf(other);
  }

  /** The table is still the one that is known. @throws StaleTableError */
  async checkTable(table: TableDescriptor, fence: Buffer, deadlineMs: Millis): Promise<void> {
    const { result } = await this.services.cluster.one({ kind: 'get', key: fence }, deadlineMs);
    checkFenceRow(table, result.kind === 'get' ? result.value : undefined);
  }

  /**
   * Reads the part of a page that the group of its beginning has: by its leader, here or elsewhere, or by a replica here.
   * @param isFresh from the leader; others when they are not too old
   * @throws StaleTableError when the table is another
   */
  async part(question: PartQuestion, isFresh: boolean, deadlineMs: Millis, signal: AbortSignal): Promise<PagePart> {
    const { cluster, reads } = this.services;
    const { table, range, isReverse } = question;
    const mayLag = !isFresh && this.mayLag(table);
    const untilMs = cluster.pageDeadline(deadlineMs);
    const asking = { deadlineMs: untilMs, isRead: true, signal };
    const answer = await cluster.router.at([range.start], asking, async (first, stretch) => {
      const last = isReverse ? cluster.router.lastStretch(range.start, range.end) : undefined;
      const group = last?.group ?? first;
      const own = last === undefined ? upTo(range, stretch?.end) : { start: last.start, end: range.end };
      const asked = { ...question, range: own };
      try {
        const part = await (mayLag && reads.mayServe(group)
          ? readPart(replicaRows(reads, group, MAX_STALENESS_MS, untilMs), asked)
          : this.partOfLeader(group, asked, untilMs));
        return goingOn(part, own, range, isReverse);
      } catch (error) {
        // Not to be asked again with the same question.
        if (error instanceof StaleTableError) return error;
        throw error;
      }
    });
    if (answer instanceof StaleTableError) throw answer;
    return answer;
  }

  private async partOfLeader(group: GroupId, question: PartQuestion, deadlineMs: Millis): Promise<PagePart> {
    const { kv } = this.services;
    if (kv.servesLocally(group)) {
      try {
        return await readPart(leaderRows(kv, group), question);
      } catch (error) {
        if (!(error instanceof NotLeaderError)) throw error;
      }
    }
    const answer = await forwarded(kv, group, ITEM_SERVICE, encodePageQuestion(group, question), deadlineMs);
    return decodeOutcome(answer, readPagePart);
  }
}

const isStale = (error: unknown): boolean => error instanceof StaleTableError;

/** There are items in it, or may be. */
const isServed = (table: TableDescriptor): boolean => !isGoing(table) && table.status !== 'CREATING';

/** A part that has all of its own range, where that is not all. */
function goingOn(part: PagePart, own: KvRange, range: KvRange, isReverse: boolean): PagePart {
  if (part.last !== undefined || part.next !== undefined) return part;
  const rest = isReverse ? own.start : own.end;
  const isAll = isReverse ? Buffer.compare(rest, range.start) <= 0 : Buffer.compare(rest, range.end) >= 0;
  return isAll ? part : { ...part, next: rest };
}

/** The beginning of a range. */
const upTo = ({ start, end }: KvRange, bound: Buffer | undefined): KvRange => ({
  start,
  end: bound !== undefined && Buffer.compare(bound, end) < 0 ? bound : end,
});

/** Nothing has happened, and somebody else has to do it. */
const isElsewhere = (error: unknown): boolean =>
  error instanceof NotLeaderError ||
  error instanceof NotOwnerError ||
  error instanceof RangeBusyError ||
  error instanceof CrossGroupError;
