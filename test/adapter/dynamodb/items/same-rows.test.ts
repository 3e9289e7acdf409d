/** A write is one entry in one group and a transaction over several: both leave the same rows, answers and stream records. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DynamoError } from '../../../../src/adapter/dynamodb/errors/index.ts';
import { indexRange, isHeadRow, tokenRange } from '../../../../src/adapter/dynamodb/rows/index.ts';
import { groupId, SeededRandom } from '../../../../src/platform/index.ts';
import { DynamoNodes } from '../dynamo-nodes.ts';

const TABLE = 'same';
const OPERATIONS = 90;
const PARTITIONS = 6;

const DEFINITION = {
  TableName: TABLE,
  BillingMode: 'PAY_PER_REQUEST',
  AttributeDefinitions: ['p', 'l', 'g', 's'].map((AttributeName) => ({ AttributeName, AttributeType: 'S' })),
  KeySchema: [
    { AttributeName: 'p', KeyType: 'HASH' },
    { AttributeName: 's', KeyType: 'RANGE' },
  ],
  LocalSecondaryIndexes: [
    {
      IndexName: 'local',
      KeySchema: [
        { AttributeName: 'p', KeyType: 'HASH' },
        { AttributeName: 'l', KeyType: 'RANGE' },
      ],
      Projection: { ProjectionType: 'ALL' },
    },
  ],
  GlobalSecondaryIndexes: [
    {
      IndexName: 'global',
      KeySchema: [{ AttributeName: 'g', KeyType: 'HASH' }],
      Projection: { ProjectionType: 'INCLUDE', NonKeyAttributes: ['n'] },
    },
  ],
  StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' },
};

/** One request. */
interface Asked {
  readonly name: string;
  readonly input: object;
}

/** The same requests for everybody. */
function* requests(): Generator<Asked> {
  const random = new SeededRandom(17);
  const one = <T>(values: readonly T[]): T => values[random.int(values.length)]!;
  const key = () => ({ p: { S: `p${random.int(PARTITIONS)}` }, s: { S: one(['a', 'b', 'c']) } });
  const some = (name: string, value: object): object => (random.int(3) === 0 ? {} : { [name]: value });
  const item = () => ({
    ...key(),
    ...some('l', { S: one(['x', 'y']) }),
    ...some('g', { S: one(['u', 'v', 'w']) }),
    n: { N: String(random.int(4)) },
  });
  const condition = () => {
    const values = { ':n': { N: String(random.int(4)) } };
    return one([
      {},
      { ConditionExpression: 'attribute_exists(p)' },
      { ConditionExpression: 'n < :n', ExpressionAttributeValues: values },
    ]);
  };
  const update = () => ({
    Key: key(),
    ...one([
      { UpdateExpression: 'ADD n :one', ExpressionAttributeValues: { ':one': { N: '1' } } },
      {
        UpdateExpression: 'SET g = :g, l = if_not_exists(l, :g)',
        ExpressionAttributeValues: { ':g': { S: one(['u', 'v']) } },
      },
      { UpdateExpression: 'REMOVE l, g' },
    ]),
  });
  const named = { TableName: TABLE };
  for (let left = OPERATIONS; left > 0; left--) {
    const ReturnValues = one(['NONE', 'ALL_OLD']);
    switch (random.int(6)) {
      case 0:
        yield { name: 'DeleteItem', input: { ...named, Key: key(), ReturnValues, ...condition() } };
        break;
      case 1:
        yield {
          name: 'UpdateItem',
          input: { ...named, ...update(), ReturnValues: one(['ALL_NEW', 'UPDATED_OLD', 'UPDATED_NEW']) },
        };
        break;
      case 2: {
        const TransactItems = [
          { Put: { ...named, Item: { ...item(), p: { S: 'q0' } }, ...condition() } },
          { Update: { ...named, ...update() } },
          { Delete: { ...named, Key: { p: { S: 'q1' }, s: { S: one(['a', 'b']) } } } },
        ];
        yield { name: 'TransactWriteItems', input: { TransactItems, ReturnConsumedCapacity: 'INDEXES' } };
        break;
      }
      case 3: {
        const puts = ['a', 'b', 'c'].map((s) => ({ PutRequest: { Item: { ...item(), p: { S: 'q1' }, s: { S: s } } } }));
        yield { name: 'BatchWriteItem', input: { RequestItems: { [TABLE]: puts } } };
        break;
      }
      default:
        yield {
          name: 'PutItem',
          input: { ...named, Item: item(), ReturnValues, ReturnConsumedCapacity: 'INDEXES', ...condition() },
        };
    }
  }
}

/** What one cluster has made of the requests. */
interface Made {
  readonly answers: readonly unknown[];
  readonly rows: ReadonlyMap<string, string>;
  /** Changes of each item, in order. */
  readonly changes: Readonly<Record<string, unknown[]>>;
  readonly groups: number;
}

