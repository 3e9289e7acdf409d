import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { DynamoNodes } from '../dynamo-nodes.ts';

const KEY = {
  AttributeDefinitions: [{ AttributeName: 'p', AttributeType: 'S' }],
  KeySchema: [{ AttributeName: 'p', KeyType: 'HASH' }],
};
const ON_DEMAND = { ...KEY, BillingMode: 'PAY_PER_REQUEST' };

describe('tables', () => {
  const nodes = new DynamoNodes(3, 3);
  before(() => nodes.start());

  test('are there on every node when they have been made', async () => {
    const { TableDescription } = await nodes.run(1, 'CreateTable', { ...ON_DEMAND, TableName: 'first' });
    const created = TableDescription as Record<string, unknown>;
    assert.equal(created.TableStatus, 'CREATING');
    assert.equal(created.TableArn, 'arn:aws:dynamodb:eu-west-1:000000000000:table/first');
    for (const node of [1, 2, 3]) {
      const { Table } = await nodes.run(node, 'DescribeTable', { TableName: 'first' });
      assert.equal((Table as Record<string, unknown>).TableStatus, 'ACTIVE');
      assert.deepEqual((Table as Record<string, unknown>).KeySchema, KEY.KeySchema);
    }
    assert.deepEqual(await nodes.refusal(2, 'CreateTable', { ...ON_DEMAND, TableName: 'first' }), {
      type: 'ResourceInUseException',
      message: 'Table already exists: first',
    });
  });

  test('are spread over the groups', async () => {
    for (const name of ['spread-1', 'spread-2', 'spread-3', 'spread-4']) {
      await nodes.run(1, 'CreateTable', { ...ON_DEMAND, TableName: name });
    }
    const { directory, deadlineMs, store } = nodes.ends[0]!;
    const groups = new Set<number>();
    for (const name of ['spread-1', 'spread-2', 'spread-3', 'spread-4']) {
      const table = await nodes.cluster.run(directory.find(name, deadlineMs()));
      groups.add(store.services.kv.groupOf(Buffer.of(0x64, table!.id >>> 16, 0, 0)));
    }
    assert.ok(groups.size > 1, [...groups].join());
  });

  test('are listed in the order of their names, page by page', async () => {
    const names: string[] = [];
    let after: unknown;
    do {
      const page = await nodes.run(3, 'ListTables', {
        Limit: 2,
        ...(after === undefined ? {} : { ExclusiveStartTableName: after }),
      });
      names.push(...(page.TableNames as string[]));
      after = page.LastEvaluatedTableName;
    } while (after !== undefined);
    assert.deepEqual(names, ['first', 'spread-1', 'spread-2', 'spread-3', 'spread-4']);
  });

  test('go with all that they had, and their names may be used again', async () => {
    await nodes.run(1, 'CreateTable', { ...ON_DEMAND, TableName: 'gone', DeletionProtectionEnabled: true });
    assert.match((await nodes.refusal(2, 'DeleteTable', { TableName: 'gone' })).message, /currently protected/);
    await nodes.run(2, 'UpdateTable', { TableName: 'gone', DeletionProtectionEnabled: false });
    await nodes.run(1, 'PutItem', { TableName: 'gone', Item: { p: { S: 'a' } } });
    const { TableDescription } = await nodes.run(2, 'DeleteTable', { TableName: 'gone' });
    assert.equal((TableDescription as Record<string, unknown>).TableStatus, 'DELETING');
    assert.deepEqual(await nodes.refusal(1, 'PutItem', { TableName: 'gone', Item: { p: { S: 'b' } } }), {
      type: 'ResourceNotFoundException',
      message: 'Requested resource not found',
    });
    await nodes.until(1, 'gone', (table) => table === undefined);
    assert.deepEqual(await nodes.refusal(1, 'DescribeTable', { TableName: 'gone' }), {
      type: 'ResourceNotFoundException',
      message: 'Requested resource not found: Table: gone not found',
    });
    await nodes.run(3, 'CreateTable', { ...ON_DEMAND, TableName: 'gone' });
    assert.deepEqual(
      await nodes.run(1, 'GetItem', { TableName: 'gone', Key: { p: { S: 'a' } }, ConsistentRead: true }),
      {
        Item: undefined,
        ConsumedCapacity: undefined,
      },
    );
  });

  test('have tags', async () => {
    const ResourceArn = 'arn:aws:dynamodb:eu-west-1:000000000000:table/first';
    await nodes.run(1, 'TagResource', {
      ResourceArn,
      Tags: [
        { Key: 'a', Value: '1' },
        { Key: 'b', Value: '2' },
      ],
    });
    await nodes.run(2, 'UntagResource', { ResourceArn, TagKeys: ['a'] });
    assert.deepEqual((await nodes.run(3, 'ListTagsOfResource', { ResourceArn })).Tags, [{ Key: 'b', Value: '2' }]);
    assert.match((await nodes.refusal(1, 'TagResource', { ResourceArn, Tags: [] })).message, /Atleast one Tag/);
    assert.match(
      (await nodes.refusal(1, 'TagResource', { ResourceArn: `${ResourceArn}x`, Tags: [{ Key: 'a', Value: '' }] }))
        .message,
      /ResourcArn/,
    );
  });

  test('are refused when they cannot be', async () => {
    const cases: [object, RegExp][] = [
      [{ ...KEY, TableName: 'bad' }, /ReadCapacityUnits and WriteCapacityUnits must both be specified/],
      [{ ...ON_DEMAND, TableName: 'ab' }, /at least 3 characters long/],
      [
        { ...ON_DEMAND, TableName: 'bad', KeySchema: [{ AttributeName: 'p', KeyType: 'RANGE' }] },
        /not a HASH key type/,
      ],
      [{ ...ON_DEMAND, TableName: 'bad', AttributeDefinitions: [] }, /not defined in AttributeDefinitions/],
      [
        {
          ...ON_DEMAND,
          TableName: 'bad',
          AttributeDefinitions: [...KEY.AttributeDefinitions, { AttributeName: 'q', AttributeType: 'N' }],
        },
        /does not exactly match/,
      ],
      [
        {
          ...ON_DEMAND,
          TableName: 'bad',
          LocalSecondaryIndexes: [
            { IndexName: 'loc', KeySchema: KEY.KeySchema, Projection: { ProjectionType: 'ALL' } },
          ],
        },
        /does not have a range key, which is required/,
      ],
    ];
    for (const [input, message] of cases) {
      const refusal = await nodes.refusal(1, 'CreateTable', input);
      assert.equal(refusal.type, 'ValidationException');
      assert.match(refusal.message, message);
    }
  });

  test('have times to live, which change once an hour', async () => {
    const spec = { TableName: 'first', TimeToLiveSpecification: { Enabled: true, AttributeName: 'until' } };
    await nodes.run(1, 'UpdateTimeToLive', spec);
    await nodes.until(1, 'first', (table) => table?.ttl?.state === 'ENABLED');
    assert.deepEqual((await nodes.run(2, 'DescribeTimeToLive', { TableName: 'first' })).TimeToLiveDescription, {
      TimeToLiveStatus: 'ENABLED',
      AttributeName: 'until',
    });
    assert.match((await nodes.refusal(2, 'UpdateTimeToLive', spec)).message, /already enabled/);
    const off = { ...spec, TimeToLiveSpecification: { Enabled: false, AttributeName: 'until' } };
    assert.match((await nodes.refusal(2, 'UpdateTimeToLive', off)).message, /multiple times within a fixed interval/);
  });
});
