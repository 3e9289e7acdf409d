/** ListStreams, DescribeStream, GetShardIterator, GetRecords. */
import { earlierBy, type HlcTimestamp, hlcTimestamp, type Millis, timestampOfMs } from '../../../platform/index.ts';
import { DynamoError, validationError } from '../errors/index.ts';
import { StaleTableError } from '../items/index.ts';
import { type AnyOperation, declareOperation, type RequestContext } from '../operation/index.ts';
import { decodeFence, fenceKey, streamLaneByTime } from '../rows/index.ts';
import {
  attributesOf,
  type TableDescriptor,
  type TableDirectory,
  type TableServices,
  type TableStream,
  tableNameOf,
} from '../tables/index.ts';
import { prefixEnd } from '../values/index.ts';
import { decodeIterator, encodeIterator, type ShardIterator } from './iterator.ts';
import { behind, endOf, later, type Place, placeOf, sequenceNumber, startOf } from './sequence.ts';
import {
  DELETED_AFTER_MS,
  type NamedStream,
  partsOfArn,
  RETENTION_MS,
  type Shard,
  shardsOf,
  streamArn,
  streamNotFound,
} from './shard.ts';
import { lastPlace, readShard, type ShardPage } from './shard-reader.ts';
import { shownRecord } from './shown-record.ts';

const MAX_PAGE = 100;
const MAX_RECORDS = 1000;

/** What streams of a node stand on. */
export interface StreamServices extends Pick<TableServices, 'cluster' | 'clock'> {
  readonly directory: TableDirectory;
}

interface ListInput {
  readonly TableName?: string;
  readonly Limit?: number;
  readonly ExclusiveStartStreamArn?: string;
}

interface DescribeInput {
  readonly StreamArn: string;
  readonly Limit?: number;
  readonly ExclusiveStartShardId?: string;
  readonly ShardFilter?: { readonly Type?: string; readonly ShardId?: string };
}

interface IteratorInput {
  readonly StreamArn: string;
  readonly ShardId: string;
  readonly ShardIteratorType: 'TRIM_HORIZON' | 'LATEST' | 'AT_SEQUENCE_NUMBER' | 'AFTER_SEQUENCE_NUMBER';
  readonly SequenceNumber?: string;
}

interface RecordsInput {
  readonly ShardIterator: string;
  readonly Limit?: number;
}

/** A stream that was switched off is there for as long as its records are. */
const isReadable = ({ disabledMs }: TableStream, nowMs: Millis): boolean =>
  disabledMs === undefined || nowMs - disabledMs <= RETENTION_MS;

const trimmed = (): DynamoError =>
  new DynamoError(
    'TrimmedDataAccessException',
    'The operation attempted to read past the oldest stream record in a shard.',
  );

const shardNotFound = (shardId: string, arn: string): DynamoError =>
  new DynamoError(
    'ResourceNotFoundException',
    `Requested resource not found: Shard: ${shardId} in Stream: ${arn} not found`,
  );

class StreamReads {
  private readonly services: StreamServices;

  constructor(services: StreamServices) {
    this.services = services;
  }

  /** A stream as it is known, or as it is now. @throws DynamoError `ResourceNotFoundException` */
  private async named(
    tableName: string,
    label: string,
    arn: string,
    { deadlineMs, nowMs }: RequestContext,
    isNow = false,
  ): Promise<NamedStream> {
    const found = await this.find(tableName, label, deadlineMs, nowMs, isNow);
    if (found === undefined) throw streamNotFound(arn);
    return found;
  }

  /** A shard of a stream. @throws DynamoError `ResourceNotFoundException` */
  private async shardOf(
    context: RequestContext,
    { tableName, label, shardId }: Pick<ShardIterator, 'tableName' | 'label' | 'shardId'>,
    arn: string,
  ): Promise<{ readonly named: NamedStream; readonly shard: Shard }> {
    // A segment may have been cut a moment ago, and another node has said so.
    for (const isNow of [false, true]) {
      const named = await this.named(tableName, label, arn, context, isNow);
      const shard = shardsOf(named, context.nowMs).find(({ id }) => id === shardId);
      if (shard !== undefined) return { named, shard };
    }
    throw shardNotFound(shardId, arn);
  }

