/**
 * An interactive transaction: reads as it goes, keeps writes back, commits all at once. Serializable ones read what is there now and
 * lock it when they commit; a read may therefore see what a later commit refuses. Those of snapshot isolation read as of
 * their beginning.
 */
import { assert, dispositionOf, type GroupId, type HlcTimestamp, type Millis } from '../../platform/index.ts';
import { TooLargeError } from '../../raftengine/index.ts';
import { nameOf } from '../apply/index.ts';
import {
  ConflictError,
  type KeyIntent,
  type KvTransaction,
  type LiveValue,
  NotOwnerError,
  type ScanPage,
  type ScanRequest,
  type ScanRow,
  type TxnIdentity,
} from '../contract/index.ts';
import type { ReadPin } from '../time/index.ts';
import { type CommitOutcome, type CommitPlan, type Coordinator, primaryOf, type ReadRange } from './coordinator.ts';
import { pause } from './coordinator-patience.ts';
import { checkSize } from './coordinator-size.ts';
import {
  type CoordinatorParts,
  type CoveredMoment,
  type GrantedTimestamp,
  RetryTooOldError,
  TransactionAbortedError,
  TransactionUnknownError,
} from './coordinator-types.ts';
import { ReadValues, readKeys, requireCovered } from './transaction-reads.ts';
import { BufferedView, readIntent } from './transaction-view.ts';

export interface TransactionStart {
  readonly id: Buffer;
  /** Snapshot isolation reads as of this; undefined: serializable. */
  readonly moment: CoveredMoment | undefined;
  readonly granted: GrantedTimestamp;
  /** When `granted` was asked for, monotonic. */
  readonly grantedMs: Millis;
  readonly ageTs: HlcTimestamp | undefined;
}

/** How long one read may look for its group. */
const READ_TIMEOUT_MS: Millis = 5_000;

export class Transaction implements KvTransaction {
  readonly id: Buffer;
  readonly startTs: HlcTimestamp;
  private readonly parts: CoordinatorParts;
  private readonly coordinator: Coordinator;
  private readonly start: TransactionStart;
  private readonly known = new ReadValues();
  private readonly view: BufferedView;
  private readonly ranges: ReadRange[] = [];
  private readonly writtenKeys = new Map<string, Buffer>();
  private state: 'open' | 'committing' | 'committed' | 'over' = 'open';
  private commitTs: HlcTimestamp | undefined;
  /** Held while it is in use; one that was forgotten lets go by itself. */
  private readonly pin: ReadPin | undefined;
  /** Set while the outcome of a commit is not known. */
  private unknown: TxnIdentity | undefined;

  constructor(parts: CoordinatorParts, coordinator: Coordinator, start: TransactionStart) {
    this.parts = parts;
    this.coordinator = coordinator;
    this.start = start;
    this.id = start.id;
    this.startTs = start.ageTs ?? start.granted.ts;
    this.view = new BufferedView(start.granted.ts, this.known);
    // Of one that was begun again this is before what it reads at.
    this.pin = parts.pins?.pin(this.startTs, 'transaction');
  }

  get seenTs(): HlcTimestamp {
    return this.known.seenTs;
  }

  private end(state: 'committed' | 'over'): void {
    this.state = state;
    this.pin?.release();
  }

  private requireOpen(): void {
    if (this.state !== 'open') throw new TransactionAbortedError('the transaction is over');
    this.pin?.renew();
  }

  async get(key: Buffer): Promise<LiveValue | undefined> {
    this.requireOpen();
    const name = nameOf(key);
    if (!this.known.has(name) && !this.writtenKeys.has(name)) {
      if (this.known.size >= this.coordinator.limits.maxKeys) {
        throw new TooLargeError('the transaction reads too many keys');
      }
      const deadlineMs = this.parts.clock.monotonicMs() + READ_TIMEOUT_MS;
      this.known.merge(await readKeys(this.parts, [key], deadlineMs, { moment: this.start.moment }));
    }
    return this.view.get(key);
  }

