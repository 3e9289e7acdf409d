/** What a `MemoryStore` holds, and what of it can be seen: plain values and functions of them. */
import { type HlcTimestamp, hlcTimestamp, type LogIndex } from '../../src/platform/index.ts';
import type { BodyRules, ExportedVersion, LatestVersion, SideRow } from '../../src/store/contract/types.ts';

const NO_VERSION = hlcTimestamp(0n);

export interface StoredVersion extends LatestVersion {
  /** Index of the unit that wrote it. */
  readonly index: LogIndex;
}

/** All versions of a key, oldest first; at least one. */
export interface History {
  readonly key: Buffer;
  readonly versions: StoredVersion[];
}

export interface DeletedRange {
  readonly start: Buffer;
  readonly end: Buffer;
  readonly ts: HlcTimestamp;
}

export interface Image {
  /** By key as latin-1 text. */
  histories: Map<string, History>;
  ranges: DeletedRange[];
  meta: Map<string, Buffer>;
  sides: Map<string, SideRow>;
  appliedIndex: LogIndex;
  gcThreshold: HlcTimestamp;
  maxCommitTs: HlcTimestamp;
}

export const emptyImage = (): Image => ({
  histories: new Map(),
  ranges: [],
  meta: new Map(),
  sides: new Map(),
  appliedIndex: 0,
  gcThreshold: NO_VERSION,
  maxCommitTs: NO_VERSION,
});

export const isWithin = (key: Buffer, start: Buffer, end: Buffer | undefined): boolean =>
  Buffer.compare(key, start) >= 0 && (end === undefined || Buffer.compare(key, end) < 0);

/** Where a side row stands among all, in the order of keys; text that sorts. */
export const sideName = (key: Buffer, name: Buffer): string => `${key.toString('hex')} ${name.toString('hex')}`;

/** Timestamp of the newest range delete at or below `upTo` that covers the key; 0 when none does. */
export function newestDelete(ranges: readonly DeletedRange[], key: Buffer, upTo?: HlcTimestamp): HlcTimestamp {
  let newest = NO_VERSION;
  for (const { start, end, ts } of ranges) {
    if (ts > newest && (upTo === undefined || ts <= upTo) && isWithin(key, start, end)) newest = ts;
  }
  return newest;
}

/** What is left of a range delete when a range is forgotten. */
export function cutOut(range: DeletedRange, start: Buffer, end: Buffer | undefined): DeletedRange[] {
  const smaller = (a: Buffer, b: Buffer): Buffer => (Buffer.compare(a, b) < 0 ? a : b);
  const before = { ...range, end: smaller(range.end, start) };
  const behind = end === undefined ? [] : [{ ...range, start: smaller(range.start, end) === end ? range.start : end }];
  return [before, ...behind].filter((left) => Buffer.compare(left.start, left.end) < 0);
}

/** The version that a read at `readTs` sees. */
export function visibleAt(
  { key, versions }: History,
  ranges: readonly DeletedRange[],
  readTs: HlcTimestamp,
): StoredVersion | undefined {
  const version = versions.findLast(({ commitTs }) => commitTs <= readTs);
  if (version === undefined || version.isTombstone) return undefined;
  if (version.expireTs !== 0n && version.expireTs <= readTs) return undefined;
  return newestDelete(ranges, key, readTs) >= version.commitTs ? undefined : version;
}

/** What of a key a read at or above the threshold can need; a range delete is a tombstone where it hid something. */
export function exportedOf(
  { key, versions }: History,
  ranges: readonly DeletedRange[],
  threshold: HlcTimestamp,
  isLostRow: boolean,
): ExportedVersion[] {
  const deletes = [...new Set(ranges.filter(({ start, end }) => isWithin(key, start, end)).map(({ ts }) => ts))];
  const byTs = new Map<HlcTimestamp, ExportedVersion>();
  for (const { commitTs, expireTs, value, isTombstone } of versions) {
    byTs.set(commitTs, { key, commitTs, expireTs, value: isTombstone ? undefined : value });
  }
  for (const commitTs of deletes) byTs.set(commitTs, { key, commitTs, expireTs: NO_VERSION, value: undefined });
  const inOrder = [...byTs.values()].sort((a, b) => (a.commitTs < b.commitTs ? -1 : 1));
  const written = new Set(versions.map(({ commitTs }) => commitTs));
  const told = inOrder.filter(
    ({ commitTs }, at) => written.has(commitTs) || (at > 0 && inOrder[at - 1]!.value !== undefined),
  );
  const base = told.findLastIndex(({ commitTs }) => commitTs <= threshold);
  if (base < 0) return told;
  return told.slice(told[base]!.value === undefined || isLostRow ? base + 1 : base);
}

/** The versions that a collection leaves. */
export function purgedOf(
  { key, versions }: History,
  ranges: readonly DeletedRange[],
  threshold: HlcTimestamp,
  isLostRow: boolean,
): StoredVersion[] {
  const base = versions.findLastIndex(({ commitTs }) => commitTs <= threshold);
  if (base < 0) return versions;
  const { commitTs, isTombstone } = versions[base]!;
  const isGone = isLostRow || isTombstone || newestDelete(ranges, key, threshold) >= commitTs;
  return versions.slice(isGone ? base + 1 : base);
}

