/** What is asked of a node that does not lead is done where the rows are led: one message, and the same answers. */
import assert from 'node:assert/strict';
import { before, describe, mock, test } from 'node:test';
import { encodeChange, readChange } from '../../../../src/adapter/dynamodb/items/change-message.ts';
import { ITEM_SERVICE, readHead } from '../../../../src/adapter/dynamodb/items/message-head.ts';
import { decodeOutcome, encodeDone } from '../../../../src/adapter/dynamodb/items/outcome-message.ts';
import { encodePageQuestion, readPageQuestion } from '../../../../src/adapter/dynamodb/items/page-message.ts';
import {
  encodeTransaction,
  readTransaction,
  readTransactionDone,
  transactionDone,
} from '../../../../src/adapter/dynamodb/items/transaction-message.ts';
import type { TableDescriptor } from '../../../../src/adapter/dynamodb/tables/index.ts';
import { readItem } from '../../../../src/adapter/dynamodb/values/index.ts';
import { groupId } from '../../../../src/platform/index.ts';
import { DynamoNodes } from '../dynamo-nodes.ts';

const TableName = 'things';
const TABLE = {
  TableName,
  BillingMode: 'PAY_PER_REQUEST',
  AttributeDefinitions: [
    { AttributeName: 'p', AttributeType: 'S' },
    { AttributeName: 's', AttributeType: 'N' },
    { AttributeName: 'l', AttributeType: 'N' },
  ],
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
};
const ITEMS = 1_500;
const key = (s: number) => ({ p: { S: 'a' }, s: { N: String(s) } });
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe('items that another node leads', () => {
  const nodes = new DynamoNodes(3, 3, 41);
  let others: number[] = [];
  /** What a node is answered, and the messages about items and transactions that it takes. */
  const counted = <T>(node: number, act: () => Promise<T>) => {
    const { kv, transactions } = nodes.ends[node - 1]!.store.services;
    const forward = mock.method(kv, 'forward');
    const run = mock.method(transactions, 'run');
    const done = act();
    return done
      .then((answer) => ({
        answer: plain(answer) as Record<string, unknown>,
        messages: forward.mock.calls
          .map(({ arguments: [, service] }) => service)
          .filter((name) => name === ITEM_SERVICE),
        transactions: run.mock.callCount(),
      }))
      .finally(() => {
        forward.mock.restore();
        run.mock.restore();
      });
  };
  const ask = (node: number, name: string, input: object) =>
    nodes.cluster.run(counted(node, () => nodes.ask(node, name, { TableName, ...input })));

  before(async () => {
    await nodes.start();
    await nodes.run(1, 'CreateTable', TABLE);
    const { directory, store, deadlineMs } = nodes.ends[0]!;
    const table = (await nodes.cluster.run(directory.find(TableName, deadlineMs())))!;
    const { kv } = store.services;
    const group = kv.groupOf(Buffer.from(`64${table.id.toString(16).padStart(6, '0')}`, 'hex'));
    others = [1, 2, 3].filter((node) => !nodes.ends[node - 1]!.store.services.kv.servesLocally(group));
    assert.equal(others.length, 2);
    for (let from = 0; from < ITEMS; from += 25) {
      const RequestItems = {
        [TableName]: Array.from({ length: 25 }, (_, at) => ({
          PutRequest: {
            Item: { ...key(from + at), l: { N: String(ITEMS - from - at) }, even: { BOOL: at % 2 === 0 } },
          },
        })),
      };
      await nodes.run(1 + (from % 3), 'BatchWriteItem', { RequestItems });
    }
    // Every node knows the table, and reads as eventually as it may.
    for (const node of [1, 2, 3]) await nodes.run(node, 'GetItem', { TableName, Key: key(0), ConsistentRead: true });
    await nodes.cluster.simulation.runFor(3_000);
  });

  test('are written by one message, without a transaction', async () => {
    for (const [at, node] of others.entries()) {
      const Key = key(10_000 + at);
      const put = await ask(node, 'PutItem', { Item: { ...Key, n: { N: '1' } }, ReturnValues: 'ALL_OLD' });
      assert.deepEqual(put, { answer: {}, messages: [ITEM_SERVICE], transactions: 0 });
      const update = await ask(node, 'UpdateItem', {
        Key,
        UpdateExpression: 'SET n = n + :one, m.#x = if_not_exists(q, :one)',
        ConditionExpression: 'n BETWEEN :one AND :two AND attribute_not_exists(z)',
        ExpressionAttributeNames: { '#x': 'x' },
        ExpressionAttributeValues: { ':one': { N: '1' }, ':two': { N: '2' } },
      }).catch((error: Error) => error.message);
      assert.equal(update, 'The document path provided in the update expression is invalid for update');
      const values = { ':one': { N: '1' } };
      const updated = await ask(node, 'UpdateItem', {
        ...{ Key, UpdateExpression: 'ADD n :one', ExpressionAttributeValues: values, ReturnValues: 'UPDATED_NEW' },
        ReturnConsumedCapacity: 'INDEXES',
      });
      assert.deepEqual(updated, {
        answer: {
          Attributes: { n: { N: '2' } },
          ConsumedCapacity: { TableName, CapacityUnits: 1, Table: { CapacityUnits: 1 } },
        },
        messages: [ITEM_SERVICE],
        transactions: 0,
      });
      const refused = await nodes.cluster.run(
        nodes
          .ask(node, 'DeleteItem', {
            ...{ TableName, Key, ConditionExpression: 'n = :one', ExpressionAttributeValues: values },
            ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
          })
          .catch((error: { readonly type: string; readonly members: object }) => [error.type, plain(error.members)]),
      );
      assert.deepEqual(refused, ['ConditionalCheckFailedException', { Item: { ...Key, n: { N: '2' } } }]);
      const deleted = await ask(node, 'DeleteItem', { Key, ReturnValues: 'ALL_OLD' });
      assert.deepEqual(deleted.answer, { Attributes: { ...Key, n: { N: '2' } } });
    }
  });

  test('are changed together by one message, all of them or none, without a transaction of the node that was asked', async () => {
    const values = { ':one': { N: '1' } };
    for (const [at, node] of others.entries()) {
      const [one, two] = [key(11_000 + 2 * at), key(11_001 + 2 * at)];
      const request = (condition: string) => ({
        TransactItems: [
          { Put: { TableName, Item: { ...one, n: { N: '1' } } } },
          {
            Update: {
              ...{ TableName, Key: two, UpdateExpression: 'ADD n :one', ConditionExpression: condition },
              ...{ ExpressionAttributeValues: values, ReturnValuesOnConditionCheckFailure: 'ALL_OLD' },
            },
          },
        ],
        ReturnConsumedCapacity: 'TOTAL',
      });
      const done = await nodes.cluster.run(
        counted(node, () => nodes.ask(node, 'TransactWriteItems', request('attribute_not_exists(n)'))),
      );
      assert.deepEqual(done, {
        answer: { ConsumedCapacity: [{ TableName, CapacityUnits: 4, WriteCapacityUnits: 4 }] },
        messages: [ITEM_SERVICE],
        transactions: 0,
      });
      const again = request('n = :one AND attribute_not_exists(n)');
      const refused = await nodes.cluster.run(
        counted(node, () =>
          nodes
            .ask(node, 'TransactWriteItems', again)
            .catch((error: { readonly type: string; readonly members: object }) => [error.type, error.members]),
        ),
      );
      const Message = 'The conditional request failed';
      const failed = { Code: 'ConditionalCheckFailed', Message, Item: { ...two, n: { N: '1' } } };
      assert.deepEqual(refused, {
        answer: ['TransactionCanceledException', { CancellationReasons: [{ Code: 'None' }, failed] }],
        messages: [ITEM_SERVICE],
        transactions: 0,
      });
      for (const Key of [one, two]) await nodes.run(node, 'DeleteItem', { TableName, Key });
    }
  });

  test('are read in pages of one message each, filtered and projected where they are', async () => {
    // Nobody has written lately, so every node may answer from its own replica.
    await nodes.cluster.simulation.runFor(3_000);
    const filter = { FilterExpression: 'even = :yes AND s >= :low', ProjectionExpression: 's' };
    const values = { ':p': { S: 'a' }, ':yes': { BOOL: true }, ':low': { N: '1000' } };
    for (const node of others) {
      const query = await ask(node, 'Query', {
        ...{ ConsistentRead: true, KeyConditionExpression: 'p = :p', ScanIndexForward: false },
        ...{ FilterExpression: 'even = :yes', ProjectionExpression: 's' },
        ExpressionAttributeValues: { ':p': values[':p'], ':yes': values[':yes'] },
      });
      const items = query.answer.Items as { readonly s: { readonly N: string } }[];
      assert.equal(query.answer.ScannedCount, ITEMS);
      assert.equal(items.length, (ITEMS / 25) * 13);
      assert.deepEqual(items[0], { s: { N: String(ITEMS - 1) } });
      assert.deepEqual(query.messages, [ITEM_SERVICE]);

      const { ':p': _, ...scanned } = values;
      const scan = await ask(node, 'Scan', { ConsistentRead: true, ...filter, ExpressionAttributeValues: scanned });
      assert.deepEqual([scan.answer.Count, scan.answer.ScannedCount], [260, ITEMS]);
      assert.deepEqual(scan.messages, [ITEM_SERVICE]);

      const fetched = await ask(node, 'Query', {
        ...{ IndexName: 'local', Select: 'ALL_ATTRIBUTES', ConsistentRead: true, Limit: 700 },
        ...{ KeyConditionExpression: 'p = :p', ExpressionAttributeValues: { ':p': values[':p'] } },
      });
      assert.deepEqual(fetched.messages, [ITEM_SERVICE]);
      assert.equal((fetched.answer.Items as object[]).length, 700);
      assert.deepEqual((fetched.answer.Items as object[])[0], {
        ...key(ITEMS - 1),
        l: { N: '1' },
        even: { BOOL: true },
      });
      assert.deepEqual(fetched.answer.LastEvaluatedKey, { ...key(ITEMS - 700), l: { N: '700' } });

      const count = await ask(node, 'Scan', { Select: 'COUNT' });
      assert.deepEqual(count, { answer: { Count: ITEMS, ScannedCount: ITEMS }, messages: [], transactions: 0 });
    }
  });

  test('are written by the table as it is, though the nodes know it as it was', async () => {
    const [first, second] = others as [number, number];
    await nodes.run(first, 'UpdateTable', {
      TableName,
      AttributeDefinitions: [{ AttributeName: 'g', AttributeType: 'S' }],
      GlobalSecondaryIndexUpdates: [
        {
          Create: {
            IndexName: 'global',
            KeySchema: [{ AttributeName: 'g', KeyType: 'HASH' }],
            Projection: { ProjectionType: 'ALL' },
          },
        },
      ],
    });
    await nodes.run(second, 'PutItem', { TableName, Item: { ...key(20_000), g: { S: 'x' } } });
    await nodes.until(first, TableName, (table) => table?.globalIndexes[0]?.state === 'ACTIVE');
    const { Items } = await nodes.run(first, 'Query', {
      ...{ TableName, IndexName: 'global', KeyConditionExpression: 'g = :g' },
      ExpressionAttributeValues: { ':g': { S: 'x' } },
    });
    assert.deepEqual(plain(Items), [{ ...key(20_000), g: { S: 'x' } }]);
    assert.deepEqual(nodes.problems, []);
  });
});

