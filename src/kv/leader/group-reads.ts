/** Reads that look at more than a key: from applied state, once everything before the call is in it. */
import { type HlcTimestamp, NEVER } from '../../platform/index.ts';
import type { GroupStore } from '../../store/index.ts';
import { type GroupStateMachine, refusalOf } from '../apply/index.ts';
import { type LiveValue, RangeBusyError, type ScanPage, type ScanRequest, type ScanRow } from '../contract/index.ts';
import { isLocalKey } from '../entry/index.ts';
import type { OpenReads } from './open-reads.ts';
import type { ReadableRange, SpanGate } from './span-gate.ts';
import type { AccessListener } from './view.ts';

/** Times that a group counts again because a move changed something meanwhile. */
const MAX_COUNTS = 5;

const ALL_KEYS = Buffer.alloc(0);
/** No key that is counted begins with this byte. */
const BEHIND_ALL_KEYS = Buffer.of(0xff);

/** What this needs of the group's executor. */
export interface GroupReadsOptions {
  readonly stateMachine: GroupStateMachine;
  readonly store: GroupStore;
  readonly gate: SpanGate;
  /** Settles when everything in flight is applied and this node was the leader after the call. */
  readonly catchUp: () => Promise<void>;
  /**
   * A timestamp above everything acknowledged and below everything that is still to be proposed; or `at`, above which
   * everything lies that is still to be proposed.
   */
  readonly readTimestamp: (at?: HlcTimestamp) => HlcTimestamp;
  /** Settles when nothing of a range can be committed at or below a timestamp any more. @throws LockedError */
  readonly settleLocks: (start: Buffer, end: Buffer, readTs: HlcTimestamp) => Promise<void>;
  readonly openReads: OpenReads;
  readonly onAccess?: AccessListener | undefined;
  /** This node serves as the leader, and nobody else can while this is said. */
  readonly holdsLease: () => boolean;
  /** Settles when this node was the leader after the call. */
  readonly stillLeads: () => Promise<void>;
}

export class GroupReads {
  private readonly options: GroupReadsOptions;

  constructor(options: GroupReadsOptions) {
    this.options = options;
  }

  /** What the oldest read of the past that is under way here is at, of whatever kind; undefined: there is none. */
  oldestUnderWay(): HlcTimestamp | undefined {
    return this.options.openReads.oldest();
  }

  /** See `KvService.readNow`. What is acknowledged was applied here before, so applied state has it. */
  now(keys: readonly Buffer[]): readonly (LiveValue | undefined)[] | undefined {
    const { store, stateMachine, gate, holdsLease, onAccess } = this.options;
    if (!holdsLease()) return undefined;
    const { locks } = stateMachine;
    const values: (LiveValue | undefined)[] = [];
    for (const key of keys) {
      if (isLocalKey(key) || gate.refuse(key, 'read') !== undefined) return undefined;
      // A transaction that holds it may have been acknowledged by another group.
      if (locks.size > 0 && locks.againstRead(key) !== undefined) return undefined;
      const latest = store.latest(key);
      const value = latest?.isTombstone === true ? undefined : latest;
      // Whether it has expired a timestamp says, and none is drawn here.
      if (value !== undefined && value.expireTs !== NEVER) return undefined;
      onAccess?.(key, false, value === undefined ? 0 : value.value.length);
      values.push(value);
    }
    return values;
  }

  /** See `GroupExecutor.scan`. @param at what to read at; left out: a new timestamp */
  async scan(request: ScanRequest, at?: HlcTimestamp): Promise<ScanPage> {
    if (at !== undefined) return this.page(request, at);
    const { foreignTs } = this.options.stateMachine;
    const page = await this.page(request, undefined);
    // A transaction whose lock was waited for was acknowledged elsewhere, perhaps before the call, and committed above the
    // page's moment. All such locks have ended, so a second look sees what they left.
    const isBehind =
      this.options.stateMachine.foreignTs > foreignTs && this.options.stateMachine.foreignTs > page.readTs!;
    return isBehind ? this.page(request, undefined) : page;
  }

