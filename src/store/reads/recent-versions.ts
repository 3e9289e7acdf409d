/**
 * Newest versions that were read or flushed lately, so that a hot key costs a map lookup instead of a search in LevelDB.
 * An entry mirrors the L row of its key as it is on disk, and has its value, which may lie apart; whoever changes such rows must tell the cache. Two maps take
 * turns: what is not touched while the younger one fills up to half of the budget is forgotten with the older one.
 */
import type { HlcTimestamp } from '../../platform/index.ts';
import type { LatestVersion } from '../contract/index.ts';
import type { BaseVersion } from '../flush/index.ts';

/** Rough cost of an entry beside its bytes: two objects, two buffers' heads, a map slot. */
const OVERHEAD_BYTES = 300;

/** A newest version with its value. */
export interface RecentVersion extends LatestVersion, BaseVersion {
  readonly commitTs: HlcTimestamp;
  readonly isTombstone: boolean;
  readonly expireTs: HlcTimestamp;
  readonly value: Buffer;
  readonly row: Buffer;
  readonly isValueApart: boolean;
}

export class RecentVersions {
  private readonly halfBytes: number;
  private young = new Map<string, RecentVersion>();
  private old = new Map<string, RecentVersion>();
  private youngBytes = 0;

  /** @param budgetBytes what all entries together may take, about */
  constructor(budgetBytes: number) {
    this.halfBytes = budgetBytes / 2;
  }

  get(name: string): RecentVersion | undefined {
    const young = this.young.get(name);
    if (young !== undefined) return young;
    const old = this.old.get(name);
    if (old !== undefined) this.set(name, old);
    return old;
  }

  /** Without keeping it for longer: the key is about to be written, and comes back with the flush. */
  peek(name: string): RecentVersion | undefined {
    return this.young.get(name) ?? this.old.get(name);
  }

  set(name: string, version: RecentVersion): void {
    const replaced = this.young.get(name);
    this.youngBytes += version.row.length;
    if (replaced === undefined) this.youngBytes += name.length + OVERHEAD_BYTES;
    else this.youngBytes -= replaced.row.length;
    this.young.set(name, version);
    if (this.youngBytes < this.halfBytes) return;
    this.old = this.young;
    this.young = new Map();
    this.youngBytes = 0;
  }

  delete(name: string): void {
    const young = this.young.get(name);
    if (young !== undefined) {
      this.young.delete(name);
      this.youngBytes -= name.length + young.row.length + OVERHEAD_BYTES;
    }
    this.old.delete(name);
  }

  clear(): void {
    this.young.clear();
    this.old.clear();
    this.youngBytes = 0;
  }
}
