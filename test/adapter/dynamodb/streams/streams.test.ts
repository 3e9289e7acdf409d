import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import {
  descriptorKey,
  streamPrefix,
  tableRange,
  timedRecordKey,
  ttlKey,
} from '../../../../src/adapter/dynamodb/rows/index.ts';
import { oldRecords } from '../../../../src/adapter/dynamodb/streams/index.ts';
import { decodeIterator, encodeIterator } from '../../../../src/adapter/dynamodb/streams/iterator.ts';
import {
  behind,
  comparePlaces,
  placeOf,
  sequenceNumber,
  startOf,
} from '../../../../src/adapter/dynamodb/streams/sequence.ts';
import { keyBytes } from '../../../../src/adapter/dynamodb/tables/index.ts';
import { readItem } from '../../../../src/adapter/dynamodb/values/index.ts';
import type { ServedPage } from '../../../../src/kv/index.ts';
import { timestampOfMs } from '../../../../src/platform/index.ts';
import { DynamoNodes } from '../dynamo-nodes.ts';

interface StreamedRecord {
  readonly eventID: string;
  readonly eventName: string;
  readonly userIdentity?: object;
  readonly dynamodb: {
    readonly Keys: Record<string, { N: string }>;
    readonly OldImage?: Record<string, object>;
    readonly NewImage?: Record<string, object>;
    readonly SequenceNumber: string;
    readonly SizeBytes: number;
  };
}

const TABLE = {
  TableName: 'changing',
  AttributeDefinitions: [{ AttributeName: 'p', AttributeType: 'N' }],
  KeySchema: [{ AttributeName: 'p', KeyType: 'HASH' }],
  BillingMode: 'PAY_PER_REQUEST',
  StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' },
};
const key = (p: number) => ({ p: { N: String(p) } });

