/** Remembers how transactions ended, the most recently asked for. A status never changes, so what is remembered is true. */
import type { TxnStatus } from '../contract/index.ts';

/** Enough for the locks of some seconds; an entry has about 200 bytes. */
export const MAX_REMEMBERED_STATUSES = 65_536;

export class TxnStatusCache {
  /** In the order of use, the oldest first. */
  private readonly statuses = new Map<string, TxnStatus>();
  private readonly limit: number;

  constructor(limit = MAX_REMEMBERED_STATUSES) {
    this.limit = limit;
  }

  get size(): number {
    return this.statuses.size;
  }

  get(txnId: Buffer): TxnStatus | undefined {
    const name = txnId.toString('latin1');
    const status = this.statuses.get(name);
    if (status === undefined) return undefined;
    this.statuses.delete(name);
    this.statuses.set(name, status);
    return status;
  }

  set(txnId: Buffer, status: TxnStatus): void {
    const name = txnId.toString('latin1');
    this.statuses.delete(name);
    this.statuses.set(name, status);
    if (this.statuses.size <= this.limit) return;
    const [oldest] = this.statuses.keys();
    this.statuses.delete(oldest!);
  }
}
