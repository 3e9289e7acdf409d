/** Pages that are read while their table changes. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { DynamoNodes } from '../dynamo-nodes.ts';

const TABLE = 'changing';

describe('a page', () => {
  const nodes = new DynamoNodes(1, 0, 3);
  const { ends } = nodes;

  before(async () => {
    await nodes.start();
    await nodes.run(1, 'CreateTable', {
      TableName: TABLE,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: ['p', 'g'].map((AttributeName) => ({ AttributeName, AttributeType: 'S' })),
      KeySchema: [{ AttributeName: 'p', KeyType: 'HASH' }],
      GlobalSecondaryIndexes: [
        {
          IndexName: 'dropped',
          KeySchema: [{ AttributeName: 'g', KeyType: 'HASH' }],
          Projection: { ProjectionType: 'ALL' },
        },
      ],
    });
    for (const p of ['a', 'b']) {
      await nodes.run(1, 'PutItem', { TableName: TABLE, Item: { p: { S: p }, g: { S: 'x' } } });
    }
  });

  /** The next page is not read before something else has happened. */
  const readAfter = (act: () => Promise<void>): void => {
    const { store } = ends[0]!;
    const read = store.part.bind(store);
    store.part = async (...args: Parameters<typeof read>) => {
      store.part = read;
      await act();
      return read(...args);
    };
  };

  test('of an index that is dropped before it is read is refused, and not empty', async () => {
    const query = {
      ...{ TableName: TABLE, IndexName: 'dropped', KeyConditionExpression: 'g = :g' },
      ExpressionAttributeValues: { ':g': { S: 'x' } },
    };
    assert.equal((await nodes.run(1, 'Query', query)).Count, 2);
    readAfter(async () => {
      const drop = { TableName: TABLE, GlobalSecondaryIndexUpdates: [{ Delete: { IndexName: 'dropped' } }] };
      await nodes.ask(1, 'UpdateTable', drop);
      for (let tries = 0; tries < 1_000; tries++) {
        const { Table } = await nodes.ask(1, 'DescribeTable', { TableName: TABLE });
        if ((Table as { TableStatus: string }).TableStatus === 'ACTIVE') return;
        await new Promise<void>((resolve) => nodes.cluster.node(1).machine.scheduler.after(10, resolve));
      }
    });
    const { type, message } = await nodes.refusal(1, 'Query', query);
    assert.deepEqual([type, message], ['ValidationException', 'The table does not have the specified index: dropped']);
  });

  test('of a table that is deleted before it is read is refused as well', async () => {
    readAfter(async () => {
      await nodes.ask(1, 'DeleteTable', { TableName: TABLE });
    });
    const { type } = await nodes.refusal(1, 'Scan', { TableName: TABLE, ConsistentRead: true });
    assert.equal(type, 'ResourceNotFoundException');
  });
});
