import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { DynamoError } from '../../../../src/adapter/dynamodb/errors/index.ts';
import { DynamoNodes } from '../dynamo-nodes.ts';

const TABLE = {
  TableName: 'music',
  AttributeDefinitions: [
    { AttributeName: 'artist', AttributeType: 'S' },
    { AttributeName: 'year', AttributeType: 'N' },
    { AttributeName: 'genre', AttributeType: 'S' },
  ],
  KeySchema: [
    { AttributeName: 'artist', KeyType: 'HASH' },
    { AttributeName: 'year', KeyType: 'RANGE' },
  ],
  GlobalSecondaryIndexes: [
    {
      IndexName: 'by-genre',
      KeySchema: [{ AttributeName: 'genre', KeyType: 'HASH' }],
      Projection: { ProjectionType: 'ALL' },
    },
  ],
  BillingMode: 'PAY_PER_REQUEST',
};

interface Answer {
  readonly Items?: readonly Record<string, Record<string, string>>[];
  readonly NextToken?: string;
  readonly Responses?: readonly Record<string, Record<string, unknown>>[];
  readonly ConsumedCapacity?: unknown;
}

describe('statements over three nodes', () => {
  const nodes = new DynamoNodes(3, 3, 41);
  let turn = 0;

  const ask = async (name: string, input: object): Promise<Answer> =>
    JSON.parse(JSON.stringify(await nodes.run(1 + (turn++ % 3), name, input)));
  const execute = (Statement: string, more: object = {}): Promise<Answer> =>
    ask('ExecuteStatement', { Statement, ConsistentRead: !Statement.includes('by-genre'), ...more });
  const years = async (statement: string, more: object = {}): Promise<string[]> =>
    (await execute(statement, more)).Items!.map(({ year }) => year!.N!);
  const refusal = async (name: string, input: object): Promise<string> => {
    const { type, message } = await nodes.refusal(1 + (turn++ % 3), name, input);
    return `${type}: ${message}`;
  };
  const refused = (Statement: string, more: object = {}): Promise<string> =>
    refusal('ExecuteStatement', { Statement, ...more });

  before(async () => {
    await nodes.start();
    await nodes.run(1, 'CreateTable', TABLE);
    for (let year = 1; year <= 9; year++)
      await execute(`INSERT INTO music VALUE {'artist': 'a', 'year': ${year}, 'genre': ?, 'n': ${year % 3}}`, {
        Parameters: [{ S: year < 4 ? 'x' : 'y' }],
      });
    await execute("INSERT INTO music VALUE {'artist': 'b', 'year': 1, 'n': 7}");
  });

  test('select items by key, by partition, by index and by looking at all', async () => {
    assert.deepEqual(await years('SELECT * FROM music WHERE artist = \'a\' AND "year" = 3'), ['3']);
    assert.deepEqual(await years("SELECT * FROM music WHERE artist = 'a' AND year > 6 AND n <> 1"), ['8', '9']);
    assert.deepEqual(await years("SELECT * FROM music WHERE artist = 'a' AND year IN [2, 4]"), ['2', '4']);
    assert.deepEqual(await years("SELECT * FROM music WHERE artist = 'a' AND year < 4 ORDER BY year DESC"), [
      '3',
      '2',
      '1',
    ]);
    assert.deepEqual((await years('SELECT * FROM music."by-genre" WHERE genre = \'x\'')).sort(), ['1', '2', '3']);
    assert.deepEqual(await years('SELECT * FROM music WHERE n = 7'), ['1']);
    assert.equal((await execute('SELECT * FROM music')).Items!.length, 10);
    assert.deepEqual((await execute("SELECT n FROM music WHERE artist = 'b'")).Items, [{ n: { N: '7' } }]);
  });

  test('go on with a token, which is good for the same statement alone', async () => {
    const found: string[] = [];
    let NextToken: string | undefined;
    const statement = "SELECT * FROM music WHERE artist = 'a'";
    do {
      const page = await execute(statement, { Limit: 4, NextToken });
      found.push(...page.Items!.map(({ year }) => year!.N!));
      NextToken = page.NextToken ?? NextToken;
      if (page.NextToken === undefined) break;
    } while (found.length < 100);
    assert.deepEqual(found, ['1', '2', '3', '4', '5', '6', '7', '8', '9']);
    const wrong = 'ValidationException: NextToken does not match request';
    assert.equal(await refused("SELECT * FROM music WHERE artist = 'b'", { NextToken }), wrong);
    assert.equal(await refused(statement, { NextToken: 'AAAA' }), wrong);
  });

  test('change items, and answer with what was asked', async () => {
    const where = "WHERE artist = 'b' AND year = 1";
    assert.deepEqual((await execute(`UPDATE music SET n = n + 1 ${where} AND n = 7 RETURNING MODIFIED NEW *`)).Items, [
      { n: { N: '8' } },
    ]);
    assert.deepEqual((await execute(`UPDATE music SET n = 9 ${where} RETURNING ALL OLD *`)).Items, [
      { artist: { S: 'b' }, year: { N: '1' }, n: { N: '8' } },
    ]);
    assert.match(await refused(`UPDATE music SET n = 1 ${where} AND n = 7`), /^ConditionalCheckFailedException/);
    assert.match(
      await refused("UPDATE music SET n = 1 WHERE artist = 'z' AND year = 1"),
      /^ConditionalCheckFailedException/,
    );
    assert.match(await refused("DELETE FROM music WHERE artist = 'b'"), /mandatory equality on all key attributes/);
    assert.match(
      await refused("INSERT INTO music VALUE {'artist': 'b', 'year': 1.0}"),
      /^DuplicateItemException: Duplicate primary key exists in table$/,
    );
    assert.equal((await execute(`DELETE FROM music ${where} RETURNING ALL OLD *`)).Items!.length, 1);
    assert.deepEqual((await execute(`DELETE FROM music ${where}`)).Items, []);
    await execute("INSERT INTO music VALUE {'artist': 'b', 'year': 1, 'n': 7}");
  });

  test('do nothing when a call is attempted again that has been done', async () => {
    const Statement =
      "UPDATE music SET tries = if_not_exists(tries, 0) + 1 WHERE artist = 'b' AND year = 1 RETURNING ALL NEW *";
    const attempt = (number: number): Promise<unknown> =>
      nodes.cluster.run(nodes.ask(2, 'ExecuteStatement', { Statement }, { id: 'one call', attempt: number }));
    await attempt(1);
    const { Items } = JSON.parse(JSON.stringify(await attempt(2)));
    assert.equal(Items[0].tries.N, '1');
    assert.equal((await execute(Statement)).Items![0]!.tries!.N, '2');
  });

  test('are refused as requests are', async () => {
    assert.match(await refused('SELECT * FROM nowhere'), /^ResourceNotFoundException/);
    assert.match(await refused("SELECT * FROM music.no WHERE genre = 'x'"), /does not have the specified index: no/);
    assert.match(await refused('SELECT * FROM music ORDER BY year'), /Must have WHERE clause/);
    assert.match(await refused('SELECT * FROM music WHERE n = 1 ORDER BY year'), /non-optional hash key condition/);
    assert.match(
      await refused("EXISTS(SELECT * FROM music WHERE artist = 'a')"),
      /only supported in ExecuteTransaction/,
    );
    assert.match(await refused('SELECT * FROM music WHERE artist = 1'), /does not match schema type/);
  });

  test('of a batch are done each by itself', async () => {
    const Statements = [
      { Statement: "SELECT * FROM music WHERE artist = 'a' AND year = 1", ConsistentRead: true },
      { Statement: "SELECT * FROM music WHERE artist = 'a'" },
      { Statement: 'SELEKT' },
      { Statement: "SELECT * FROM music WHERE artist = 'none' AND year = 1" },
      { Statement: "SELECT * FROM nowhere WHERE artist = 'none' AND year = 1" },
    ];
    const { Responses } = await ask('BatchExecuteStatement', { Statements });
    assert.deepEqual(
      Responses!.map(({ Item, Error: error }) => Item?.year ?? error?.Code),
      [{ N: '1' }, 'ValidationError', 'ValidationError', undefined, 'ResourceNotFound'],
    );
    const writes = await ask('BatchExecuteStatement', {
      Statements: [
        { Statement: "INSERT INTO music VALUE {'artist': 'c', 'year': 1}" },
        { Statement: "INSERT INTO music VALUE {'artist': 'a', 'year': 1}" },
      ],
      ReturnConsumedCapacity: 'TOTAL',
    });
    assert.deepEqual(
      writes.Responses!.map(({ Error: error }) => error?.Code),
      [undefined, 'DuplicateItem'],
    );
    assert.deepEqual(writes.ConsumedCapacity, [{ TableName: 'music', CapacityUnits: 1 }]);
    const mixed = [Statements[0], { Statement: "DELETE FROM music WHERE artist = 'c' AND year = 1" }];
    assert.match(await refusal('BatchExecuteStatement', { Statements: mixed }), /all must be write statements/);
  });

  test('of a transaction are done together or not at all', async () => {
    const insert = { Statement: "INSERT INTO music VALUE {'artist': 'd', 'year': 1}" };
    const update = { Statement: "UPDATE music SET n = 5 WHERE artist = 'a' AND year = 2" };
    const there = {
      Statement: "EXISTS(SELECT * FROM music WHERE artist = 'a' AND year = 1 AND n = ?)",
      Parameters: [{ N: '1' }],
    };
    await ask('ExecuteTransaction', { TransactStatements: [insert, update, there], ClientRequestToken: 'once' });
    await ask('ExecuteTransaction', { TransactStatements: [insert, update, there], ClientRequestToken: 'once' });
    const { Responses } = await ask('ExecuteTransaction', {
      TransactStatements: [
        { Statement: "SELECT n FROM music WHERE artist = 'a' AND year = 2" },
        { Statement: "SELECT * FROM music WHERE artist = 'd' AND year = 1 AND n = 3" },
      ],
    });
    assert.deepEqual(Responses, [{ Item: { n: { N: '5' } } }, {}]);
    const again = { Statement: "UPDATE music SET n = 6 WHERE artist = 'a' AND year = 2" };
    const gone = { Statement: "EXISTS(SELECT * FROM music WHERE artist = 'a' AND year = 77)" };
    try {
      await ask('ExecuteTransaction', { TransactStatements: [again, insert, gone] });
      assert.fail('it was done');
    } catch (error) {
      assert.ok(error instanceof DynamoError && error.type === 'TransactionCanceledException', String(error));
      const reasons = error.members.CancellationReasons as { Code: string }[];
      assert.deepEqual(
        reasons.map(({ Code }) => Code),
        ['None', 'DuplicateItem', 'ConditionalCheckFailed'],
      );
    }
    assert.deepEqual((await execute("SELECT n FROM music WHERE artist = 'a' AND year = 2")).Items, [{ n: { N: '5' } }]);
  });
});