  private async page(request: ScanRequest, at: HlcTimestamp | undefined): Promise<ScanPage> {
    const readable = this.readable(request);
    const readTs = this.options.readTimestamp(at);
    return this.options.openReads.during(readTs, () => this.pageAt(request, readable, readTs));
  }

  private async pageAt(request: ScanRequest, { pieces, next }: ReadableRange, readTs: HlcTimestamp): Promise<ScanPage> {
    const { store, stateMachine, catchUp, settleLocks, stillLeads } = this.options;
    const { spanTable } = stateMachine;
    await catchUp();
    for (const { start, end } of pieces) await settleLocks(start, end, readTs);
    let rows: readonly ScanRow[] = [];
    let goOn: Buffer | undefined;
    const { maxBytes = Number.POSITIVE_INFINITY } = request;
    let bytes = 0;
    for (const { start, end } of pieces) {
      if (rows.length === request.limit || bytes >= maxBytes) goOn = request.reverse === true ? end : start;
      if (goOn !== undefined) break;
      const left = { limit: request.limit - rows.length, maxBytes: maxBytes - bytes };
      const page = await store.scan({ ...request, ...left, start, end, readTs });
      rows = rows.length === 0 ? page.rows : rows.concat(page.rows);
      goOn = page.next;
      if (request.maxBytes !== undefined) bytes += bytesOf(page.rows);
    }
    // What a move took away while the page was read may have been deleted under it.
    if (stateMachine.spanTable !== spanTable) {
      for (const { start, end } of pieces) {
        const { rest } = stateMachine.spanTable.intersect(start, end, 'read');
        if (rest !== undefined) throw refusalOf(rest.verdict);
      }
    }
    await stillLeads();
    const { onAccess } = this.options;
    if (onAccess !== undefined) {
      // Looking and finding nothing is work too.
      if (rows.length === 0) onAccess(request.start, false, 0);
      for (const { key, value } of rows) onAccess(key, false, value.length);
    }
    return { rows, next: goOn ?? next, readTs };
  }

  /** Pieces in the order of the scan. @throws NotOwnerError, RangeBusyError */
  private readable({ start, end, reverse }: ScanRequest): ReadableRange {
    const { gate } = this.options;
    const range = gate.readable(start, end);
    if (reverse !== true) return range;
    // What lies beyond comes first in this order, and is another group's to answer.
    if (range.next !== undefined) throw gate.refuse(range.next, 'read') ?? new RangeBusyError('the range is changing');
    return { pieces: [...range.pieces].reverse(), next: undefined };
  }

  /** See `GroupExecutor.countKeys`. */
  async countKeys(counterClass: number): Promise<number> {
    const { store, stateMachine, catchUp, readTimestamp, settleLocks } = this.options;
    const readTs = readTimestamp();
    await catchUp();
    // What a transaction has put or deleted counts once its locks are gone, and it may have been acknowledged before.
    await settleLocks(ALL_KEYS, BEHIND_ALL_KEYS, readTs);
    for (let tries = 1; ; tries++) {
      await store.dropping(ALL_KEYS, undefined);
      await store.settleCounters();
      const revision = stateMachine.spanRevision;
      let foreign = 0;
      for (const { state, isPurged, start, end } of stateMachine.spanTable.spans) {
        const isForeign = state === 'INCOMING' || (state === 'MOVED_OUT' && !isPurged);
        if (isForeign) foreign += await store.countRange(counterClass, start, end);
      }
      // Under a steady stream of imports the last count has to do.
      if (stateMachine.spanRevision === revision || tries === MAX_COUNTS) {
        return Math.max(0, store.liveKeys(counterClass) - foreign);
      }
    }
  }
}

const bytesOf = (rows: readonly ScanRow[]): number =>
  rows.reduce((bytes, { key, value }) => bytes + key.length + value.length, 0);