  async scan(request: ScanRequest): Promise<ScanPage> {
    this.requireOpen();
    if (this.ranges.length >= this.coordinator.limits.maxKeys) {
      throw new TooLargeError('the transaction reads too many ranges');
    }
    const deadlineMs = this.parts.clock.monotonicMs() + READ_TIMEOUT_MS;
    const { moment } = this.start;
    const page = await this.page(request, moment?.ts, deadlineMs);
    // Without a moment the group's leader has chosen one: it is looked at again under a lock, and a timestamp of other clocks would miss
    // what a group wrote whose clock leads them, again and again.
    const readTs = page.readTs!;
    this.known.sawUpTo(readTs);
    const { end: upTo, start: from } = coveredBy(request, page);
    if (moment === undefined) {
      this.ranges.push({ start: from, end: upTo, readTs });
      // Its commit looks at this moment again.
      this.pin?.lower(readTs);
    }
    const rows = this.withOwnWrites(page.rows, from, upTo, request.reverse === true);
    if (rows.length <= request.limit) return { ...page, rows };
    // Own writes have pushed others out: the next page begins with those.
    const next = request.reverse === true ? rows[request.limit - 1]!.key : rows[request.limit]!.key;
    return { ...page, rows: rows.slice(0, request.limit), next };
  }

  private async page(request: ScanRequest, readTs: HlcTimestamp | undefined, deadlineMs: Millis): Promise<ScanPage> {
    const { kv, client, clock } = this.parts;
    for (let tries = 0; ; tries++) {
      const stretch = kv.stretchAt(request.start);
      const isCut = stretch.end !== undefined && stretch.end.compare(request.end) < 0;
      // Backwards the last keys come first, and they may be another group's: the page begins where that group's keys begin.
      const part = isCut && request.reverse !== true ? { ...request, end: stretch.end! } : request;
      const group =
        request.reverse === true ? this.groupBefore(request) : { group: stretch.group, start: request.start };
      if (this.start.moment !== undefined) requireCovered(this.start.moment, group.group);
      try {
        const page = await client.scan(group.group, { ...part, start: group.start }, readTs);
        const beyond = request.reverse === true ? group.start : part.end;
        const isWhole = request.reverse === true ? group.start.equals(request.start) : !isCut;
        return page.next === undefined && !isWhole ? { ...page, next: beyond } : page;
      } catch (error) {
        const mayPass = error instanceof NotOwnerError || dispositionOf(error) === 'wait';
        if (!mayPass || clock.monotonicMs() >= deadlineMs) throw error;
      }
      await pause(this.parts, tries);
    }
  }

  /** The group of the last keys below `end`, and where its keys begin. */
  private groupBefore({ start, end }: ScanRequest): { readonly group: GroupId; readonly start: Buffer } {
    const { kv } = this.parts;
    let from = start;
    let stretch = kv.stretchAt(from);
    while (stretch.end !== undefined && stretch.end.compare(end) < 0) {
      from = stretch.end;
      stretch = kv.stretchAt(from);
    }
    return { group: stretch.group, start: from };
  }

  private withOwnWrites(rows: readonly ScanRow[], start: Buffer, end: Buffer, isReverse: boolean): ScanRow[] {
    const merged = new Map(rows.map((row) => [nameOf(row.key), row]));
    for (const [name, key] of this.writtenKeys) {
      if (key.compare(start) < 0 || key.compare(end) >= 0) continue;
      const own = this.view.get(key);
      if (own === undefined) merged.delete(name);
      else merged.set(name, { key, value: own.value, expireTs: own.expireTs, commitTs: own.commitTs });
    }
    const sign = isReverse ? -1 : 1;
    return [...merged.values()].sort((a, b) => sign * a.key.compare(b.key));
  }

