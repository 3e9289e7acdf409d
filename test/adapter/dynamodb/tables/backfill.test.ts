/** Indexes that are made and dropped while items are written. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { indexRange } from '../../../../src/adapter/dynamodb/rows/index.ts';
import { indexRows, itemOfRow, keyBytes, type TableDescriptor } from '../../../../src/adapter/dynamodb/tables/index.ts';
import { SeededRandom } from '../../../../src/platform/index.ts';
import { DynamoNodes } from '../dynamo-nodes.ts';

const TABLE = 'growing';
const ITEMS = 150;
const WRITERS = 6;
const INDEX = {
  IndexName: 'late',
  KeySchema: [{ AttributeName: 'g', KeyType: 'HASH' }],
  Projection: { ProjectionType: 'ALL' },
};
const UPDATE = {
  TableName: TABLE,
  AttributeDefinitions: [{ AttributeName: 'g', AttributeType: 'S' }],
  GlobalSecondaryIndexUpdates: [{ Create: INDEX }],
};

describe('an index of a table that has items', () => {
  const nodes = new DynamoNodes(3, 3, 17);
  const random = new SeededRandom(3);

  /** As the node has it that changes it: the others hear of it by themselves, or by what they are refused. */
  const table = (): Promise<TableDescriptor | undefined> => {
    const { directory, deadlineMs } = nodes.ends[1]!;
    return directory.renew(TABLE, deadlineMs());
  };

  const rows = async (index: number): Promise<Map<string, Buffer>> => {
    const { store, deadlineMs } = nodes.ends[1]!;
    const found = new Map<string, Buffer>();
    const range = indexRange((await table())!.id, index);
    const options = { limit: undefined, reverse: false, keysOnly: false };
    const pages = store.services.cluster.scan(range, options, deadlineMs(), new AbortController().signal);
    for await (const page of pages) for (const { key, value } of page.rows) found.set(key.toString('hex'), value);
    return found;
  };

  const item = (n: number): object => ({
    p: { N: String(n) },
    ...(random.int(4) === 0 ? {} : { g: random.int(9) === 0 ? { N: '1' } : { S: `g${random.int(5)}` } }),
    v: { N: String(random.int(1000)) },
  });

  /** Writes until something is so, and some more. */
  const writeUntil = async (isSo: () => boolean): Promise<number> => {
    let refused = 0;
    for (let left = 30; left > 0; ) {
      if (isSo()) left--;
      const [node, at] = [1 + random.int(3), random.int(ITEMS)];
      const write =
        random.int(3) === 0
          ? nodes.ask(node, 'DeleteItem', { TableName: TABLE, Key: { p: { N: String(at) } } })
          : nodes.ask(node, 'PutItem', { TableName: TABLE, Item: item(at) });
      await write.catch((error: Error) => {
        assert.match(error.message, /Type mismatch for Index Key g/);
        refused++;
      });
    }
    return refused;
  };

  before(async () => {
    await nodes.start();
    await nodes.run(1, 'CreateTable', {
      TableName: TABLE,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [{ AttributeName: 'p', AttributeType: 'N' }],
      KeySchema: [{ AttributeName: 'p', KeyType: 'HASH' }],
    });
    const put = (n: number) => nodes.ask(1 + (n % 3), 'PutItem', { TableName: TABLE, Item: item(n) });
    await nodes.cluster.run(Promise.all(Array.from({ length: ITEMS }, (_, n) => put(n))));
  });

  test('is filled beside writes, and has then what follows from the items', async () => {
    let refused = 0;
    const act = async (): Promise<void> => {
      let isActive = false;
      const { scheduler } = nodes.cluster.node(2).machine;
      const writing = Promise.all(Array.from({ length: WRITERS }, () => writeUntil(() => isActive)));
      const { TableDescription } = await nodes.ask(2, 'UpdateTable', UPDATE);
      assert.equal((TableDescription as Record<string, unknown>).TableStatus, 'UPDATING');
      await assert.rejects(nodes.ask(2, 'UpdateTable', UPDATE), /Attempt to change a resource which is still in use/);
      while ((await table())!.globalIndexes[0]!.state !== 'ACTIVE') {
        await new Promise<void>((resolve) => scheduler.after(20, resolve));
      }
      isActive = true;
      refused = (await writing).reduce((sum, one) => sum + one, 0);
    };
    await nodes.cluster.run(act());
    const now = (await nodes.cluster.run(table()))!;
    assert.equal(now.status, 'ACTIVE');
    const check = async (): Promise<void> => {
      const wanted = new Map<string, Buffer>();
      let without = 0;
      for (const [name, value] of await rows(0)) {
        const key = Buffer.from(name, 'hex');
        if (key[9] === 0) continue;
        const { item: found } = itemOfRow(now, key, value);
        const [row] = indexRows(now, keyBytes(now.key, found), found);
        if (row === undefined) without++;
        else wanted.set(row.key.toString('hex'), row.value);
      }
      assert.ok(wanted.size > 40 && without > 0, `${wanted.size} rows, ${without} without`);
      assert.deepEqual(new Map([...(await rows(1))].sort()), new Map([...wanted].sort()));
    };
    await nodes.cluster.run(check());
    assert.ok(refused > 0, 'values that cannot be keys are refused once there is an index');
    assert.deepEqual(nodes.problems, []);
  });

  test('is gone with its rows when it was dropped, and its name may be used again', async () => {
    const drop = { TableName: TABLE, GlobalSecondaryIndexUpdates: [{ Delete: { IndexName: 'late' } }] };
    const query = {
      TableName: TABLE,
      IndexName: 'late',
      KeyConditionExpression: 'g = :g',
      ExpressionAttributeValues: { ':g': { S: 'g1' } },
    };
    assert.ok(((await nodes.run(3, 'Query', query)).Count as number) > 0);
    await nodes.run(3, 'UpdateTable', drop);
    assert.match((await nodes.refusal(2, 'Query', query)).message, /does not have the specified index: late/);
    await nodes.until(1, TABLE, (now) => now?.globalIndexes.length === 0);
    assert.equal((await nodes.cluster.run(rows(1))).size, 0);
    // Values that could not be keys may be written again.
    await nodes.run(1, 'PutItem', { TableName: TABLE, Item: { p: { N: '1' }, g: { N: '1' } } });
    await nodes.run(2, 'UpdateTable', UPDATE);
    await nodes.until(2, TABLE, (now) => now?.status === 'ACTIVE' && now.globalIndexes[0]?.state === 'ACTIVE');
    assert.ok(((await nodes.run(3, 'Query', query)).Count as number) > 0);
  });
});
