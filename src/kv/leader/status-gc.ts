/**
 * Removes statuses of transactions that nobody can ask for any more: a piece of the store in each round of the maintenance. A walk
 * through all of them is begun when the oldest that the last one has left is due.
 */
import {
  END_OF_TIME,
  earlierBy,
  type HlcTimestamp,
  type LogIndex,
  laterBy,
  type Millis,
  NEVER,
} from '../../platform/index.ts';
import type { GroupStore } from '../../store/index.ts';
import { decodeStatus, isStatusName, txnIdOf } from '../apply/index.ts';
import { encodeForget } from '../entry/index.ts';
import { KEEP_STATUSES_MS, MAX_TXN_AGE_MS } from './txn-participant.ts';

/** Rows looked at in one round, by size: some thousands. */
const PAGE_BYTES = 256 * 1024;
const FIRST_KEY = Buffer.alloc(0);
/** Between two walks that find something. */
const WALK_REST_MS: Millis = 60_000;

export class StatusGc {
  private readonly store: GroupStore;
  private readonly propose: (build: (ts: HlcTimestamp) => Buffer) => Promise<boolean>;
  /** Where the next round goes on; undefined at the beginning. */
  private place: Buffer | undefined;
  private hasStatuses = false;
  /** Of the statuses that this walk has left where they are. */
  private oldestTs: HlcTimestamp = END_OF_TIME;
  private hasForgotten = false;
  /** Before statuses as old as this are due there is nothing to walk for. */
  private restsUpToTs: HlcTimestamp = NEVER;
  /** Applied index at which a walk through the store began that found no status at all. */
  private emptyAt: LogIndex = -1;
  private beganAt: LogIndex = 0;

  /** @param propose see `GroupExecutor.proposeMaintenance` */
  constructor(store: GroupStore, propose: (build: (ts: HlcTimestamp) => Buffer) => Promise<boolean>) {
    this.store = store;
    this.propose = propose;
  }

  /** One round, on the leader. @param now the present time */
  async run(now: HlcTimestamp): Promise<void> {
    const olderThanTs = this.olderThan(now);
    if (this.place === undefined) {
      if (this.store.appliedIndex === this.emptyAt || olderThanTs < this.restsUpToTs) return;
      this.beganAt = this.store.appliedIndex;
      this.hasStatuses = false;
      this.hasForgotten = false;
      // What is written from now on began after this.
      this.oldestTs = earlierBy(now, MAX_TXN_AGE_MS);
    }
    const from = this.place;
    const { sides, next } = await this.store.exportSides({
      start: FIRST_KEY,
      end: undefined,
      from,
      maxBytes: PAGE_BYTES,
    });
    const statuses: { key: Buffer; txnId: Buffer }[] = [];
    for (const { key, name, value } of sides) {
      if (!isStatusName(name)) continue;
      this.hasStatuses = true;
      const { startTs } = decodeStatus(value);
      if (startTs < olderThanTs) statuses.push({ key, txnId: txnIdOf(name) });
      else if (startTs < this.oldestTs) this.oldestTs = startTs;
    }
    if (statuses.length > 0 && !(await this.propose((ts) => encodeForget({ ts, olderThanTs, statuses })))) return;
    this.place = next;
    if (statuses.length > 0) this.hasForgotten = true;
    if (next !== undefined) return;
    if (!this.hasStatuses) this.emptyAt = this.beganAt;
    // While some are due all the time, a walk is for those of a minute.
    const aMinuteOnTs = laterBy(olderThanTs, WALK_REST_MS);
    this.restsUpToTs = this.hasForgotten && aMinuteOnTs > this.oldestTs ? aMinuteOnTs : this.oldestTs;
  }

  /** Statuses of transactions that began before are forgotten. */
  private olderThan(now: HlcTimestamp): HlcTimestamp {
    const keptTs = earlierBy(now, KEEP_STATUSES_MS);
    const { gcThreshold } = this.store;
    // No group has a lock of a transaction at or below the threshold: a status above it may still be asked for.
    if (gcThreshold < keptTs) return gcThreshold;
    return keptTs;
  }
}