  private async find(
    tableName: string,
    label: string,
    deadlineMs: Millis,
    nowMs: Millis,
    isNow: boolean,
  ): Promise<NamedStream | undefined> {
    const { directory } = this.services;
    const streamOf = (table: TableDescriptor | undefined): NamedStream | undefined => {
      const stream = table?.streams.find((one) => one.label === label && isReadable(one, nowMs));
      return table === undefined || stream === undefined ? undefined : { table, stream };
    };
    return (
      (isNow ? undefined : streamOf(await directory.find(tableName, deadlineMs))) ??
      // It may have been switched on elsewhere a moment ago, or its table was deleted.
      streamOf(await directory.renew(tableName, deadlineMs)) ??
      streamOf(await directory.leftStream(tableName, label, deadlineMs))
    );
  }

  async list(context: RequestContext, input: ListInput): Promise<object> {
    const limit = input.Limit ?? MAX_PAGE;
    const start = input.ExclusiveStartStreamArn === undefined ? undefined : partsOfArn(input.ExclusiveStartStreamArn);
    const only = input.TableName === undefined ? undefined : tableNameOf(input.TableName);
    const streams: { readonly StreamArn: string; readonly TableName: string; readonly StreamLabel: string }[] = [];
    for await (const { name, labels } of this.tablesWithStreams(context, only, start?.table)) {
      for (const label of labels) {
        if (start !== undefined && name === start.table && label <= start.label) continue;
        if (streams.length === limit) return { Streams: streams, LastEvaluatedStreamArn: streams.at(-1)!.StreamArn };
        streams.push({ StreamArn: streamArn(context, name, label), TableName: name, StreamLabel: label });
      }
    }
    return { Streams: streams };
  }

  /** Tables in the order of their names, from one on, with the labels of their streams in order. */
  private async *tablesWithStreams(
    { deadlineMs, nowMs, signal }: RequestContext,
    only: string | undefined,
    from: string | undefined,
  ): AsyncGenerator<{ readonly name: string; readonly labels: readonly string[] }> {
    const { directory } = this.services;
    const left = await directory.leftStreams(only, nowMs - RETENTION_MS, deadlineMs, signal);
    const labelsOf = async (name: string): Promise<string[]> => {
      // Of one table what is so now, of all what is known.
      const table = await (name === only ? directory.renew(name, deadlineMs) : directory.find(name, deadlineMs));
      const streams = (table?.streams ?? []).filter((stream) => isReadable(stream, nowMs));
      return [...new Set([...streams.map(({ label }) => label), ...(left.get(name) ?? [])])].sort();
    };
    if (only !== undefined) {
      yield { name: only, labels: await labelsOf(only) };
      return;
    }
    const gone = [...left.keys()].filter((name) => from === undefined || name > from).sort();
    let last = from;
    if (last !== undefined) yield { name: last, labels: await labelsOf(last) };
    for (;;) {
      const names = await directory.names(last, MAX_PAGE, deadlineMs, signal);
      for (const name of names) {
        while (gone[0] !== undefined && gone[0] < name) {
          const before = gone.shift()!;
          yield { name: before, labels: await labelsOf(before) };
        }
        if (gone[0] === name) gone.shift();
        yield { name, labels: await labelsOf(name) };
      }
      if (names.length < MAX_PAGE) break;
      last = names.at(-1);
    }
    for (const name of gone) yield { name, labels: await labelsOf(name) };
  }

  async describe(context: RequestContext, input: DescribeInput): Promise<object> {
    const { table: name, label } = partsOfArn(input.StreamArn);
    const named = await this.named(name, label, input.StreamArn, context, true);
    const { table, stream } = named;
    const limit = input.Limit ?? MAX_PAGE;
    const after = input.ExclusiveStartShardId ?? '';
    const { Type: filter, ShardId: parent } = input.ShardFilter ?? {};
    const isAsked = ({ id, parentId }: Shard): boolean =>
      id > after && (filter !== 'CHILD_SHARDS' || (parentId !== undefined && parentId === parent));
    const all = shardsOf(named, context.nowMs).filter(isAsked);
    const shards = all.slice(0, limit);
    const hash = new Set(table.key.hash.map((attribute) => attribute.name));
    return {
      StreamDescription: {
        StreamArn: streamArn(context, table.name, stream.label),
        StreamLabel: stream.label,
        StreamStatus: stream.disabledMs === undefined ? 'ENABLED' : 'DISABLED',
        StreamViewType: stream.viewType,
        CreationRequestDateTime: stream.enabledMs / 1000,
        TableName: table.name,
        KeySchema: attributesOf(table.key).map((attribute) => ({
          AttributeName: attribute.name,
          KeyType: hash.has(attribute.name) ? 'HASH' : 'RANGE',
        })),
        Shards: await Promise.all(shards.map((shard) => this.shownShard(context, shard))),
        LastEvaluatedShardId: all.length > limit ? shards.at(-1)!.id : undefined,
      },
    };
  }