/** Whether no read at or above the threshold comes to the row, because no head that it sees names the row's body. */
export function isLost({ histories, ranges, gcThreshold }: Image, bodies: BodyRules | undefined, key: Buffer): boolean {
  const body = bodies?.bodyOf(key);
  if (body === undefined) return false;
  const head = histories.get(key.toString('latin1', 0, body.headLength));
  if (head === undefined) return true;
  const atThreshold = visibleAt(head, ranges, gcThreshold);
  return !head.versions.some(
    (version) =>
      (version === atThreshold || version.commitTs > gcThreshold) &&
      !version.isTombstone &&
      bodies!.incarnationIn(head.key, version.value)?.equals(body.incarnation) === true,
  );
}

const asText = (value: unknown): Buffer =>
  Buffer.from(JSON.stringify(value, (_name, part) => (typeof part === 'bigint' ? part.toString() : part)));

const sorted = <Value>(map: ReadonlyMap<string, Value>): [string, Value][] =>
  [...map].sort(([a], [b]) => (a < b ? -1 : 1));

const hexRanges = (ranges: readonly DeletedRange[]): string[][] =>
  ranges.map(({ start, end, ts }) => [start.toString('hex'), end.toString('hex'), ts.toString()]);

/** Bytes that are equal for equal applied states, whatever was collected when. */
export function digestible(image: Image, bodies: BodyRules | undefined): Buffer {
  const { ranges, gcThreshold, appliedIndex, maxCommitTs } = image;
  const rows = sorted(image.histories).flatMap(([name, history]) =>
    exportedOf(history, ranges, gcThreshold, isLost(image, bodies, history.key)).map(
      ({ commitTs, expireTs, value }) => [name, commitTs, expireTs, value?.toString('latin1')],
    ),
  );
  const meta = sorted(image.meta).map(([name, value]) => [name, value.toString('hex')]);
  const sides = sorted(image.sides).map(([place, { value }]) => [place, value.toString('hex')]);
  const deletes = hexRanges(ranges.filter(({ ts }) => ts > gcThreshold)).sort();
  return asText({ rows, meta, sides, deletes, gcThreshold, appliedIndex, maxCommitTs });
}

/** An image as bytes. */
export function encodeImage(image: Image): Buffer {
  const { gcThreshold, appliedIndex, maxCommitTs } = image;
  const rows = sorted(image.histories).map(([name, { versions }]) => [
    name,
    versions.map((one) => [one.commitTs, one.isTombstone, one.expireTs, one.value.toString('latin1'), one.index]),
  ]);
  const meta = sorted(image.meta).map(([name, value]) => [name, value.toString('hex')]);
  const sides = sorted(image.sides).map(([place, { value }]) => [place, value.toString('hex')]);
  return asText({ rows, meta, sides, ranges: hexRanges(image.ranges), gcThreshold, appliedIndex, maxCommitTs });
}

type EncodedVersion = readonly [ts: string, isTombstone: boolean, expireTs: string, value: string, index: number];

interface EncodedImage {
  readonly rows: readonly [string, readonly EncodedVersion[]][];
  readonly meta: readonly [string, string][];
  readonly sides: readonly [string, string][];
  readonly ranges: readonly [string, string, string][];
  readonly gcThreshold: string;
  readonly appliedIndex: number;
  readonly maxCommitTs: string;
}

/** The image that `encodeImage` wrote. */
export function decodeImage(bytes: Buffer): Image {
  const encoded = JSON.parse(bytes.toString()) as EncodedImage;
  const stamp = (value: string): HlcTimestamp => hlcTimestamp(BigInt(value));
  const hex = (value: string): Buffer => Buffer.from(value, 'hex');
  const image = emptyImage();
  for (const [name, versions] of encoded.rows) {
    const read = versions.map(([commitTs, isTombstone, expireTs, value, index]) => ({
      commitTs: stamp(commitTs),
      isTombstone,
      expireTs: stamp(expireTs),
      value: Buffer.from(value, 'latin1'),
      index,
    }));
    image.histories.set(name, { key: Buffer.from(name, 'latin1'), versions: read });
  }
  for (const [name, value] of encoded.meta) image.meta.set(name, hex(value));
  for (const [place, value] of encoded.sides) {
    const [key, name] = place.split(' ').map(hex) as [Buffer, Buffer];
    image.sides.set(place, { key, name, value: hex(value) });
  }
  image.ranges = encoded.ranges.map(([start, end, ts]) => ({ start: hex(start), end: hex(end), ts: stamp(ts) }));
  image.appliedIndex = encoded.appliedIndex;
  image.gcThreshold = stamp(encoded.gcThreshold);
  image.maxCommitTs = stamp(encoded.maxCommitTs);
  return image;
}
