/**
 * Streams and their shards as clients name them. A segment of a table is a shard of its stream; ids have the time of the shard's beginning first, so
 * they sort by age.
 */
import { type Millis, timestampOfMs } from '../../../platform/index.ts';
import { DynamoError, validationError } from '../errors/index.ts';
import { streamPrefix } from '../rows/index.ts';
import type { ArnPlace, Segment, TableDescriptor, TableStream } from '../tables/index.ts';
import { type Place, startOf } from './sequence.ts';

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
  readonly segment: Segment;
  /** What the keys of its records begin with. */
  readonly prefix: Buffer;
  /** Where it begins: there is nothing before. */
  readonly start: Place;
}

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

/** Shards of a stream, the eldest first. */
export function shardsOf({ table, stream }: NamedStream): Shard[] {
  const shards = table.segments.map((segment): Shard => {
    const beganMs: Millis = Math.max(segment.createdMs, stream.enabledMs);
    const time = String(beganMs).padStart(TIME_DIGITS, '0');
    const token = segment.start.toString(16).padStart(TOKEN_DIGITS, '0');
    return {
      id: `shardId-${time}-${token}`,
      segment,
      prefix: streamPrefix(table.id, segment.start, stream.generation),
      start: startOf(timestampOfMs(beganMs)),
    };
  });
  return shards.sort((a, b) => (a.id < b.id ? -1 : 1));
}