  private async shownShard({ deadlineMs, signal }: RequestContext, shard: Shard): Promise<object> {
    return {
      ShardId: shard.id,
      ParentShardId: shard.parentId,
      SequenceNumberRange: {
        StartingSequenceNumber: sequenceNumber(shard.start),
        EndingSequenceNumber: await this.endingNumber(shard, deadlineMs, signal),
      },
    };
  }

  /** Of a shard to which nothing is written any more; undefined for others. */
  private async endingNumber(
    { end, prefix, start }: Shard,
    deadlineMs: Millis,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    switch (end.kind) {
      case 'open':
      case 'ending':
        return undefined;
      case 'cut':
        return sequenceNumber(endOf(hlcTimestamp(end.untilTs - 1n)));
      case 'off':
        // The last record that it has.
        return sequenceNumber((await lastPlace(this.services.cluster, prefix, deadlineMs, signal)) ?? start);
    }
  }

  async iterator(context: RequestContext, input: IteratorInput): Promise<object> {
    const { StreamArn: arn, ShardId: shardId, ShardIteratorType: type } = input;
    const place = input.SequenceNumber === undefined ? undefined : placeOf(input.SequenceNumber);
    const { table: name, label } = partsOfArn(arn);
    const { named, shard } = await this.shardOf(context, { tableName: name, label, shardId }, arn);
    if (place !== undefined && place.ts < deletedBefore(context.nowMs)) throw trimmed();
    const from = await this.beginning(context, named, shard, type, place);
    const isFromHorizon = type === 'TRIM_HORIZON';
    const issuedMs = context.nowMs;
    return { ShardIterator: encodeIterator({ tableName: name, label, shardId, from, isFromHorizon, issuedMs }) };
  }

  private async beginning(
    { nowMs, deadlineMs }: RequestContext,
    { table }: NamedStream,
    { start, segment }: Shard,
    type: IteratorInput['ShardIteratorType'],
    place: Place | undefined,
  ): Promise<Place> {
    switch (type) {
      case 'TRIM_HORIZON': {
        const horizon = startOf(earlierBy(timestampOfMs(nowMs), RETENTION_MS));
        return later(horizon, start);
      }
      case 'LATEST': {
        // A moment, not whatever is newest when somebody reads: what is written meanwhile is to be read.
        const { ts } = await this.services.cluster.one(
          { kind: 'get', key: fenceKey(table.id, segment.start) },
          deadlineMs,
        );
        return behind(endOf(ts));
      }
      // What lies before the shard is its parent's.
      case 'AT_SEQUENCE_NUMBER':
        return later(place!, start);
      case 'AFTER_SEQUENCE_NUMBER':
        return later(behind(place!), start);
    }
  }

  async records(context: RequestContext, input: RecordsInput): Promise<object> {
    const { nowMs, region } = context;
    const iterator = decodeIterator(input.ShardIterator, nowMs);
    const { tableName, label, shardId, isFromHorizon } = iterator;
    const arn = streamArn(context, tableName, label);
    const { named, page } = await this.pageOf(context, iterator, arn, input.Limit ?? MAX_RECORDS);
    const next: ShardIterator = {
      ...iterator,
      from: page.next,
      // As long as nothing was there, nothing can be missed.
      isFromHorizon: isFromHorizon && page.records.length === 0,
      issuedMs: nowMs,
    };
    return {
      Records: page.records.map((record) => shownRecord(record, `${arn}/${shardId}`, named.stream.viewType, region)),
      NextShardIterator: page.isOver ? undefined : encodeIterator(next),
    };
  }

