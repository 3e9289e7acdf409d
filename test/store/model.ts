/** The store as one would write it without caring for speed: every version of every key, for ever. */
import { type HlcTimestamp, hlcTimestamp, type SeededRandom } from '../../src/platform/index.ts';
import type { StoreRow } from '../../src/store/contract/types.ts';

export interface ModelVersion {
  readonly commitTs: bigint;
  readonly expireTs: bigint;
  /** Undefined is a tombstone. */
  readonly value: Buffer | undefined;
}

interface ModelRange {
  readonly start: Buffer;
  readonly end: Buffer;
  readonly ts: bigint;
}

/** Of a slice of collection: one key, or as many as there are. */
export const sliceBytes = (random: SeededRandom): number | undefined => (random.int(2) === 0 ? 1 : undefined);

/** Keys in it are latin-1 text. */
export class StoreModel {
  private versions = new Map<string, ModelVersion[]>();
  private ranges: ModelRange[] = [];

  copy(): StoreModel {
    const copy = new StoreModel();
    copy.versions = new Map([...this.versions].map(([key, versions]) => [key, [...versions]]));
    copy.ranges = [...this.ranges];
    return copy;
  }

  set(key: Buffer, version: ModelVersion): void {
    const name = key.toString('latin1');
    const versions = (this.versions.get(name) ?? []).filter((other) => other.commitTs !== version.commitTs);
    this.versions.set(name, [version, ...versions]);
  }

  deleteRange(start: Buffer, end: Buffer, ts: bigint): void {
    if (Buffer.compare(start, end) < 0) this.ranges.push({ start, end, ts });
  }

  /** Forgets keys, versions and what range deletes cover. */
  dropRange(start: Buffer, end: Buffer): void {
    for (const name of [...this.versions.keys()]) {
      const key = Buffer.from(name, 'latin1');
      if (Buffer.compare(start, key) <= 0 && Buffer.compare(key, end) < 0) this.versions.delete(name);
    }
    const { ranges } = this;
    this.ranges = [];
    for (const range of ranges) {
      this.deleteRange(range.start, Buffer.compare(range.end, start) < 0 ? range.end : start, range.ts);
      this.deleteRange(Buffer.compare(range.start, end) > 0 ? range.start : end, range.end, range.ts);
    }
  }

  /** The version with exactly this timestamp; undefined is a tombstone, null is none. */
  valueAt(key: Buffer, ts: bigint): Buffer | undefined | null {
    if (this.coveredTs(key, ts) === ts) return undefined;
    const version = this.versions.get(key.toString('latin1'))?.find(({ commitTs }) => commitTs === ts);
    return version === undefined ? null : version.value;
  }

  private coveredTs(key: Buffer, atTs: bigint): bigint {
    let newest = 0n;
    for (const { start, end, ts } of this.ranges) {
      const covers = Buffer.compare(start, key) <= 0 && Buffer.compare(key, end) < 0;
      if (covers && ts <= atTs && ts > newest) newest = ts;
    }
    return newest;
  }

  /** What `latest` answers. */
  latest(
    key: Buffer,
    threshold: bigint,
  ): { commitTs: bigint; expireTs: bigint; value: Buffer | undefined } | undefined {
    const newest = this.versions.get(key.toString('latin1'))?.[0];
    const covered = this.coveredTs(key, 1n << 63n);
    const seen =
      newest === undefined || covered >= newest.commitTs
        ? { commitTs: covered, expireTs: 0n, value: undefined }
        : newest;
    return seen.value === undefined && seen.commitTs <= threshold ? undefined : seen;
  }

  get(key: Buffer, readTs: bigint): StoreRow | undefined {
    const version = this.versions.get(key.toString('latin1'))?.find(({ commitTs }) => commitTs <= readTs);
    if (version?.value === undefined || this.coveredTs(key, readTs) >= version.commitTs) return undefined;
    if (version.expireTs !== 0n && version.expireTs <= readTs) return undefined;
    return {
      key,
      commitTs: hlcTimestamp(version.commitTs),
      expireTs: hlcTimestamp(version.expireTs),
      value: version.value,
    };
  }

  /** All visible rows of a range, ascending. */
  scan(start: Buffer, end: Buffer, readTs: bigint): StoreRow[] {
    const rows: StoreRow[] = [];
    for (const name of [...this.versions.keys()].sort((a, b) => (a < b ? -1 : 1))) {
      const key = Buffer.from(name, 'latin1');
      if (Buffer.compare(key, start) < 0 || Buffer.compare(key, end) >= 0) continue;
      const row = this.get(key, readTs);
      if (row !== undefined) rows.push(row);
    }
    return rows;
  }

  /** Keys whose newest version is neither a tombstone nor covered, whether expired or not. */
  liveKeys(isCounted: (key: Buffer) => boolean): number {
    let count = 0;
    for (const name of this.versions.keys()) {
      const key = Buffer.from(name, 'latin1');
      if (isCounted(key) && this.latest(key, -1n)?.value !== undefined) count++;
    }
    return count;
  }

  expired(atTs: bigint): { key: Buffer; commitTs: HlcTimestamp }[] {
    const found: { key: Buffer; commitTs: HlcTimestamp }[] = [];
    for (const name of [...this.versions.keys()].sort()) {
      const key = Buffer.from(name, 'latin1');
      const latest = this.latest(key, -1n);
      if (latest?.value === undefined || latest.expireTs === 0n || latest.expireTs > atTs) continue;
      found.push({ key, commitTs: hlcTimestamp(latest.commitTs) });
    }
    return found;
  }
}
