/**
 * Which range deletes cover a key. The key space is cut at every start and end that occurs; between two cuts the same set
 * of deletes holds, kept as ascending timestamps. The structure is immutable: a reader that took it keeps its state while
 * later deletes make new ones. Deleting the same range again and again (FLUSHALL) adds a timestamp, not a cut.
 */
import { type HlcTimestamp, NEVER } from '../../platform/index.ts';

/** A range delete as it is stored. */
export interface RangeTombstone {
  readonly start: Buffer;
  readonly end: Buffer;
  readonly ts: HlcTimestamp;
}

interface Fragment {
  readonly start: Buffer;
  readonly end: Buffer;
  /** Ascending, without repeats. */
  readonly timestamps: readonly HlcTimestamp[];
}

/** All range deletes of a store at one point. */
export class RangeTombstones {
  static readonly empty = new RangeTombstones([], []);

  /** In the order they were added. */
  readonly all: readonly RangeTombstone[];
  /** Disjoint, ascending; gaps are covered by nothing. */
  private readonly fragments: readonly Fragment[];

  private constructor(all: readonly RangeTombstone[], fragments: readonly Fragment[]) {
    this.all = all;
    this.fragments = fragments;
  }

  get isEmpty(): boolean {
    return this.fragments.length === 0;
  }

  /** This and one more delete. */
  with(added: RangeTombstone): RangeTombstones {
    if (Buffer.compare(added.start, added.end) >= 0) return this;
    const fragments: Fragment[] = [];
    // What of the new range is not yet covered by a fragment.
    let open = added.start;
    for (const fragment of this.fragments) {
      const { start, end, timestamps } = fragment;
      if (Buffer.compare(end, added.start) <= 0 || Buffer.compare(start, added.end) >= 0) {
        if (Buffer.compare(start, added.end) >= 0 && Buffer.compare(open, added.end) < 0) {
          fragments.push({ start: open, end: added.end, timestamps: [added.ts] });
          open = added.end;
        }
        fragments.push(fragment);
        continue;
      }
      if (Buffer.compare(start, added.start) < 0) fragments.push({ start, end: added.start, timestamps });
      const from = Buffer.compare(start, added.start) < 0 ? added.start : start;
      const to = Buffer.compare(end, added.end) > 0 ? added.end : end;
      if (Buffer.compare(open, from) < 0) fragments.push({ start: open, end: from, timestamps: [added.ts] });
      fragments.push({ start: from, end: to, timestamps: insertTimestamp(timestamps, added.ts) });
      if (Buffer.compare(end, added.end) > 0) fragments.push({ start: added.end, end, timestamps });
      open = to;
    }
    if (Buffer.compare(open, added.end) < 0) {
      fragments.push({ start: open, end: added.end, timestamps: [added.ts] });
    }
    return new RangeTombstones([...this.all, added], fragments);
  }

  /** Without the deletes at or below `ts`. */
  withoutUpTo(ts: HlcTimestamp): RangeTombstones {
    const kept = this.all.filter((range) => range.ts > ts);
    let rest = RangeTombstones.empty;
    for (const range of kept) rest = rest.with(range);
    return rest;
  }

  /**
   * Without what the deletes up to `upTo` cover of `[start, end)`: a delete that sticks out goes on hiding what lies outside.
   * @param end undefined is the end of the key space
   * @returns what is left, and which deletes went and came for that
   */
  clipped(
    start: Buffer,
    end: Buffer | undefined,
    upTo: HlcTimestamp,
  ): { readonly left: RangeTombstones; readonly removed: RangeTombstone[]; readonly added: RangeTombstone[] } {
    const touches = (range: RangeTombstone): boolean =>
      range.ts <= upTo &&
      Buffer.compare(start, range.end) < 0 &&
      (end === undefined || Buffer.compare(range.start, end) < 0);
    const removed = this.all.filter(touches);
    const kept = this.all.filter((range) => !touches(range));
    const added: RangeTombstone[] = [];
    for (const range of removed) {
      if (Buffer.compare(range.start, start) < 0) added.push({ ...range, end: start });
      if (end === undefined || Buffer.compare(range.end, end) <= 0) continue;
      // There is one delete of a timestamp and a start: the longer one holds for both.
      const isSame = (other: RangeTombstone): boolean => other.ts === range.ts && other.start.equals(end);
      const same = [...kept, ...added].find(isSame);
      const last = same !== undefined && Buffer.compare(same.end, range.end) > 0 ? same.end : range.end;
      added.push({ start: end, end: last, ts: range.ts });
    }
    let left = RangeTombstones.empty;
    for (const range of [...kept, ...added]) left = left.with(range);
    return { left, removed, added };
  }

  /** Timestamps of all deletes that cover the key, ascending. */
  timestampsOf(key: Buffer): readonly HlcTimestamp[] {
    return this.fragmentOf(key)?.timestamps ?? [];
  }

  /** Timestamp of the newest delete at or below `atTs` that covers the key; 0n when there is none. */
  covering(key: Buffer, atTs: HlcTimestamp): HlcTimestamp {
    const fragment = this.fragmentOf(key);
    if (fragment === undefined) return NEVER;
    for (let at = fragment.timestamps.length - 1; at >= 0; at--) {
      if (fragment.timestamps[at]! <= atTs) return fragment.timestamps[at]!;
    }
    return NEVER;
  }

  /** Timestamp of the newest delete that covers the key; 0n when there is none. */
  newest(key: Buffer): HlcTimestamp {
    return this.fragmentOf(key)?.timestamps.at(-1) ?? NEVER;
  }

  private fragmentOf(key: Buffer): Fragment | undefined {
    let low = 0;
    let high = this.fragments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (Buffer.compare(this.fragments[middle]!.end, key) <= 0) low = middle + 1;
      else high = middle;
    }
    const fragment = this.fragments[low];
    return fragment !== undefined && Buffer.compare(fragment.start, key) <= 0 ? fragment : undefined;
  }
}

function insertTimestamp(timestamps: readonly HlcTimestamp[], ts: HlcTimestamp): readonly HlcTimestamp[] {
  if (timestamps.includes(ts)) return timestamps;
  const at = timestamps.findIndex((other) => other > ts);
  return at === -1 ? [...timestamps, ts] : [...timestamps.slice(0, at), ts, ...timestamps.slice(at)];
}