  put(key: Buffer, value: Buffer, expireTs: HlcTimestamp): void {
    this.requireOpen();
    this.view.put(key, value, expireTs);
    this.writtenKeys.set(nameOf(key), key);
  }

  delete(key: Buffer): void {
    this.requireOpen();
    this.view.delete(key);
    this.writtenKeys.set(nameOf(key), key);
  }

  async commit(deadlineMs: Millis): Promise<HlcTimestamp> {
    if (this.state === 'committed') return this.commitTs!;
    if (this.unknown !== undefined) return this.settle(await this.askAgain(this.unknown, deadlineMs));
    this.requireOpen();
    if (this.parts.clock.monotonicMs() - this.start.grantedMs > this.coordinator.limits.maxAgeMs) {
      this.end('over');
      throw new RetryTooOldError('the transaction is older than a transaction may be');
    }
    this.state = 'committing';
    try {
      return this.settle(await this.commitOnce(deadlineMs));
    } catch (error) {
      if (error instanceof TransactionUnknownError) this.unknown = this.identity(error.primary);
      else this.end('over');
      throw error;
    }
  }

  private async askAgain(txn: TxnIdentity, deadlineMs: Millis): Promise<CommitOutcome> {
    const outcome = await this.coordinator.statusOf(txn, deadlineMs);
    this.unknown = undefined;
    return outcome;
  }

  private identity(primary: Buffer): TxnIdentity {
    return { txnId: this.id, primary, startTs: this.startTs };
  }

  private async commitOnce(deadlineMs: Millis): Promise<CommitOutcome> {
    const { moment } = this.start;
    const isReadOnly = this.view.isReadOnly;
    // A snapshot needs nobody's consent, and a transaction that did nothing happened at any time.
    if (isReadOnly && (moment !== undefined || (this.known.size === 0 && this.ranges.length === 0))) {
      return { kind: 'committed', commitTs: this.start.granted.ts };
    }
    const intents = moment === undefined ? this.view.intents() : this.firstCommitterWins(moment);
    // Its status is decided at a key that is locked, so a transaction that has only scanned locks one.
    if (intents.length === 0) intents.push(readIntent(this.ranges[0]!.start, undefined));
    checkSize(intents, this.coordinator.limits, this.parts);
    const plan: CommitPlan = {
      txn: this.identity(primaryOf(intents, this.ranges)),
      granted: this.start.granted,
      intents,
      ranges: this.ranges,
      deadlineMs,
    };
    return isReadOnly ? this.coordinator.verify(plan) : this.coordinator.commit(plan);
  }

  /**
   * Nobody has written what a snapshot writes since its moment, whether it was read or not. To compare versions is not enough: a key that
   * was absent then and is absent now may have been written and deleted.
   */
  private firstCommitterWins({ ts }: CoveredMoment): KeyIntent[] {
    return this.view.intents(false).map((intent) => ({ ...intent, expected: undefined, notAboveTs: ts }));
  }

  private settle(outcome: CommitOutcome): HlcTimestamp {
    if (outcome.kind === 'committed') {
      this.end('committed');
      this.commitTs = outcome.commitTs;
      return outcome.commitTs;
    }
    this.end('over');
    if (outcome.reason === 'tooOld') throw new RetryTooOldError('the transaction began too long ago');
    if (outcome.reason === 'rolledBack') throw new TransactionAbortedError('the transaction was rolled back');
    throw new ConflictError(`the transaction lost against others (${outcome.reason})`);
  }

  async rollback(): Promise<void> {
    assert(this.state !== 'committed', 'a committed transaction cannot be rolled back');
    // Nothing is locked before the commit, and a commit cleans up after itself.
    if (this.state === 'open') this.end('over');
  }
}

/** The part of the range that a page is about. */
function coveredBy(
  { start, end, reverse }: ScanRequest,
  { next }: ScanPage,
): { readonly start: Buffer; readonly end: Buffer } {
  if (next === undefined) return { start, end };
  return reverse === true ? { start: next, end } : { start, end: next };
}