describe('a stream of a table', () => {
  const nodes = new DynamoNodes(3, 3, 29);
  /** Answers as clients see them. */
  const ask = async (node: number, name: string, input: object): Promise<Record<string, unknown>> =>
    JSON.parse(JSON.stringify(await nodes.run(node, name, input)));
  let arn = '';
  let shard = '';

  before(async () => {
    await nodes.start();
    await ask(1, 'CreateTable', TABLE);
    await ask(1, 'CreateTable', { ...TABLE, TableName: 'other', StreamSpecification: undefined });
    const { Streams } = await ask(2, 'ListStreams', {});
    const streams = Streams as { StreamArn: string; TableName: string }[];
    assert.deepEqual(
      streams.map(({ TableName }) => TableName),
      ['changing'],
    );
    arn = streams[0]!.StreamArn;
    const described = (await ask(3, 'DescribeStream', { StreamArn: arn })).StreamDescription as {
      StreamStatus: string;
      Shards: { ShardId: string; SequenceNumberRange: { StartingSequenceNumber: string } }[];
    };
    assert.equal(described.StreamStatus, 'ENABLED');
    assert.equal(described.Shards.length, 1);
    shard = described.Shards[0]!.ShardId;
    assert.ok(shard.length >= 28);
    assert.match(described.Shards[0]!.SequenceNumberRange.StartingSequenceNumber, /^\d{21,40}$/);
  });

  const iterator = async (type: string, sequence?: string): Promise<string> => {
    const more = { ShardIteratorType: type, SequenceNumber: sequence };
    const { ShardIterator } = await ask(2, 'GetShardIterator', { StreamArn: arn, ShardId: shard, ...more });
    return ShardIterator as string;
  };

  /** All that there is now, in pages of several sizes from several nodes. */
  const readAll = async (from: string): Promise<{ records: StreamedRecord[]; next: string | undefined }> => {
    const records: StreamedRecord[] = [];
    let next: string | undefined = from;
    for (let page = 0; next !== undefined; page++) {
      const answer = await ask(1 + (page % 3), 'GetRecords', { ShardIterator: next, Limit: 1 + (page % 5) });
      next = answer.NextShardIterator as string | undefined;
      records.push(...(answer.Records as StreamedRecord[]));
      if ((answer.Records as unknown[]).length === 0) break;
    }
    return { records, next };
  };

  test('has every change once and in order, those of transactions too, and its records rebuild the table', async () => {
    const latest = await iterator('LATEST');
    const random = nodes.cluster.simulation.random;
    for (let write = 0; write < 60; write++) {
      const p = random.int(5);
      const node = 1 + random.int(3);
      const n = { N: String(random.int(1000)) };
      const item = { TableName: 'changing', Item: { ...key(p), n } };
      const kind = random.int(4);
      if (kind === 0) await ask(node, 'DeleteItem', { TableName: 'changing', Key: key(p) });
      else if (kind === 1) await ask(node, 'PutItem', item);
      else
        await ask(node, 'TransactWriteItems', {
          TransactItems: [
            { Put: item },
            { Put: { TableName: 'other', Item: { ...key(p), n } } },
            { Delete: { TableName: 'changing', Key: key(p + 10) } },
            { Put: { TableName: 'changing', Item: { ...key(p + 20), n } } },
          ],
        });
    }
    const { records } = await readAll(latest);
    const sequences = records.map(({ dynamodb }) => dynamodb.SequenceNumber);
    assert.deepEqual(sequences, [...new Set(sequences)].sort());
    const rebuilt = new Map<string, object>();
    for (const { eventName, dynamodb } of records) {
      const name = dynamodb.Keys.p!.N;
      assert.deepEqual(dynamodb.OldImage, rebuilt.get(name), 'nothing between the record before and this one');
      assert.equal(eventName, dynamodb.OldImage === undefined ? 'INSERT' : dynamodb.NewImage ? 'MODIFY' : 'REMOVE');
      if (dynamodb.NewImage === undefined) rebuilt.delete(name);
      else rebuilt.set(name, dynamodb.NewImage);
    }
    const { Items } = await ask(2, 'Scan', { TableName: 'changing', ConsistentRead: true });
    const byName = (items: object[]): object[] =>
      items.sort((a, b) => Number((a as { p: { N: string } }).p.N) - Number((b as { p: { N: string } }).p.N));
    assert.deepEqual(byName([...rebuilt.values()]), byName(Items as object[]));
    assert.ok(records.length > 60);

    // Moved among the others meanwhile, the records are the same.
    await nodes.cluster.simulation.runFor(3_000);
    const again = await readAll(latest);
    assert.deepEqual(again.records, records);
    const fromHorizon = await readAll(await iterator('TRIM_HORIZON'));
    assert.deepEqual(fromHorizon.records, records);
    const middle = sequences[20]!;
    assert.deepEqual((await readAll(await iterator('AT_SEQUENCE_NUMBER', middle))).records, records.slice(20));
    assert.deepEqual((await readAll(await iterator('AFTER_SEQUENCE_NUMBER', middle))).records, records.slice(21));
    assert.deepEqual(nodes.problems, []);
  });

  test('goes on where it ended, and has nothing of what changes nothing', async () => {
    const { next } = await readAll(await iterator('LATEST'));
    await ask(1, 'PutItem', { TableName: 'changing', Item: { ...key(77), n: { N: '1' } } });
    await ask(1, 'PutItem', { TableName: 'changing', Item: { ...key(77), n: { N: '1.0' } } });
    await ask(1, 'DeleteItem', { TableName: 'changing', Key: key(78) });
    const { records } = await readAll(next!);
    assert.deepEqual(
      records.map(({ eventName, dynamodb }) => [eventName, dynamodb.Keys, dynamodb.SizeBytes]),
      [['INSERT', key(77), 3 + 3 + 3]],
    );
    assert.match(records[0]!.eventID, /^[0-9a-f]{32}$/);
  });

  test('has items whose time is over, as the doing of the service', async () => {
    await ask(2, 'UpdateTimeToLive', {
      TableName: 'changing',
      TimeToLiveSpecification: { Enabled: true, AttributeName: 'until' },
    });
    await nodes.until(2, 'changing', (table) => table?.ttl?.state === 'ENABLED');
    const latest = await iterator('LATEST');
    const nowSeconds = Math.floor(nodes.ends[0]!.nowMs() / 1000);
    const until = (p: number, seconds: number) => ({
      TableName: 'changing',
      Item: { ...key(p), until: { N: String(nowSeconds + seconds) } },
    });
    await ask(1, 'PutItem', until(100, 5));
    await ask(1, 'PutItem', until(101, 3_600));
    await ask(1, 'PutItem', until(102, -6 * 365 * 86_400));
    await ask(1, 'PutItem', until(103, 5));
    await ask(1, 'PutItem', { TableName: 'changing', Item: { ...key(103), until: { S: 'never' } } });
    // A row that says of an item what the item does not say any more.
    await ask(1, 'PutItem', until(104, 3_600));
    const { directory, deadlineMs, store } = nodes.ends[0]!;
    const table = (await nodes.cluster.run(directory.renew('changing', deadlineMs())))!;
    const stray = ttlKey(table.id, 0, nowSeconds + 1, keyBytes(table.key, readItem(key(104))));
    const put = { kind: 'put', key: stray, value: Buffer.alloc(0), ttlMs: 0 } as const;
    await nodes.cluster.run(store.services.cluster.one(put, deadlineMs()));
    const has = async (p: number): Promise<boolean> =>
      (await ask(3, 'GetItem', { TableName: 'changing', Key: key(p), ConsistentRead: true })).Item !== undefined;
    assert.ok(await has(100));
    await nodes.cluster.simulation.runFor(8_000);
    assert.deepEqual(
      [await has(100), await has(101), await has(102), await has(103), await has(104)],
      [false, true, true, true, true],
    );
    assert.equal(await nodes.cluster.run(directory.get(stray, deadlineMs())), undefined);
    const removed = (await readAll(latest)).records.filter(({ eventName }) => eventName === 'REMOVE');
    assert.deepEqual(
      removed.map(({ dynamodb, userIdentity }) => [dynamodb.Keys, userIdentity]),
      [[key(100), { Type: 'Service', PrincipalId: 'dynamodb.amazonaws.com' }]],
    );
    assert.deepEqual(nodes.problems, []);
  });

  test('is refused where it is not, and for what it does not have', async () => {
    const refusal = async (name: string, input: object): Promise<string> => {
      const { type, message } = await nodes.refusal(1, name, input);
      return `${type}: ${message}`;
    };
    const unknown = arn.replace(/stream\/.*/, 'stream/2020-01-01T00:00:00.000');
    const at = { StreamArn: arn, ShardId: shard, ShardIteratorType: 'AT_SEQUENCE_NUMBER' };
    assert.match(
      await refusal('DescribeStream', { StreamArn: 'x'.repeat(40) }),
      /^ValidationException: Invalid StreamArn/,
    );
    assert.match(await refusal('DescribeStream', { StreamArn: unknown }), /^ResourceNotFoundException: .*Stream: arn/);
    assert.match(
      await refusal('GetShardIterator', { ...at, ShardId: `${shard}0`, ShardIteratorType: 'LATEST' }),
      /^ResourceNotFoundException: .*Shard: shardId/,
    );
    assert.match(await refusal('GetShardIterator', at), /^ValidationException: Sequence number must be specified/);
    assert.match(await refusal('GetShardIterator', { ...at, SequenceNumber: '7'.repeat(25) }), /^ValidationException/);
    assert.match(
      await refusal('GetShardIterator', { ...at, SequenceNumber: sequenceNumber(startOf(timestampOfMs(1_000))) }),
      /^TrimmedDataAccessException/,
    );
    assert.match(
      await refusal('GetShardIterator', { ...at, ShardIteratorType: 'LATEST', SequenceNumber: '1'.repeat(31) }),
      /must not be specified/,
    );
    assert.match(await refusal('GetRecords', { ShardIterator: 'AAAA' }), /^ValidationException: Invalid ShardIterator/);
  });

  test('ends when it is switched off, and another one begins', async () => {
    const latest = await iterator('LATEST');
    await ask(1, 'PutItem', { TableName: 'changing', Item: key(200) });
    await ask(2, 'UpdateTable', { TableName: 'changing', StreamSpecification: { StreamEnabled: false } });
    await ask(3, 'PutItem', { TableName: 'changing', Item: key(201) });
    await nodes.cluster.simulation.runFor(1_000);
    const { records, next } = await readAll(latest);
    assert.deepEqual(
      records.map(({ dynamodb }) => dynamodb.Keys),
      [key(200)],
    );
    assert.equal(next, undefined);
    const described = (await ask(1, 'DescribeStream', { StreamArn: arn })).StreamDescription as {
      StreamStatus: string;
      Shards: { SequenceNumberRange: { EndingSequenceNumber: string } }[];
    };
    assert.equal(described.StreamStatus, 'DISABLED');
    assert.equal(described.Shards[0]!.SequenceNumberRange.EndingSequenceNumber, records[0]!.dynamodb.SequenceNumber);
    await ask(1, 'UpdateTable', {
      TableName: 'changing',
      StreamSpecification: { StreamEnabled: true, StreamViewType: 'KEYS_ONLY' },
    });
    const both = (await ask(2, 'ListStreams', { TableName: 'changing' })).Streams as { StreamArn: string }[];
    assert.equal(both.length, 2);
    const first = await ask(2, 'ListStreams', { Limit: 1 });
    const rest = await ask(2, 'ListStreams', { ExclusiveStartStreamArn: first.LastEvaluatedStreamArn });
    assert.deepEqual([...(first.Streams as object[]), ...(rest.Streams as object[])], both);
  });

  test('outlives its table, and is told from that of another table of the name', async () => {
    const { directory, catalog, deadlineMs, store } = nodes.ends[0]!;
    const listed = async (input: object): Promise<string[]> =>
      ((await ask(2, 'ListStreams', input)).Streams as { StreamArn: string }[]).map(({ StreamArn }) => StreamArn);
    const old = await listed({ TableName: 'changing' });
    assert.equal(old.length, 2);
    await ask(1, 'PutItem', { TableName: 'changing', Item: key(300) });
    const table = (await nodes.cluster.run(directory.renew('changing', deadlineMs())))!;
    await ask(3, 'DeleteTable', { TableName: 'changing' });
    await nodes.until(1, 'changing', (now) => now === undefined);
    assert.deepEqual(await listed({ TableName: 'changing' }), old);

    await ask(1, 'CreateTable', TABLE);
    await ask(1, 'CreateTable', { ...TABLE, TableName: 'zebra' });
    const all = await listed({});
    assert.deepEqual(all.slice(0, 2), old);
    assert.deepEqual(
      all.map((one) => /table\/(\w+)/.exec(one)![1]),
      ['changing', 'changing', 'changing', 'zebra'],
    );
    assert.deepEqual(await listed({ ExclusiveStartStreamArn: old[0], Limit: 2 }), all.slice(1, 3));

    arn = old[1]!;
    const { StreamStatus, Shards } = (await ask(2, 'DescribeStream', { StreamArn: arn })).StreamDescription as {
      StreamStatus: string;
      Shards: { ShardId: string; SequenceNumberRange: { EndingSequenceNumber?: string } }[];
    };
    assert.equal(StreamStatus, 'DISABLED');
    shard = Shards[0]!.ShardId;
    const { records, next } = await readAll(await iterator('TRIM_HORIZON'));
    assert.deepEqual(
      records.map(({ dynamodb }) => dynamodb.Keys),
      [key(300)],
    );
    assert.equal(next, undefined);

    // A day later: the rows of the table, its number and its names are gone.
    await nodes.cluster.run(
      catalog.changeById(table.id, deadlineMs(), (before, tasks) => {
        assert.deepEqual(
          tasks.map(({ kind }) => kind),
          ['forgetStreams'],
        );
        return { table: before, tasks: [{ kind: 'forgetStreams', afterMs: 1 }] };
      }),
    );
    await nodes.cluster.simulation.runFor(3_000);
    assert.equal(await nodes.cluster.run(directory.get(descriptorKey(table.id), deadlineMs())), undefined);
    const { start, end } = tableRange(table.id);
    const rows = store.services.cluster.scan(
      { start, end },
      { limit: 1, reverse: false, keysOnly: true },
      deadlineMs(),
      new AbortController().signal,
    );
    const page = await nodes.cluster.run(rows.next() as Promise<IteratorResult<ServedPage>>);
    assert.deepEqual(page.done === true ? [] : page.value.rows, []);
    assert.deepEqual(await listed({}), all.slice(2));
    assert.deepEqual(nodes.problems, []);
  });
});

