import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { DynamoNodes } from '../dynamo-nodes.ts';

const TableName = 'counters';
const Key = { p: { S: 'a' } };
const INCREMENT = {
  TableName,
  Key,
  UpdateExpression: 'ADD n :one',
  ExpressionAttributeValues: { ':one': { N: '1' } },
};

describe('an attempt of a call that was done before', () => {
  const nodes = new DynamoNodes(3, 3, 23);
  const add = (node: number, id: string, attempt: number, ReturnValues: string) =>
    nodes.cluster.run(nodes.ask(node, 'UpdateItem', { ...INCREMENT, ReturnValues }, { id, attempt }));
  const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

  before(async () => {
    await nodes.start();
    await nodes.run(1, 'CreateTable', {
      TableName,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [{ AttributeName: 'p', AttributeType: 'S' }],
      KeySchema: [{ AttributeName: 'p', KeyType: 'HASH' }],
    });
  });

  test('does nothing again, on whichever node, and is answered what the first one was', async () => {
    await add(1, 'call-1', 1, 'NONE');
    for (const returns of ['ALL_NEW', 'UPDATED_OLD', 'ALL_OLD', 'UPDATED_NEW']) {
      const id = `call-${returns}`;
      const first = await add(2, id, 1, returns);
      assert.deepEqual(plain(await add(3, id, 2, returns)), plain(first), returns);
    }
    const { Item } = await nodes.run(1, 'GetItem', { TableName, Key, ConsistentRead: true });
    assert.deepEqual(plain(Item), { p: { S: 'a' }, n: { N: '5' } });
  });

  test('is done when the one before was not, or another call has come between', async () => {
    await add(1, 'late', 2, 'NONE');
    await add(1, 'other', 1, 'NONE');
    const { Attributes } = await add(1, 'late', 3, 'ALL_NEW');
    assert.deepEqual(plain(Attributes), { p: { S: 'a' }, n: { N: '8' } });
  });
});
