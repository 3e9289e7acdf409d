import assert from 'node:assert/strict';
import { before, describe, mock, test } from 'node:test';
import { DynamoError } from '../../../../src/adapter/dynamodb/errors/index.ts';
import { LeaderUnavailableError, OvertakenError } from '../../../../src/kv/index.ts';
import { OutcomeUnknownError } from '../../../../src/raftengine/index.ts';
import { DynamoNodes } from '../dynamo-nodes.ts';

const KEY = {
  AttributeDefinitions: [{ AttributeName: 'p', AttributeType: 'N' }],
  KeySchema: [{ AttributeName: 'p', KeyType: 'HASH' }],
};
const TABLES = ['account', 'journal', 'other'];

const key = (p: number | string) => ({ p: { N: String(p) } });
const check = (table: string, p: number, ConditionExpression: string) => ({
  ConditionCheck: { TableName: table, Key: key(p), ConditionExpression },
});

describe('transactions over tables in several groups', () => {
  const nodes = new DynamoNodes(3, 3, 13);

  before(async () => {
    await nodes.start();
    for (const TableName of TABLES)
      await nodes.run(1, 'CreateTable', { ...KEY, TableName, BillingMode: 'PAY_PER_REQUEST' });
    await nodes.run(1, 'PutItem', { TableName: 'account', Item: { ...key(1), n: { N: '10' } } });
    await nodes.run(1, 'PutItem', { TableName: 'account', Item: { ...key(2), n: { N: '0' } } });
  });

  const balance = async (p: number): Promise<unknown> => {
    const { Item } = await nodes.run(3, 'GetItem', { TableName: 'account', Key: key(p), ConsistentRead: true });
    return (Item as Record<string, { N?: string }> | undefined)?.n?.N;
  };

  const transfer = (from: number, to: number, amount: number) => [
    {
      Update: {
        TableName: 'account',
        Key: key(from),
        UpdateExpression: 'SET n = n - :n',
        ConditionExpression: 'n >= :n',
        ExpressionAttributeValues: { ':n': { N: String(amount) } },
      },
    },
    {
      Update: {
        TableName: 'account',
        Key: key(to),
        UpdateExpression: 'SET n = n + :n',
        ExpressionAttributeValues: { ':n': { N: String(amount) } },
      },
    },
  ];

  const cancellation = async (TransactItems: object[], more: object = {}): Promise<unknown[]> => {
    try {
      await nodes.run(2, 'TransactWriteItems', { TransactItems, ...more });
    } catch (error) {
      assert.ok(error instanceof DynamoError && error.type === 'TransactionCanceledException', String(error));
      return error.members.CancellationReasons as unknown[];
    }
    return assert.fail('it was done');
  };

  test('are done as a whole', async () => {
    await nodes.run(2, 'TransactWriteItems', {
      TransactItems: [
        ...transfer(1, 2, 4),
        { Put: { TableName: 'journal', Item: { ...key(1), text: { S: 'moved' } } } },
        check('other', 1, 'attribute_not_exists(p)'),
      ],
    });
    assert.deepEqual([await balance(1), await balance(2)], ['6', '4']);
    const { Responses } = await nodes.run(1, 'TransactGetItems', {
      TransactItems: [
        { Get: { TableName: 'account', Key: key(1), ProjectionExpression: 'n' } },
        { Get: { TableName: 'other', Key: key(1) } },
        { Get: { TableName: 'journal', Key: key(1) } },
      ],
    });
    assert.deepEqual(JSON.parse(JSON.stringify(Responses)), [
      { Item: { n: { N: '6' } } },
      {},
      { Item: { p: { N: '1' }, text: { S: 'moved' } } },
    ]);
  });

  test('are not done at all when one condition does not hold, and every reason is told', async () => {
    const failing = transfer(1, 2, 100).map((action) => ({
      Update: { ...action.Update, ReturnValuesOnConditionCheckFailure: 'ALL_OLD' },
    }));
    const reasons = await cancellation([
      ...failing,
      check('other', 1, 'attribute_exists(p)'),
      check('journal', 1, 'attribute_exists(p)'),
    ]);
    assert.deepEqual(JSON.parse(JSON.stringify(reasons)), [
      {
        Code: 'ConditionalCheckFailed',
        Message: 'The conditional request failed',
        Item: { p: { N: '1' }, n: { N: '6' } },
      },
      { Code: 'None' },
      { Code: 'ConditionalCheckFailed', Message: 'The conditional request failed' },
      { Code: 'None' },
    ]);
    assert.deepEqual([await balance(1), await balance(2)], ['6', '4']);
  });

  test('are refused as a whole when a key does not fit', async () => {
    const wrong = { Delete: { TableName: 'journal', Key: { p: { S: 'text' } } } };
    assert.deepEqual(await cancellation([...transfer(1, 2, 1), wrong]), [
      { Code: 'None' },
      { Code: 'None' },
      { Code: 'ValidationError', Message: 'The provided key element does not match the schema' },
    ]);
  });

  test('name an item once, by its value', async () => {
    const twice = [
      { Put: { TableName: 'journal', Item: key(7) } },
      { Delete: { TableName: 'journal', Key: key('7.0') } },
    ];
    assert.deepEqual(await nodes.refusal(1, 'TransactWriteItems', { TransactItems: twice }), {
      type: 'ValidationException',
      message: 'Transaction request cannot include multiple operations on one item',
    });
  });

  test('are done once for a token, on whichever node it comes again', async () => {
    const request = { TransactItems: transfer(1, 2, 1), ClientRequestToken: 'token-1' };
    await nodes.run(1, 'TransactWriteItems', request);
    const again = await nodes.run(3, 'TransactWriteItems', { ...request, ReturnConsumedCapacity: 'TOTAL' });
    assert.deepEqual(JSON.parse(JSON.stringify(again.ConsumedCapacity)), [
      { TableName: 'account', CapacityUnits: 4, ReadCapacityUnits: 4 },
    ]);
    assert.deepEqual([await balance(1), await balance(2)], ['5', '5']);
    const other = { ...request, TransactItems: transfer(1, 2, 2) };
    assert.equal((await nodes.refusal(2, 'TransactWriteItems', other)).type, 'IdempotentParameterMismatchException');
    await cancellation(transfer(1, 2, 100), { ClientRequestToken: 'token-2' });
    await nodes.run(2, 'TransactWriteItems', { TransactItems: transfer(2, 1, 1), ClientRequestToken: 'token-2' });
    assert.deepEqual([await balance(1), await balance(2)], ['6', '4']);
  });

  test('are under way for a token that comes again meanwhile, and done once', async () => {
    const before = [await balance(1), await balance(2)].map(Number);
    const request = { TransactItems: transfer(1, 2, 1), ClientRequestToken: 'token-3' };
    const asked = [request, request, { ...request, TransactItems: transfer(1, 2, 2) }];
    const outcomes = await nodes.cluster.run(
      Promise.allSettled(asked.map((one) => nodes.ask(1, 'TransactWriteItems', one))),
    );
    assert.deepEqual(
      outcomes.map((outcome) => (outcome.status === 'fulfilled' ? 'done' : (outcome.reason as DynamoError).type)),
      ['done', 'TransactionInProgressException', 'IdempotentParameterMismatchException'],
    );
    await nodes.run(1, 'TransactWriteItems', request);
    assert.deepEqual([await balance(1), await balance(2)].map(Number), [before[0]! - 1, before[1]! + 1]);
    await nodes.run(2, 'TransactWriteItems', { TransactItems: transfer(2, 1, 1) });
  });

  test('are done once when it is not known what became of the first attempt, whatever is in the way of the next', async () => {
    const before = [await balance(1), await balance(2)].map(Number);
    const { store } = nodes.ends[0]!;
    const write = store.write.bind(store);
    const outcomes = ['done, and not told', 'in the way', 'no leader'];
    const attempts = mock.method(store, 'write', async (...args: Parameters<typeof write>) => {
      switch (outcomes.shift()) {
        case 'done, and not told':
          await write(...args);
          throw new OutcomeUnknownError('nobody has answered');
        case 'in the way':
          throw new OvertakenError('others are in the way');
        case 'no leader':
          throw new LeaderUnavailableError('nobody leads');
        default:
          return write(...args);
      }
    });
    const request = { TransactItems: transfer(1, 2, 1), ClientRequestToken: 'token-4' };
    await nodes.run(1, 'TransactWriteItems', request);
    assert.equal(attempts.mock.callCount(), 4);
    outcomes.push('in the way');
    const refused = await nodes.refusal(1, 'TransactWriteItems', { TransactItems: transfer(1, 2, 1) });
    assert.match(refused.message, /\[TransactionConflict, TransactionConflict\]$/);
    attempts.mock.restore();
    assert.deepEqual([await balance(1), await balance(2)].map(Number), [before[0]! - 1, before[1]! + 1]);
    await nodes.run(2, 'TransactWriteItems', { TransactItems: transfer(2, 1, 1) });
  });

  test('keep a sum while many run at once, on every node', async () => {
    const sums: number[] = [];
    const mover = async (node: number): Promise<void> => {
      for (let n = 0; n < 12; n++) {
        const TransactItems = transfer(1 + (n % 2), 2 - (n % 2), 1);
        await nodes.ask(node, 'TransactWriteItems', { TransactItems }).catch((error: unknown) => {
          assert.ok(error instanceof DynamoError && error.type === 'TransactionCanceledException', String(error));
        });
      }
    };
    const reader = async (): Promise<void> => {
      for (let n = 0; n < 12; n++) {
        const TransactItems = [1, 2].map((p) => ({ Get: { TableName: 'account', Key: key(p) } }));
        const { Responses } = await nodes.ask(1 + (n % 3), 'TransactGetItems', { TransactItems });
        sums.push((Responses as { Item: { n: { N: string } } }[]).reduce((sum, { Item }) => sum + Number(Item.n.N), 0));
      }
    };
    await nodes.cluster.run(Promise.all([mover(1), mover(2), mover(3), reader()]));
    assert.deepEqual([...new Set(sums)], [10]);
  });

  test('have limits: batches are checked before anything is written', async () => {
    const items = Array.from({ length: 3 }, (_, n) => ({ PutRequest: { Item: key(100 + n) } }));
    const wrong = { PutRequest: { Item: { q: { N: '1' } } } };
    assert.match(
      (await nodes.refusal(1, 'BatchWriteItem', { RequestItems: { journal: [...items, wrong] } })).message,
      /Missing the key p in the item/,
    );
    const twice = { RequestItems: { journal: [...items, { DeleteRequest: { Key: key('100.0') } }] } };
    assert.equal(
      (await nodes.refusal(1, 'BatchWriteItem', twice)).message,
      'Provided list of item keys contains duplicates',
    );
    const asked = {
      RequestItems: { journal: { Keys: [100, 101, 102, 103].map((p) => key(p)) }, other: { Keys: [key(1)] } },
    };
    assert.deepEqual((await nodes.run(2, 'BatchGetItem', asked)).Responses, { journal: [], other: [] });
    assert.deepEqual((await nodes.run(1, 'BatchWriteItem', { RequestItems: { journal: items } })).UnprocessedItems, {});
    const { Responses, UnprocessedKeys } = await nodes.run(1, 'BatchGetItem', asked);
    assert.equal((Responses as Record<string, unknown[]>).journal!.length, 3);
    assert.deepEqual(UnprocessedKeys, {});
  });
});
