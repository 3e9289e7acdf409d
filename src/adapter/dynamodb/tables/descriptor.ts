/**
 * What a table is. The stored form is JSON behind a format byte: descriptors are read by people who look for what is wrong, and are written seldom.
 * Each change makes a new version, and every fence of the table gets that version in the same transaction.
 */
import { assert } from '../../../platform/index.ts';
import { CorruptRowError, TOKEN_COUNT } from '../rows/index.ts';

/** Types that a key attribute can have. */
export type KeyAttributeType = 'S' | 'N' | 'B';

export interface KeyAttribute {
  readonly name: string;
  readonly type: KeyAttributeType;
}

/** Key attributes in order. Tables and local indexes have one hash and at most one range attribute, global indexes up to four of each. */
export interface KeySchema {
  readonly hash: readonly KeyAttribute[];
  readonly range: readonly KeyAttribute[];
}

/** What rows of an index have beside the keys of the index and of the table. */
export type Projection =
  | { readonly kind: 'ALL' }
  | { readonly kind: 'KEYS_ONLY' }
  | { readonly kind: 'INCLUDE'; readonly names: readonly string[] };

export interface Throughput {
  readonly read: number;
  readonly write: number;
  /** Unix milliseconds; undefined before the first time. */
  readonly increasedMs?: number | undefined;
  readonly decreasedMs?: number | undefined;
}

/** Limits that are kept and described, and hold nobody back. */
export interface OnDemandLimits {
  readonly read?: number | undefined;
  readonly write?: number | undefined;
}

export interface WarmThroughput {
  readonly read: number;
  readonly write: number;
}

interface IndexBase {
  readonly name: string;
  readonly key: KeySchema;
  readonly projection: Projection;
}

export interface LocalIndex extends IndexBase {
  /** 1 to 5: its place in row keys. */
  readonly number: number;
}

export type IndexState = 'CREATING' | 'ACTIVE' | 'UPDATING' | 'DELETING';

export interface GlobalIndex extends IndexBase {
  /** 1 to 255: its place in row keys; another than that of any index whose rows may be left. */
  readonly number: number;
  readonly state: IndexState;
  /** The rows of items that were there before it are still being made. */
  readonly isBackfilling: boolean;
  readonly throughput: Throughput;
  readonly onDemand?: OnDemandLimits | undefined;
  readonly warm?: WarmThroughput | undefined;
}

export type StreamViewType = 'KEYS_ONLY' | 'NEW_IMAGE' | 'OLD_IMAGE' | 'NEW_AND_OLD_IMAGES';

/** A stream of a table; each time that it is switched on there is another. */
export interface TableStream {
  /** 0 to 255. */
  readonly generation: number;
  readonly viewType: StreamViewType;
  /** When it was switched on, as the ARN says it. */
  readonly label: string;
  /** Unix milliseconds. */
  readonly enabledMs: number;
  /** Undefined while it is on. */
  readonly disabledMs?: number | undefined;
}

export interface TimeToLive {
  readonly attribute: string;
  readonly state: 'ENABLING' | 'ENABLED' | 'DISABLING' | 'DISABLED';
  /** Unix milliseconds. */
  readonly changedMs: number;
}

/** A run of tokens whose head rows lie at its first; one shard of the table's stream. */
export interface Segment {
  /** Inclusive; the first is 0. */
  readonly start: number;
  /** Unix milliseconds; later than that of the segment that it was cut from. */
  readonly createdMs: number;
  /** The segment that it was cut from; undefined for those that a table begins with. */
  readonly parent?: SegmentName | undefined;
  /**
   * Where records begin to be its own and not its parent's, whose head rows it has: a timestamp in decimal digits. Undefined where it has head rows of its
   * own, and until the parent has ended.
   */
  readonly fromTs?: string | undefined;
}

/** One of all segments that a table has had. */
export interface SegmentName {
  readonly start: number;
  readonly createdMs: number;
}

/** A segment that was cut in two. Its head rows are those of its left child. */
export interface CutSegment extends Segment {
  /** Unix milliseconds. */
  readonly cutMs: number;
  /** The timestamp, in decimal digits, from which on records are not its own any more; undefined until that is known. */
  readonly untilTs?: string | undefined;
}

