/** Removes fates of transactions that nobody can ask for any more: a piece of the store in each round of the maintenance. */
import { type HlcTimestamp, hlcTimestamp, type LogIndex } from '../../platform/index.ts';
import type { GroupStore } from '../../store/index.ts';
import { timestampOfMs } from '../hlc.ts';
import { physicalMs } from '../types.ts';
import { encodeForget } from './entries.ts';
import { KEEP_FATES_MS } from './leader.ts';
import { decodeFate, isFateName, txnIdOf } from './lock-rows.ts';

/** Rows looked at in one round, by size: some thousands. */
const PAGE_BYTES = 256 * 1024;
const FIRST_KEY = Buffer.alloc(0);

export class Forgetting {
  private readonly store: GroupStore;
  private readonly propose: (build: (ts: HlcTimestamp) => Buffer) => Promise<boolean>;
  /** Where the next round goes on; undefined at the beginning. */
  private place: Buffer | undefined;
  private hasFates = false;
  /** Applied index at which a walk through the store began that found no fate at all. */
  private emptyAt: LogIndex = -1;
  private beganAt: LogIndex = 0;

  /** @param propose see `GroupExecutor.proposeMaintenance` */
  constructor(store: GroupStore, propose: (build: (ts: HlcTimestamp) => Buffer) => Promise<boolean>) {
    this.store = store;
    this.propose = propose;
  }

  /** One round, on the leader. @param now the present time */
  async run(now: HlcTimestamp): Promise<void> {
    if (this.place === undefined) {
      if (this.store.appliedIndex === this.emptyAt) return;
      this.beganAt = this.store.appliedIndex;
      this.hasFates = false;
    }
    const from = this.place;
    const { sides, next } = await this.store.exportSides({
      start: FIRST_KEY,
      end: undefined,
      from,
      maxBytes: PAGE_BYTES,
    });
    const olderThanMs = physicalMs(now) - KEEP_FATES_MS;
    let olderThanTs = olderThanMs <= 0 ? hlcTimestamp(0n) : timestampOfMs(olderThanMs);
    // No group has a lock of a transaction at or below the threshold: a fate above it may still be asked for.
    if (this.store.gcThreshold < olderThanTs) olderThanTs = this.store.gcThreshold;
    const fates: { key: Buffer; txnId: Buffer }[] = [];
    for (const { key, name, value } of sides) {
      if (!isFateName(name)) continue;
      this.hasFates = true;
      if (decodeFate(value).startTs < olderThanTs) fates.push({ key, txnId: txnIdOf(name) });
    }
    if (fates.length > 0 && !(await this.propose((ts) => encodeForget({ ts, olderThanTs, fates })))) return;
    this.place = next;
    if (next === undefined && !this.hasFates) this.emptyAt = this.beganAt;
  }
}