  /** Records at an iterator, of the shard as it is. */
  private async pageOf(
    context: RequestContext,
    { tableName, label, shardId, from, isFromHorizon }: ShardIterator,
    arn: string,
    limit: number,
  ): Promise<{ readonly named: NamedStream; readonly page: ShardPage & { readonly isOver: boolean } }> {
    const { nowMs, deadlineMs, signal } = context;
    const { cluster, directory, clock } = this.services;
    for (;;) {
      const { named, shard } = await this.shardOf(context, { tableName, label, shardId }, arn);
      if (!isFromHorizon && from.ts < deletedBefore(nowMs)) throw trimmed();
      const { prefix, end } = shard;
      // What is its last record is known in a moment.
      if (end.kind === 'ending') return { named, page: { records: [], next: from, isAtEnd: false, isOver: false } };
      const untilTs = end.kind === 'cut' ? end.untilTs : undefined;
      const page = await readShard(cluster, { prefix, from, untilTs, limit }, deadlineMs, signal);
      if (end.kind !== 'open') return { named, page: { ...page, isOver: page.isAtEnd } };
      // It was open when it was read: what comes after a cut is read of its children, and only there.
      if (await this.isOpen(named.table, shard, deadlineMs)) return { named, page: { ...page, isOver: false } };
      if (clock.monotonicMs() >= deadlineMs) throw new StaleTableError();
      await directory.renew(tableName, deadlineMs);
    }
  }

  /** True while nobody has changed the table, and so cut the segment, since it was looked up. */
  private async isOpen({ id, version }: TableDescriptor, { segment }: Shard, deadlineMs: Millis): Promise<boolean> {
    const key = fenceKey(id, segment.start);
    const { result } = await this.services.cluster.one({ kind: 'get', key }, deadlineMs);
    const fence = result.kind === 'get' ? result.value : undefined;
    return fence !== undefined && decodeFence(fence.value).version === version;
  }
}

/** Records that are older are deleted, or may be. */
export const deletedBefore = (nowMs: Millis): HlcTimestamp => earlierBy(timestampOfMs(nowMs), DELETED_AFTER_MS);

/** Where the records lie that are old enough to be deleted. */
export const oldRecords = (prefix: Buffer, nowMs: Millis): { readonly start: Buffer; readonly end: Buffer } => {
  const start = streamLaneByTime(prefix);
  const time = Buffer.allocUnsafe(8);
  time.writeBigUInt64BE(deletedBefore(nowMs));
  return { start, end: Buffer.concat([start, time]) };
};

/** What a stream's prefix holds altogether. */
export const wholeStream = (prefix: Buffer): { readonly start: Buffer; readonly end: Buffer } => ({
  start: prefix,
  end: prefixEnd(prefix)!,
});

function checkSequence({ ShardIteratorType: type, SequenceNumber: sequence }: IteratorInput): void {
  const needs = type === 'AT_SEQUENCE_NUMBER' || type === 'AFTER_SEQUENCE_NUMBER';
  if (needs === (sequence !== undefined)) return;
  throw validationError(
    needs
      ? `Sequence number must be specified when ShardIteratorType is ${type}`
      : `Sequence number must not be specified when ShardIteratorType is ${type}`,
  );
}

/** All of them. */
export function streamOperations(services: StreamServices): AnyOperation[] {
  const reads = new StreamReads(services);
  return [
    declareOperation({
      name: 'ListStreams',
      access: 'read',
      validate: (input: ListInput) => input,
      run: (context, input) => reads.list(context, input),
    }),
    declareOperation({
      name: 'DescribeStream',
      access: 'read',
      validate(input: DescribeInput) {
        partsOfArn(input.StreamArn);
        return input;
      },
      run: (context, input) => reads.describe(context, input),
    }),
    declareOperation({
      name: 'GetShardIterator',
      access: 'read',
      validate(input: IteratorInput) {
        partsOfArn(input.StreamArn);
        checkSequence(input);
        return input;
      },
      run: (context, input) => reads.iterator(context, input),
    }),
    declareOperation({
      name: 'GetRecords',
      access: 'read',
      validate: (input: RecordsInput) => input,
      run: (context, input) => reads.records(context, input),
    }),
  ];
}