/** `DELETED` is never shown: the table has no name any more, and only records of its streams are left. */
export type TableStatus = 'CREATING' | 'UPDATING' | 'DELETING' | 'DELETED' | 'ACTIVE';

export interface TableDescriptor {
  /** `FIRST_TABLE` to `LAST_TABLE`: its place in row keys. */
  readonly id: number;
  readonly name: string;
  /** Rises with every change. */
  readonly version: number;
  readonly status: TableStatus;
  /** UUID, for clients. */
  readonly tableId: string;
  /** Unix milliseconds. */
  readonly createdMs: number;
  readonly key: KeySchema;
  /** Of all key attributes, in the order in which they were declared. */
  readonly attributes: readonly KeyAttribute[];
  readonly billing: 'PROVISIONED' | 'PAY_PER_REQUEST';
  /** When it was last switched to payment per request, Unix milliseconds; undefined when it never was. */
  readonly onDemandSinceMs?: number | undefined;
  readonly throughput: Throughput;
  readonly onDemand?: OnDemandLimits | undefined;
  readonly warm?: WarmThroughput | undefined;
  readonly tableClass?: string | undefined;
  readonly isDeletionProtected: boolean;
  /** Encryption as it was asked for; described, and nothing else. */
  readonly encryption?: { readonly type: string; readonly keyArn?: string | undefined } | undefined;
  readonly localIndexes: readonly LocalIndex[];
  readonly globalIndexes: readonly GlobalIndex[];
  /** Ascending. */
  readonly segments: readonly Segment[];
  /** Those that were, for as long as streams may have records of them; undefined when there are none. */
  readonly cutSegments?: readonly CutSegment[] | undefined;
  /** The newest is the last; earlier ones are kept for as long as their records are. */
  readonly streams: readonly TableStream[];
  readonly ttl?: TimeToLive | undefined;
}

const FORMAT = 1;

/** Encodes a descriptor. */
export const encodeDescriptor = (table: TableDescriptor): Buffer =>
  Buffer.concat([Buffer.of(FORMAT), Buffer.from(JSON.stringify(table), 'utf8')]);

/** @throws CorruptRowError when another program has written it */
export function decodeDescriptor(bytes: Buffer): TableDescriptor {
  if (bytes[0] !== FORMAT)
    throw new CorruptRowError(`a table has format ${bytes[0]}, and this program knows ${FORMAT}`);
  return JSON.parse(bytes.toString('utf8', 1)) as TableDescriptor;
}

/** Where the segment of a token begins: its head rows lie there. */
export function segmentOf({ segments }: TableDescriptor, token: number): Segment {
  let low = 0;
  let high = segments.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (segments[middle]!.start <= token) low = middle;
    else high = middle - 1;
  }
  const segment = segments[low];
  assert(segment !== undefined && segment.start <= token, 'the first segment of a table begins at token 0');
  return segment;
}

/** Where a segment ends, exclusive. */
export function segmentEnd({ segments }: TableDescriptor, segment: Segment): number {
  const next = segments.find(({ start }) => start > segment.start);
  return next?.start ?? TOKEN_COUNT;
}

/** True for a table that is to go, or has gone: of what it had only streams are read. */
export const isGoing = ({ status }: Pick<TableDescriptor, 'status'>): boolean =>
  status === 'DELETING' || status === 'DELETED';

/** True when two names are of one segment. */
export const isSameSegment = (one: SegmentName, other: SegmentName): boolean =>
  one.start === other.start && one.createdMs === other.createdMs;

/** The stream that is on; undefined when none is. */
export function openStream({ streams }: TableDescriptor): TableStream | undefined {
  const newest = streams.at(-1);
  return newest?.disabledMs === undefined ? newest : undefined;
}

/** The attribute whose times items go away by; undefined when none is maintained. */
export const ttlAttribute = ({ ttl }: TableDescriptor): string | undefined =>
  ttl?.state === 'ENABLED' || ttl?.state === 'ENABLING' ? ttl.attribute : undefined;

/** Global indexes that every write maintains. */
export const maintainedIndexes = ({ globalIndexes }: TableDescriptor): readonly GlobalIndex[] =>
  globalIndexes.filter(({ state }) => state !== 'DELETING');