describe('messages about items', () => {
  const table = { id: 0x010000, name: 'things', version: 3, localIndexes: [], globalIndexes: [] } as unknown;
  const named = table as TableDescriptor;
  const GOLDEN = {
    change:
      '010000000002000000067468696e6773000100000000000000000003011f020101700001610601000170026e6f01010200017101010707070707070707',
    transaction:
      '010200000002000000067468696e677300010000000000000000000301000000020102000000040303030301000000066f746865727300020000000000000000000402010107000101700001610601000170026e6f0101020001710101000107000101700001610601000170026e6f0101020001710101',
    page: '010100000002000000067468696e67730001000000000000000000037d000000000001010000000102001fffffffffffff00100000060100017001010001700000000109',
  };

  test('have the bytes that other versions read', () => {
    const change = {
      ...({ kind: 'update', item: readItem({ p: { S: 'a' } }), returnsItem: true } as const),
      condition: { kind: 'exists', path: ['p'] } as const,
      update: { actions: [{ kind: 'remove', path: ['q', 1] }], mismatch: 'no' } as const,
    };
    const asked = { change, invocation: { hash: Buffer.alloc(8, 7), isRepeated: true }, part: 'after' } as const;
    const question = {
      ...{ table: named, index: undefined, range: { start: Buffer.of(1), end: Buffer.of(2) } },
      ...{ isReverse: true, limit: Number.POSITIVE_INFINITY, maxBytes: 1024 * 1024, isCounted: false, isFetched: true },
      ...({
        filter: change.condition,
        projection: { paths: [['p']] },
        readKind: 'consistent',
        fence: Buffer.of(9),
      } as const),
    };
    const tables = new Map([
      ['things', named],
      ['others', { ...named, id: 0x020000, name: 'others', version: 4 }],
    ]);
    const changes = ['others', 'things'].map((name) => ({ name, change }));
    const token = { key: Buffer.of(1, 2), digest: Buffer.alloc(4, 3) };
    const bytes = {
      change: encodeChange(groupId(2), named, asked),
      transaction: encodeTransaction(groupId(2), tables, changes, token),
      page: encodePageQuestion(groupId(2), question),
    };
    const hex = Object.fromEntries(Object.entries(bytes).map(([kind, message]) => [kind, message.toString('hex')]));
    assert.deepEqual(hex, GOLDEN);
    const asking = readHead(bytes.transaction);
    assert.deepEqual(readTransaction(asking.reader, asking.head.table), {
      ...{ token, others: [{ id: 0x020000, name: 'others', version: 4 }], changes },
    });
    const { head, reader } = readHead(bytes.change);
    assert.deepEqual(head, {
      ...{ kind: 'change', group: 2, table: { id: 0x010000, name: 'things', version: 3 } },
    });
    assert.deepEqual(readChange(reader), asked);
    const costs = { table: 2, globalIndexes: new Map([['g', 1]]), localIndexes: new Map() };
    for (const outcome of [undefined, [costs, costs]])
      assert.deepEqual(decodeOutcome(encodeDone(transactionDone(outcome)), readTransactionDone), outcome);
    const page = readHead(bytes.page);
    assert.deepEqual(readPageQuestion(page.reader, named), { ...question, limit: Number.MAX_SAFE_INTEGER });
  });
});