async function make(nodes: DynamoNodes, count: number, isCut: boolean): Promise<Made> {
  const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
  await nodes.start();
  await nodes.run(1, 'CreateTable', DEFINITION);
  const { directory, deadlineMs, store } = nodes.ends[0]!;
  const table = (await nodes.cluster.run(directory.find(TABLE, deadlineMs())))!;
  const groups = new Set<number>();
  if (isCut) {
    const { admin } = nodes.cluster.running(1);
    const cuts = [
      tokenRange(table.id, 0, 0x5000_0000, 0x6000_0000).start,
      tokenRange(table.id, 0, 0xa000_0000, 0xb000_0000).start,
      indexRange(table.id, 1).start,
    ];
    for (const cut of cuts) await nodes.cluster.run(admin.split(cut, undefined, 30_000));
    for (const [at, key] of cuts.entries()) {
      const target = groupId(2 + (at % 3));
      if (store.services.kv.groupOf(key) === target) continue;
      await nodes.cluster.run(admin.move({ key }, target, undefined, 30_000));
      await nodes.cluster.until('the range has moved', () =>
        nodes.ends.every(({ store: { services } }) => services.kv.groupOf(key) === target),
      );
    }
    for (const key of cuts) groups.add(store.services.kv.groupOf(key));
  }
  const answers = await nodes.cluster.run(
    (async () => {
      const made: unknown[] = [];
      let at = 0;
      for (const { name, input } of requests()) {
        try {
          made.push(plain(await nodes.ask(1 + (at++ % count), name, input)));
        } catch (error) {
          assert.ok(error instanceof DynamoError, String(error));
          made.push([error.type, error.message, plain(error.members)]);
        }
      }
      return made;
    })(),
  );
  const rows = new Map<string, string>();
  const read = async (): Promise<void> => {
    const range = { start: indexRange(table.id, 0).start, end: indexRange(table.id, 255).end };
    const options = { limit: undefined, reverse: false, keysOnly: false };
    const pages = store.services.cluster.scan(range, options, deadlineMs(), new AbortController().signal);
    for await (const page of pages) {
      for (const { key, value } of page.rows) if (!isHeadRow(key)) rows.set(key.toString('hex'), value.toString('hex'));
    }
  };
  await nodes.cluster.run(read());
  return { answers, rows, changes: await nodes.cluster.run(changesOf(nodes)), groups: groups.size };
}

/** All records of the table's stream, item by item, without what says when and where they were made. */
async function changesOf(nodes: DynamoNodes): Promise<Record<string, unknown[]>> {
  const { Streams } = await nodes.ask(1, 'ListStreams', { TableName: TABLE });
  const { StreamArn } = (Streams as { StreamArn: string }[])[0]!;
  const { StreamDescription } = await nodes.ask(1, 'DescribeStream', { StreamArn });
  const changes: Record<string, unknown[]> = {};
  for (const { ShardId } of (StreamDescription as { Shards: { ShardId: string }[] }).Shards) {
    const start = { StreamArn, ShardId, ShardIteratorType: 'TRIM_HORIZON' };
    let { ShardIterator: next } = await nodes.ask(1, 'GetShardIterator', start);
    for (;;) {
      const page = await nodes.ask(1, 'GetRecords', { ShardIterator: next });
      const records = page.Records as { eventName: string; dynamodb: Record<string, object> }[];
      for (const { eventName, dynamodb } of records) {
        const { Keys, OldImage, NewImage, SizeBytes } = JSON.parse(JSON.stringify(dynamodb)) as Record<string, object>;
        const name = JSON.stringify(Keys);
        changes[name] = [...(changes[name] ?? []), { eventName, OldImage, NewImage, SizeBytes }];
      }
      next = page.NextShardIterator;
      if (records.length === 0 || next === undefined) break;
    }
  }
  return changes;
}

describe('writes in one group and over several', () => {
  test('leave the same rows, answers and records', async () => {
    const alone = await make(new DynamoNodes(1, 0, 5), 1, false);
    const apart = await make(new DynamoNodes(3, 3, 6), 3, true);
    assert.ok(apart.groups > 1);
    assert.deepEqual(apart.answers, alone.answers);
    assert.deepEqual([...apart.rows], [...alone.rows]);
    assert.deepEqual(apart.changes, alone.changes);
    assert.ok(alone.rows.size > 20);
    assert.ok(Object.keys(alone.changes).length > 10);
    // Every kind of outcome was among them.
    const texts = JSON.stringify(alone.answers);
    for (const kind of ['ConditionalCheckFailedException', 'TransactionCanceledException', 'LocalSecondaryIndexes']) {
      assert.ok(texts.includes(kind), kind);
    }
  });
});
