/** ACL LOG: what was not permitted on this node, the newest first. What repeats itself within a minute is one entry with a count, as in Redis. */
import type { Clock, Millis } from '../../../platform/index.ts';
import type { AccessEntry, AccessLog } from '../command/index.ts';

/** Entries that are kept unless acllog-max-len says something else. */
export const DEFAULT_LOG_ENTRIES = 128;
/** How long an entry grows. */
const GROUPING_MS: Millis = 60_000;
/** How many of the newest entries may grow. */
const GROUPING_ENTRIES = 10;
/** What an entry keeps of a key or a name. */
const MAX_OBJECT_BYTES = 1024;

type DeniedAccess = Omit<AccessEntry, 'count' | 'ageMs'>;

interface Entry extends DeniedAccess {
  count: number;
  clientInfo: string;
  lastMs: Millis;
}

export class RecentDenials implements AccessLog {
  private readonly clock: Clock;
  private readonly maxEntries: () => number;
  private readonly list: Entry[] = [];

  constructor(clock: Clock, maxEntries: () => number) {
    this.clock = clock;
    this.maxEntries = maxEntries;
  }

  add(denied: DeniedAccess): void {
    const nowMs = this.clock.monotonicMs();
    // A copy: what it lies in may be a whole packet.
    const object = Buffer.from(denied.object.subarray(0, MAX_OBJECT_BYTES));
    const at = this.list
      .slice(0, GROUPING_ENTRIES)
      .findIndex(
        (entry) =>
          entry.reason === denied.reason &&
          entry.context === denied.context &&
          entry.userName === denied.userName &&
          nowMs - entry.lastMs <= GROUPING_MS &&
          entry.object.equals(object),
      );
    const entry = at < 0 ? { ...denied, object, count: 0, lastMs: nowMs } : this.list.splice(at, 1)[0]!;
    entry.count++;
    entry.lastMs = nowMs;
    entry.clientInfo = denied.clientInfo;
    this.list.unshift(entry);
    this.list.length = Math.min(this.list.length, this.maxEntries());
  }

  entries(count: number): readonly AccessEntry[] {
    const nowMs = this.clock.monotonicMs();
    return this.list.slice(0, count).map((entry) => ({ ...entry, ageMs: nowMs - entry.lastMs }));
  }

  reset(): void {
    this.list.length = 0;
  }
}
