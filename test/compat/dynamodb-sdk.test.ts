import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  CreateTableCommand,
  DeleteTableCommand,
  DescribeTableCommand,
  DynamoDBClient,
  ListTablesCommand,
  PutItemCommand,
  waitUntilTableExists,
  waitUntilTableNotExists,
} from '@aws-sdk/client-dynamodb';
import {
  DescribeStreamCommand,
  DynamoDBStreamsClient,
  GetRecordsCommand,
  GetShardIteratorCommand,
} from '@aws-sdk/client-dynamodb-streams';
import {
  BatchGetCommand,
  BatchWriteCommand,
  DeleteCommand,
  DynamoDBDocumentClient,
  ExecuteStatementCommand,
  GetCommand,
  PutCommand,
  paginateQuery,
  paginateScan,
  QueryCommand,
  TransactGetCommand,
  TransactWriteCommand,
  UpdateCommand,
} from '@aws-sdk/lib-dynamodb';
import { ProcessNodes } from '../support/process-nodes.ts';

const NODES = [1, 2, 3];
const POLL = { maxWaitTime: 60, minDelay: 0.05, maxDelay: 0.2 };

describe('the AWS SDK over three nodes', { timeout: 240_000 }, () => {
  let folder = '';
  let cluster: ProcessNodes;
  /** One a node. */
  let clients: DynamoDBClient[] = [];
  let documents: DynamoDBDocumentClient[] = [];

  const clientOf = (nodeId: number, accessKeyId = 'writer'): DynamoDBClient =>
    new DynamoDBClient({
      endpoint: `http://127.0.0.1:${cluster.dynamodbPort(nodeId)}`,
      region: 'eu-west-1',
      credentials: { accessKeyId, secretAccessKey: `the secret of ${accessKeyId}` },
    });

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvorum-dynamodb-'));
    const file = join(folder, 'credentials');
    const keys = ['writer', 'reader'].map(
      (id) => `[${id}]\naws_access_key_id = ${id}\naws_secret_access_key = the secret of ${id}\n`,
    );
    await writeFile(file, `${keys.join('')}kvorum_access = read-only\n`);
    cluster = await ProcessNodes.start({ 'dynamodb.credentialsFile': file });
    clients = NODES.map((nodeId) => clientOf(nodeId));
    documents = clients.map((client) => DynamoDBDocumentClient.from(client));
    await clients[0]!.send(
      new CreateTableCommand({
        TableName: 'songs',
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: [
          { AttributeName: 'artist', AttributeType: 'S' },
          { AttributeName: 'title', AttributeType: 'S' },
          { AttributeName: 'year', AttributeType: 'N' },
        ],
        KeySchema: [
          { AttributeName: 'artist', KeyType: 'HASH' },
          { AttributeName: 'title', KeyType: 'RANGE' },
        ],
        GlobalSecondaryIndexes: [
          {
            IndexName: 'by-year',
            KeySchema: [{ AttributeName: 'year', KeyType: 'HASH' }],
            Projection: { ProjectionType: 'ALL' },
          },
        ],
      }),
    );
    await waitUntilTableExists({ client: clients[1]!, ...POLL }, { TableName: 'songs' });
  });
  after(async () => {
    for (const client of clients) client.destroy();
    await cluster?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test('makes a table, waits for it, describes it and deletes it, each on another node', async () => {
    const definition = {
      TableName: 'short',
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
      AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'N' }],
      ProvisionedThroughput: { ReadCapacityUnits: 5, WriteCapacityUnits: 6 },
    } as const;
    const { TableDescription: made } = await clients[0]!.send(
      new CreateTableCommand({
        ...definition,
        KeySchema: [...definition.KeySchema],
        AttributeDefinitions: [...definition.AttributeDefinitions],
      }),
    );
    assert.equal(made?.TableStatus, 'CREATING');
    assert.equal(made?.TableArn, 'arn:aws:dynamodb:eu-west-1:000000000000:table/short');
    await waitUntilTableExists({ client: clients[1]!, ...POLL }, { TableName: 'short' });
    const { Table } = await clients[2]!.send(new DescribeTableCommand({ TableName: made!.TableArn! }));
    assert.equal(Table?.ProvisionedThroughput?.WriteCapacityUnits, 6);
    assert.ok(Math.abs(Table!.CreationDateTime!.getTime() - Date.now()) < 600_000);
    const { TableNames } = await clients[2]!.send(new ListTablesCommand({ Limit: 1 }));
    assert.deepEqual(TableNames, ['short']);
    await clients[1]!.send(new DeleteTableCommand({ TableName: 'short' }));
    await waitUntilTableNotExists({ client: clients[0]!, ...POLL }, { TableName: 'short' });
    await assert.rejects(clients[2]!.send(new PutItemCommand({ TableName: 'short', Item: { id: { N: '1' } } })), {
      name: 'ResourceNotFoundException',
      message: 'Requested resource not found',
    });
  });

  test('writes and reads every type of value as it was', async () => {
    const item = {
      artist: 'é😀',
      title: '__proto__',
      text: '',
      whole: 12,
      bytes: new Uint8Array([0, 255]),
      yes: true,
      nothing: null,
      list: [1, 'a', { deep: [false] }],
      map: { a: { b: { c: 'd' } } },
      words: new Set(['b', 'a']),
      numbers: new Set([2, 10]),
    };
    await documents[0]!.send(new PutCommand({ TableName: 'songs', Item: item }));
    const { artist, title } = item;
    const got = await documents[1]!.send(
      new GetCommand({ TableName: 'songs', Key: { artist, title }, ConsistentRead: true }),
    );
    assert.deepEqual(got.Item, item);
  });

  test('updates with conditions and arithmetic, and says what a condition met', async () => {
    const Key = { artist: 'counter', title: 'x' };
    const add = (at: number) =>
      documents[at % 3]!.send(
        new UpdateCommand({
          TableName: 'songs',
          Key,
          UpdateExpression: 'SET plays = if_not_exists(plays, :zero) + :one',
          ExpressionAttributeValues: { ':zero': 0, ':one': 1 },
          ReturnValues: 'UPDATED_NEW',
        }),
      );
    await Promise.all(Array.from({ length: 12 }, (_, at) => add(at)));
    assert.deepEqual((await add(0)).Attributes, { plays: 13 });
    await assert.rejects(
      documents[1]!.send(
        new PutCommand({
          TableName: 'songs',
          Item: Key,
          ConditionExpression: 'attribute_not_exists(artist)',
          ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
        }),
      ),
      (error: Error & { Item?: unknown }) =>
        error.name === 'ConditionalCheckFailedException' && (error.Item as { plays: { N: string } }).plays.N === '13',
    );
    const gone = await documents[2]!.send(new DeleteCommand({ TableName: 'songs', Key, ReturnValues: 'ALL_OLD' }));
    assert.deepEqual(gone.Attributes, { ...Key, plays: 13 });
  });

  test('writes batches, and finds items by key, by index and all of them, page by page', async () => {
    const items = Array.from({ length: 25 }, (_, at) => ({
      artist: `pages ${at % 2}`,
      title: String(at).padStart(3, '0'),
      year: 1990 + (at % 5),
    }));
    const written = await documents[0]!.send(
      new BatchWriteCommand({ RequestItems: { songs: items.map((Item) => ({ PutRequest: { Item } })) } }),
    );
    assert.deepEqual(written.UnprocessedItems, {});
    const titles: string[] = [];
    const query = {
      TableName: 'songs',
      KeyConditionExpression: 'artist = :a AND title BETWEEN :from AND :to',
      ExpressionAttributeValues: { ':a': 'pages 0', ':from': '004', ':to': '020' },
      ScanIndexForward: false,
      ConsistentRead: true,
    };
    for await (const page of paginateQuery({ client: documents[1]!, pageSize: 2 }, query)) {
      titles.push(...page.Items!.map(({ title }) => title as string));
    }
    assert.deepEqual(titles, ['020', '018', '016', '014', '012', '010', '008', '006', '004']);
    const { Items: ofYear } = await documents[2]!.send(
      new QueryCommand({
        TableName: 'songs',
        IndexName: 'by-year',
        KeyConditionExpression: '#year = :year',
        FilterExpression: 'begins_with(artist, :pages)',
        ExpressionAttributeNames: { '#year': 'year' },
        ExpressionAttributeValues: { ':year': 1993, ':pages': 'pages' },
      }),
    );
    assert.deepEqual(ofYear!.map(({ title }) => title).sort(), ['003', '008', '013', '018', '023']);
    let scanned = 0;
    for (const Segment of [0, 1, 2]) {
      const scan = { TableName: 'songs', Segment, TotalSegments: 3, ConsistentRead: true };
      for await (const page of paginateScan({ client: documents[Segment]!, pageSize: 7 }, scan)) {
        scanned += page.Items!.filter(({ artist }) => (artist as string).startsWith('pages')).length;
      }
    }
    assert.equal(scanned, 25);
    const got = await documents[0]!.send(
      new BatchGetCommand({
        RequestItems: {
          songs: {
            Keys: [
              { artist: 'pages 0', title: '004' },
              { artist: 'pages 0', title: 'no' },
            ],
            ConsistentRead: true,
          },
        },
      }),
    );
    assert.deepEqual(got.Responses?.songs, [items[4]]);
  });

  test('runs transactions whole or not at all, and once for each token', async () => {
    const key = (title: string) => ({ TableName: 'songs', Key: { artist: 'account', title } });
    const put = (title: string, balance: number) => ({
      Put: { TableName: 'songs', Item: { artist: 'account', title, balance } },
    });
    await documents[0]!.send(new TransactWriteCommand({ TransactItems: [put('a', 10), put('b', 0)] }));
    const move = (amount: number) => ({
      TransactItems: [
        {
          Update: {
            ...key('a'),
            UpdateExpression: 'SET balance = balance - :n',
            ConditionExpression: 'balance >= :n',
            ExpressionAttributeValues: { ':n': amount },
          },
        },
        {
          Update: {
            ...key('b'),
            UpdateExpression: 'SET balance = balance + :n',
            ExpressionAttributeValues: { ':n': amount },
          },
        },
      ],
      ClientRequestToken: `move ${amount}`,
    });
    await documents[1]!.send(new TransactWriteCommand(move(7)));
    await documents[2]!.send(new TransactWriteCommand(move(7)));
    await assert.rejects(
      documents[1]!.send(new TransactWriteCommand(move(8))),
      (error: Error & { CancellationReasons?: { Code: string }[] }) =>
        error.name === 'TransactionCanceledException' &&
        error.CancellationReasons?.map(({ Code }) => Code).join() === 'ConditionalCheckFailed,None',
    );
    const { Responses } = await documents[0]!.send(
      new TransactGetCommand({ TransactItems: [{ Get: key('a') }, { Get: key('b') }, { Get: key('none') }] }),
    );
    assert.deepEqual(
      Responses?.map(({ Item }) => Item?.balance),
      [3, 7, undefined],
    );
  });

  test('runs statements, and reads what was changed from the stream', async () => {
    const { TableDescription } = await clients[0]!.send(
      new CreateTableCommand({
        TableName: 'events',
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
        KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
        StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' },
      }),
    );
    await waitUntilTableExists({ client: clients[1]!, ...POLL }, { TableName: 'events' });
    const run = (Statement: string, ...Parameters: unknown[]) =>
      documents[Parameters.length % 3]!.send(
        new ExecuteStatementCommand({ Statement, ...(Parameters.length === 0 ? {} : { Parameters }) }),
      );
    await run(`INSERT INTO "events" VALUE {'id': ?, 'n': ?}`, 'a', 1);
    await run(`UPDATE "events" SET n = n + 1 WHERE id = ?`, 'a');
    const read = { Statement: `SELECT n FROM "events" WHERE id = 'a'`, ConsistentRead: true };
    assert.deepEqual((await documents[0]!.send(new ExecuteStatementCommand(read))).Items, [{ n: 2 }]);
    await run(`DELETE FROM "events" WHERE id = ?`, 'a');

    const streams = new DynamoDBStreamsClient({
      endpoint: `http://127.0.0.1:${cluster.dynamodbPort(2)}`,
      region: 'eu-west-1',
      credentials: { accessKeyId: 'reader', secretAccessKey: 'the secret of reader' },
    });
    const StreamArn = TableDescription!.LatestStreamArn!;
    const { StreamDescription } = await streams.send(new DescribeStreamCommand({ StreamArn }));
    const names: (string | undefined)[] = [];
    for (const { ShardId } of StreamDescription!.Shards!) {
      const start = await streams.send(
        new GetShardIteratorCommand({ StreamArn, ShardId: ShardId!, ShardIteratorType: 'TRIM_HORIZON' }),
      );
      const { Records } = await streams.send(new GetRecordsCommand({ ShardIterator: start.ShardIterator! }));
      names.push(...Records!.map(({ eventName }) => eventName));
    }
    assert.deepEqual(names, ['INSERT', 'MODIFY', 'REMOVE']);
    streams.destroy();
  });

  test('is refused what its key may not do', async () => {
    const reader = clientOf(2, 'reader');
    const stranger = clientOf(3, 'stranger');
    await reader.send(new ListTablesCommand({}));
    await assert.rejects(reader.send(new PutItemCommand({ TableName: 'songs', Item: {} })), {
      name: 'AccessDeniedException',
    });
    await assert.rejects(stranger.send(new ListTablesCommand({})), { name: 'UnrecognizedClientException' });
    reader.destroy();
    stranger.destroy();
  });
});
