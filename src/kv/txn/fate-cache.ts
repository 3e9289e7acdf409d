/** Remembers how transactions ended, the most recently asked for. A fate never changes, so what is remembered is true. */
import type { Fate } from '../contract/index.ts';

/** Enough for the locks of some seconds; an entry has about 200 bytes. */
export const MAX_REMEMBERED_FATES = 65_536;

export class FateCache {
  /** In the order of use, the oldest first. */
  private readonly fates = new Map<string, Fate>();
  private readonly limit: number;

  constructor(limit = MAX_REMEMBERED_FATES) {
    this.limit = limit;
  }

  get size(): number {
    return this.fates.size;
  }

  get(txnId: Buffer): Fate | undefined {
    const name = txnId.toString('latin1');
    const fate = this.fates.get(name);
    if (fate === undefined) return undefined;
    this.fates.delete(name);
    this.fates.set(name, fate);
    return fate;
  }

  set(txnId: Buffer, fate: Fate): void {
    const name = txnId.toString('latin1');
    this.fates.delete(name);
    this.fates.set(name, fate);
    if (this.fates.size <= this.limit) return;
    const [oldest] = this.fates.keys();
    this.fates.delete(oldest!);
  }
}
