/**
 * The oldest transactions that may still get locks of a group: replicated, so that every leader refuses the same ones. A group
 * raises it before it says that nothing older is left of its locks; see gc/safepoint.ts.
 */
import { type HlcTimestamp, hlcTimestamp, NEVER } from '../../platform/index.ts';
import type { GroupStore, StoreWriter } from '../../store/index.ts';
import { MetaName } from '../entry/index.ts';

/** See the top of the file. Changed by apply alone. */
export class TxnFloor {
  private readonly store: GroupStore;
  private floorTs: HlcTimestamp = NEVER;

  constructor(store: GroupStore) {
    this.store = store;
  }

  /** Transactions that began at or below it get no locks; never falls. */
  get ts(): HlcTimestamp {
    return this.floorTs;
  }

  /** Takes over what the store says: on start, and after a snapshot was installed. */
  reload(): void {
    this.floorTs = hlcTimestamp(this.store.meta(MetaName.TxnFloor)?.readBigUInt64BE() ?? NEVER);
  }

  /** TXN_FLOOR was applied. */
  raise(floor: HlcTimestamp, writer: StoreWriter): void {
    if (floor <= this.floorTs) return;
    this.floorTs = floor;
    const value = Buffer.allocUnsafe(8);
    value.writeBigUInt64BE(floor);
    writer.setMeta(MetaName.TxnFloor, value);
  }

  /** True for a transaction that began too early to get a lock, by what was certified or by what was collected. */
  refuses(startTs: HlcTimestamp): boolean {
    return startTs <= this.floorTs || startTs <= this.store.gcThreshold;
  }
}
