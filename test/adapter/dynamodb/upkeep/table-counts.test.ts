import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { CorruptRowError } from '../../../../src/adapter/dynamodb/rows/index.ts';
import { decodeCounts, encodeCounts } from '../../../../src/adapter/dynamodb/tables/index.ts';
import { TableCount } from '../../../../src/adapter/dynamodb/upkeep/table-counts.ts';
import { DynamoNodes } from '../dynamo-nodes.ts';

const TableName = 'counted';
const attribute = (AttributeName: string) => ({ AttributeName, AttributeType: 'S' });
const ITEMS = 40;
/** Name and value of `p`, of `s`, of `x`: two bytes and one, two and one, and 100,001. */
const ITEM_BYTES = 3 + 3 + 100_001;

describe('a count of a table', () => {
  const nodes = new DynamoNodes(3, 3, 61);

  before(async () => {
    await nodes.start();
    await nodes.run(1, 'CreateTable', {
      TableName,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: ['p', 's', 'l', 'g'].map(attribute),
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
          Projection: { ProjectionType: 'KEYS_ONLY' },
        },
      ],
      GlobalSecondaryIndexes: [
        {
          IndexName: 'global',
          KeySchema: [{ AttributeName: 'g', KeyType: 'HASH' }],
          Projection: { ProjectionType: 'ALL' },
        },
      ],
      StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_IMAGE' },
    });
    for (let at = 0; at < ITEMS; at++) {
      const Item = {
        p: { S: 'pp' },
        s: { S: String(10 + at) },
        x: { S: 'x'.repeat(100_000) },
        ...(at < 3 ? { l: { S: 'l' } } : {}),
        ...(at < 2 ? { g: { S: 'g' } } : {}),
      };
      await nodes.run(1, 'PutItem', { TableName, Item });
    }
  });

  test('has all items and rows of indexes once, in steps, and is described', async () => {
    const { store, directory, catalog, deadlineMs } = nodes.ends[0]!;
    const table = (await nodes.cluster.run(directory.renew(TableName, deadlineMs())))!;
    const count = new TableCount(table);
    let steps = 1;
    for (const signal = new AbortController().signal; ; steps++) {
      if (await nodes.cluster.run(count.goOn(store, deadlineMs(), signal))) break;
    }
    assert.ok(steps > 1, 'a table of four pages and its indexes are not counted in one go');
    const { items, bytes, indexes } = count.result();
    const extra = 3 * 2 + 2 * 2;
    assert.deepEqual({ items, bytes }, { items: ITEMS, bytes: ITEMS * ITEM_BYTES + extra });
    assert.deepEqual(
      [...indexes].map(([name, one]) => [name, one.items]),
      [
        ['local', 3],
        ['global', 2],
      ],
    );
    assert.ok(indexes.get('local')!.bytes < 100 && indexes.get('global')!.bytes > 200_000);
    assert.ok(count.pauseMs >= 60_000 && count.pauseMs < 6 * 60 * 60 * 1000);

    await nodes.cluster.run(catalog.storeCounts(table.id, count.result(), deadlineMs()));
    const { Table } = await nodes.run(3, 'DescribeTable', { TableName });
    const shown = Table as {
      ItemCount: number;
      TableSizeBytes: number;
      LocalSecondaryIndexes: { ItemCount: number; IndexSizeBytes: number }[];
      GlobalSecondaryIndexes: { ItemCount: number }[];
    };
    assert.deepEqual([shown.ItemCount, shown.TableSizeBytes], [items, bytes]);
    assert.equal(shown.LocalSecondaryIndexes[0]!.ItemCount, 3);
    assert.equal(shown.LocalSecondaryIndexes[0]!.IndexSizeBytes, indexes.get('local')!.bytes);
    assert.equal(shown.GlobalSecondaryIndexes[0]!.ItemCount, 2);
    assert.deepEqual(nodes.problems, []);
  });

  test('is kept as it is stored', () => {
    const counts = { items: 1, bytes: 2, indexes: new Map([['i', { items: 3, bytes: 4 }]]) };
    const bytes = encodeCounts(counts);
    assert.equal(bytes.toString('latin1'), '\x01{"items":1,"bytes":2,"indexes":[{"name":"i","items":3,"bytes":4}]}');
    assert.deepEqual(decodeCounts(bytes), counts);
    assert.throws(() => decodeCounts(Buffer.concat([Buffer.of(2), bytes.subarray(1)])), CorruptRowError);
  });
});