describe('places in a shard', () => {
  test('are sequence numbers that rise as texts', () => {
    const places = [0, 1, 2 ** 31, 2 ** 32 - 1].flatMap((number) =>
      [1, 2 ** 20, 2 ** 40].map((ms) => ({ ts: timestampOfMs(ms), number })),
    );
    const inOrder = [...places].sort(comparePlaces);
    assert.deepEqual(inOrder.map(sequenceNumber), places.map(sequenceNumber).sort());
    for (const place of places) {
      assert.deepEqual(placeOf(sequenceNumber(place)), place);
      assert.ok(comparePlaces(place, behind(place)) < 0);
    }
    for (const wrong of ['', '1', '2'.repeat(31), `1${'9'.repeat(30)}`]) assert.throws(() => placeOf(wrong), /Invalid/);
  });

  test('are carried by iterators for a quarter of an hour', () => {
    const iterator = {
      ...{ tableName: 't', label: 'l', shardId: 's', isFromHorizon: true, issuedMs: 1_000_000 },
      from: { ts: timestampOfMs(5), number: 7 },
    };
    const text = encodeIterator(iterator);
    assert.equal(text, 'AQAAAAF0AAAAAWwAAAABcwAAAAAABQAAAAAABwEAAAAAAA9CQHT3Eoc', 'a node of another version reads it');
    assert.deepEqual(decodeIterator(text, 1_900_000), iterator);
    assert.throws(() => decodeIterator(text, 1_900_001), /^DynamoError: Iterator expired/);
    for (const wrong of [text.slice(1), `${text}A`, text.replace(/.$/, (last) => (last === 'A' ? 'Q' : 'A')), '%'])
      assert.throws(() => decodeIterator(wrong, 1_000_000), /Invalid ShardIterator/);
  });

  test('are deleted an hour after the day for which they are promised', () => {
    const prefix = streamPrefix(0x010000, 0, 3);
    const nowMs = 100 * 3_600_000;
    const { start, end } = oldRecords(prefix, nowMs);
    const isOld = (hours: number): boolean => {
      const row = timedRecordKey(prefix, timestampOfMs(nowMs - hours * 3_600_000), 0);
      return Buffer.compare(start, row) <= 0 && Buffer.compare(row, end) < 0;
    };
    assert.deepEqual([23, 24.5, 25, 25.5].map(isOld), [false, false, false, true]);
  });
});
