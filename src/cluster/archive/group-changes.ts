/**
 * The versions that were committed between two moments, in a group that is closed at the later one. What the store has noted of its writes says
 * which they are; where that does not reach back so far all is read: after a restart, a change of leaders, more writes than are noted. A range
 * delete is told as the deletes of the keys that it hid, for which the range is read.
 */
import type { HlcTimestamp, Millis } from '../../platform/index.ts';
import type { ExportedVersion, GroupStore, RecentChanges } from '../../store/index.ts';

/** Between which moments, the first one excluded. */
export interface Moments {
  readonly from: HlcTimestamp;
  readonly to: HlcTimestamp;
}

/** A range that a group owns. */
export interface ChangedSpan {
  readonly start: Buffer;
  /** Exclusive; undefined is the end of the key space. */
  readonly end: Buffer | undefined;
  /** Another one when somebody else has owned it meanwhile. */
  readonly epoch: number;
}

/** Changes of a group that is closed at the later moment. */
export interface GroupChanges {
  /** By key; the changes are of these. */
  readonly spans: readonly ChangedSpan[];
  /** Of each key in the order of timestamps, all of them in one run. */
  readonly pages: AsyncIterable<readonly ExportedVersion[]>;
  /**
   * To be called behind the last page: they are all.
   * @throws NotLeaderError, RangesMovedError: ask again; MomentCollectedError: some are gone for good
   */
  confirm(): Promise<{ readonly ceilingMs: Millis }>;
}

type Interval = Pick<ChangedSpan, 'start' | 'end'>;

const PAGE_BYTES = 1 << 20;
/** Noted versions that are looked up before the event loop gets its turn. */
const LOOKED_UP_AT_ONCE = 256;

const isBefore = (key: Buffer, end: Buffer | undefined): boolean => end === undefined || Buffer.compare(key, end) < 0;

/** Where a key lies in intervals that are sorted by key; keys have to come in order. */
class Sweep {
  private readonly intervals: readonly Interval[];
  private at = 0;

  constructor(intervals: readonly Interval[]) {
    this.intervals = intervals;
  }

  has(key: Buffer): boolean {
    while (this.at < this.intervals.length && !isBefore(key, this.intervals[this.at]!.end)) this.at += 1;
    const interval = this.intervals[this.at];
    return interval !== undefined && Buffer.compare(interval.start, key) <= 0;
  }
}

/** Intervals in order, those that touch joined. */
function joined(intervals: readonly Interval[]): Interval[] {
  const found: { start: Buffer; end: Buffer | undefined }[] = [];
  for (const { start, end } of intervals.toSorted((left, right) => Buffer.compare(left.start, right.start))) {
    const last = found.at(-1);
    if (last === undefined || (last.end !== undefined && Buffer.compare(last.end, start) < 0))
      found.push({ start, end });
    else if (last.end !== undefined && (end === undefined || Buffer.compare(end, last.end) > 0)) last.end = end;
  }
  return found;
}

/** What two lists of intervals, each sorted, have in common. */
function common(left: readonly Interval[], right: readonly Interval[]): Interval[] {
  const found: Interval[] = [];
  for (const one of left) {
    for (const other of right) {
      const start = Buffer.compare(one.start, other.start) > 0 ? one.start : other.start;
      const end =
        one.end === undefined || (other.end !== undefined && isBefore(other.end, one.end)) ? other.end : one.end;
      if (isBefore(start, end)) found.push({ start, end });
    }
  }
  return found;
}

/** See the top of the file. @param spans sorted by key */
export async function* readChanges(
  store: GroupStore,
  spans: readonly Interval[],
  { from, to }: Moments,
  onRead: (bytes: number) => Promise<void>,
): AsyncGenerator<readonly ExportedVersion[]> {
  const isWanted = (ts: HlcTimestamp): boolean => ts > from && ts <= to;
  const noted: RecentChanges | undefined = store.changesSince?.(from);
  const read =
    noted === undefined ? spans : common(spans, joined(noted.ranges.filter(({ commitTs }) => isWanted(commitTs))));
  if (noted !== undefined) yield* lookedUp(store, noted, spans, read, isWanted);
  for (const { start, end } of read) {
    let next: { readonly start: Buffer; readonly after: HlcTimestamp | undefined } | undefined = {
      start,
      after: undefined,
    };
    while (next !== undefined) {
      const page = await store.exportVersions({ ...next, end, maxBytes: PAGE_BYTES });
      const bytes = page.versions.reduce((sum, { key, value }) => sum + key.length + (value?.length ?? 0), 0);
      await onRead(bytes);
      const versions = page.versions.filter(({ commitTs }) => isWanted(commitTs));
      if (versions.length > 0) yield versions;
      next = page.next;
    }
  }
}

/** Versions that were noted, outside of what is read as a whole. */
async function* lookedUp(
  store: GroupStore,
  { versions }: RecentChanges,
  spans: readonly Interval[],
  read: readonly Interval[],
  isWanted: (ts: HlcTimestamp) => boolean,
): AsyncGenerator<readonly ExportedVersion[]> {
  const [owned, left] = [new Sweep(spans), new Sweep(read)];
  let page: ExportedVersion[] = [];
  let bytes = 0;
  for (const { key, commitTs } of versions) {
    if (!isWanted(commitTs) || !owned.has(key) || left.has(key)) continue;
    const version = await store.versionAt(key, commitTs);
    // Of an owned range nothing above the threshold goes; that the threshold stayed below is seen in the end.
    if (version === undefined) continue;
    const { isTombstone, expireTs, value } = version;
    page.push({ key, commitTs, expireTs, value: isTombstone ? undefined : value });
    bytes += key.length + value.length;
    if (page.length < LOOKED_UP_AT_ONCE && bytes < PAGE_BYTES) continue;
    yield page;
    page = [];
    bytes = 0;
  }
  if (page.length > 0) yield page;
}
