/**
 * Streams and their shards as clients name them. A segment of a table is a shard of its stream; ids have the time of the shard's beginning first, so
 * they sort by age. A segment that was cut in two is the parent of two shards.
 */
import { type HlcTimestamp, hlcTimestamp, type Millis, timestampOfMs } from '../../../platform/index.ts';
import { DynamoError, validationError } from '../errors/index.ts';
import { streamPrefix } from '../rows/index.ts';
import {
  type ArnPlace,
  type CutSegment,
  isSameSegment,
  type Segment,
  type SegmentName,
  type TableDescriptor,
  type TableStream,
} from '../tables/index.ts';
import { type Place, startOf } from './sequence.ts';

/** How long records are promised. */
export const RETENTION_MS: Millis = 24 * 60 * 60 * 1000;
/** When they are deleted: whoever reads at the horizon has this time to ask for what is next. */
export const DELETED_AFTER_MS: Millis = RETENTION_MS + 60 * 60 * 1000;
/** A shard is said to begin so much before it was made: timestamps of its records may be those of a clock that is behind. */
const CLOCKS_MS: Millis = 60 * 1000;

const STREAM_ARN = /^arn:[a-z-]+:dynamodb:[a-z0-9-]*:\d*:table\/([a-zA-Z0-9_.-]+)\/stream\/(.+)$/;
/** Clients refuse ids of shards that are shorter than 28 characters. */
const TIME_DIGITS = 20;
const TOKEN_DIGITS = 8;

/** A table and a stream of it. */
export interface NamedStream {
  readonly table: TableDescriptor;
  readonly stream: TableStream;
}

/** One of the runs of tokens that a stream is read by. */
export interface Shard {
  readonly id: string;
  /** The shard that it was cut from; undefined where the stream has none. */
  readonly parentId: string | undefined;
  readonly segment: Segment;
  /** What the keys of its records begin with. */
  readonly prefix: Buffer;
  /** Where it begins: there is nothing before. */
  readonly start: Place;
  readonly end: ShardEnd;
}

/** How far a shard goes. */
export type ShardEnd =
  /** Records are still written to it. */
  | { readonly kind: 'open' }
  /** It was cut a moment ago, and which record was its last is not settled yet. */
  | { readonly kind: 'ending' }
  /** What has this timestamp or a later one is not its own. */
  | { readonly kind: 'cut'; readonly untilTs: HlcTimestamp }
  /** Its stream was switched off. */
  | { readonly kind: 'off' };

/** A stream of a table, as ARNs and answers name it. */
export const streamArn = ({ region, accountId }: ArnPlace, table: string, label: string): string =>
  `arn:aws:dynamodb:${region}:${accountId}:table/${table}/stream/${label}`;

/** @throws DynamoError ValidationException for what is no ARN of a stream */
export function partsOfArn(arn: string): { readonly table: string; readonly label: string } {
  const match = STREAM_ARN.exec(arn);
  if (match === null) throw validationError(`Invalid StreamArn: ${arn}`);
  return { table: match[1]!, label: match[2]! };
}

/** There is no such stream, or none any more. */
export const streamNotFound = (arn: string): DynamoError =>
  new DynamoError('ResourceNotFoundException', `Requested resource not found: Stream: ${arn} not found`);

/** Parents of shards are there for as long as they may have records. */
const isKept = ({ cutMs }: CutSegment, nowMs: Millis): boolean => nowMs - cutMs <= DELETED_AFTER_MS;

/** Shards of a stream, parents before their children. @param nowMs on the wall clock */
export function shardsOf({ table, stream }: NamedStream, nowMs: Millis): Shard[] {
  const { enabledMs, disabledMs = Number.POSITIVE_INFINITY } = stream;
  const idOf = ({ start, createdMs }: SegmentName): string => {
    const time = String(Math.max(createdMs, enabledMs)).padStart(TIME_DIGITS, '0');
    return `shardId-${time}-${start.toString(16).padStart(TOKEN_DIGITS, '0')}`;
  };
  const cut = (table.cutSegments ?? []).filter((one) => one.cutMs > enabledMs && isKept(one, nowMs));
  const shardOf = (segment: Segment, end: ShardEnd): Shard => {
    const parent = cut.find((one) => segment.parent !== undefined && isSameSegment(one, segment.parent));
    const beganMs: Millis = Math.max(segment.createdMs, enabledMs) - CLOCKS_MS;
    return {
      id: idOf(segment),
      parentId: parent === undefined ? undefined : idOf(parent),
      segment,
      prefix: streamPrefix(table.id, segment.start, stream.generation),
      start: startOf(segment.fromTs === undefined ? timestampOfMs(beganMs) : hlcTimestamp(BigInt(segment.fromTs))),
      end: stream.disabledMs === undefined ? end : end.kind === 'open' ? { kind: 'off' } : end,
    };
  };
  const endOf = ({ untilTs }: CutSegment): ShardEnd =>
    untilTs === undefined ? { kind: 'ending' } : { kind: 'cut', untilTs: hlcTimestamp(BigInt(untilTs)) };
  // Children are shown when it is settled where their parent ends: who reads one before the other reads them in order.
  const ending = cut.filter(({ untilTs }) => untilTs === undefined);
  const isBorn = ({ createdMs, parent }: Segment): boolean =>
    createdMs < disabledMs && !ending.some((one) => parent !== undefined && isSameSegment(one, parent));
  const shards = [
    ...cut.filter(isBorn).map((segment) => shardOf(segment, endOf(segment))),
    ...table.segments.filter(isBorn).map((segment) => shardOf(segment, { kind: 'open' })),
  ];
  return shards.sort((a, b) => (a.id < b.id ? -1 : 1));
}
