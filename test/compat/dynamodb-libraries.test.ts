/** Libraries over the AWS SDK, used as their own pages show it, each call on another node where the library lets that happen. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type CreateTableCommandInput, DynamoDB, DynamoDBClient, waitUntilTableExists } from '@aws-sdk/client-dynamodb';
import { DynamoDBDocumentClient } from '@aws-sdk/lib-dynamodb';
import { type Entity as ModelEntity, Table as OneTable } from 'dynamodb-onetable';
import { Entity as ToolboxEntity } from 'dynamodb-toolbox/entity';
import { DeleteItemCommand } from 'dynamodb-toolbox/entity/actions/delete';
import { GetItemCommand } from 'dynamodb-toolbox/entity/actions/get';
import { PutItemCommand } from 'dynamodb-toolbox/entity/actions/put';
import { ConditionCheck } from 'dynamodb-toolbox/entity/actions/transactCheck';
import { PutTransaction } from 'dynamodb-toolbox/entity/actions/transactPut';
import { execute } from 'dynamodb-toolbox/entity/actions/transactWrite';
import { $add, $append, UpdateItemCommand } from 'dynamodb-toolbox/entity/actions/update';
import { item, list, map, number, set, string } from 'dynamodb-toolbox/schema';
import { Table as ToolboxTable } from 'dynamodb-toolbox/table';
import { QueryCommand } from 'dynamodb-toolbox/table/actions/query';
import dynamoose from 'dynamoose';
import { Entity, Service } from 'electrodb';
import { ProcessNodes } from '../support/process-nodes.ts';

const POLL = { maxWaitTime: 60, minDelay: 0.05, maxDelay: 0.2 };

/** A table with string keys and one index with string keys. */
function singleTable(name: string, [hash, range]: [string, string], index: string, keys: [string, string]) {
  const keyed = ([HASH, RANGE]: [string, string]) => [
    { AttributeName: HASH, KeyType: 'HASH' as const },
    { AttributeName: RANGE, KeyType: 'RANGE' as const },
  ];
  return {
    TableName: name,
    BillingMode: 'PAY_PER_REQUEST',
    KeySchema: keyed([hash, range]),
    AttributeDefinitions: [...new Set([hash, range, ...keys])].map((AttributeName) => ({
      AttributeName,
      AttributeType: 'S',
    })),
    GlobalSecondaryIndexes: [{ IndexName: index, KeySchema: keyed(keys), Projection: { ProjectionType: 'ALL' } }],
  } satisfies CreateTableCommandInput;
}

describe('libraries over three nodes', { timeout: 240_000 }, () => {
  let cluster: ProcessNodes;
  const clients: DynamoDBClient[] = [];

  const settings = (node: number) => ({
    endpoint: `http://127.0.0.1:${cluster.dynamodbPort(node)}`,
    region: 'eu-west-1',
    credentials: { accessKeyId: 'writer', secretAccessKey: 'the secret of writer' },
  });
  /** A client of one node; closed in the end. */
  const clientOf = (node: number): DynamoDBClient => {
    const client = new DynamoDBClient(settings(node));
    clients.push(client);
    return client;
  };
  const makeTable = async (table: CreateTableCommandInput): Promise<void> => {
    const maker = new DynamoDB(settings(1));
    clients.push(maker);
    await maker.createTable(table);
    await waitUntilTableExists({ client: maker, ...POLL }, { TableName: table.TableName! });
  };

  before(async () => {
    cluster = await ProcessNodes.start({
      'dynamodb.accessKeyId': 'writer',
      'dynamodb.secretAccessKey': 'the secret of writer',
    });
  });
  after(async () => {
    for (const client of clients) client.destroy();
    await cluster?.stop();
  });

  test('electrodb: entities, collections, conditions, patches, batches and transactions', async () => {
    await makeTable(singleTable('electro', ['pk', 'sk'], 'gsi1', ['gsi1pk', 'gsi1sk']));
    const client = DynamoDBDocumentClient.from(clientOf(2));
    const task = new Entity(
      {
        model: { entity: 'task', version: '1', service: 'work' },
        attributes: {
          task: { type: 'string', required: true },
          project: { type: 'string', required: true },
          employee: { type: 'string', required: true },
          points: { type: 'number', default: () => 1 },
          status: { type: ['open', 'closed'] as const, default: () => 'open' },
          tags: { type: 'set', items: 'string' },
          notes: { type: 'list', items: { type: 'map', properties: { text: { type: 'string' } } } },
        },
        indexes: {
          task: { pk: { field: 'pk', composite: ['task'] }, sk: { field: 'sk', composite: ['project', 'employee'] } },
          assigned: {
            collection: 'assignments',
            index: 'gsi1',
            pk: { field: 'gsi1pk', composite: ['employee'] },
            sk: { field: 'gsi1sk', composite: ['project', 'task'] },
          },
        },
      },
      { client, table: 'electro' },
    );
    const employee = new Entity(
      {
        model: { entity: 'employee', version: '1', service: 'work' },
        attributes: {
          employee: { type: 'string', required: true },
          office: { type: 'string', required: true },
        },
        indexes: {
          employee: { pk: { field: 'pk', composite: ['employee'] }, sk: { field: 'sk', composite: [] } },
          colleagues: {
            collection: 'assignments',
            index: 'gsi1',
            pk: { field: 'gsi1pk', composite: ['employee'] },
            sk: { field: 'gsi1sk', composite: [] },
          },
        },
      },
      { client, table: 'electro' },
    );
    const work = new Service({ task, employee });
    await employee.create({ employee: 'ann', office: 'north' }).go();
    await assert.rejects(employee.create({ employee: 'ann', office: 'south' }).go(), /conditional request failed/);
    await task
      .put(['a', 'b', 'c'].map((name) => ({ task: name, project: name === 'c' ? 'y' : 'x', employee: 'ann' })))
      .go();
    const key = { task: 'a', project: 'x', employee: 'ann' };
    await task
      .patch(key)
      .add({ points: 4, tags: ['late'] })
      .append({ notes: [{ text: 'first' }] })
      .set({ status: 'closed' })
      .where(({ status }, { eq }) => eq(status, 'open'))
      .go();
    const { data } = await task.get(key).go({ consistent: true });
    assert.deepEqual(data, { ...key, points: 5, status: 'closed', tags: ['late'], notes: [{ text: 'first' }] });
    const inProject = await task.query.assigned({ employee: 'ann', project: 'x' }).go();
    assert.deepEqual(
      inProject.data.map((one) => one.task),
      ['a', 'b'],
    );
    const open = await task.query
      .assigned({ employee: 'ann' })
      .where(({ status }, { eq }) => eq(status, 'open'))
      .go({ order: 'desc', pages: 'all' });
    assert.deepEqual(
      open.data.map((one) => one.task),
      ['c', 'b'],
    );
    const both = await work.collections.assignments({ employee: 'ann' }).go();
    assert.deepEqual([both.data.task.length, both.data.employee[0]!.office], [3, 'north']);
    const { canceled } = await work.transaction
      .write((entities) => [
        entities.task.delete({ ...key, task: 'b' }).commit(),
        entities.employee
          .check({ employee: 'ann' })
          .where(({ office }, { eq }) => eq(office, 'south'))
          .commit(),
      ])
      .go();
    assert.equal(canceled, true);
    const left = await task.get([key, { ...key, task: 'b' }, { ...key, task: 'none' }]).go();
    assert.equal(left.data.length, 2);
  });

  test('dynamodb-toolbox: schemas, updates with operators, conditions, transactions and queries', async () => {
    await makeTable(singleTable('toolbox', ['PK', 'SK'], 'by-owner', ['owner', 'SK']));
    const table = new ToolboxTable({
      name: 'toolbox',
      documentClient: DynamoDBDocumentClient.from(clientOf(3)),
      partitionKey: { name: 'PK', type: 'string' },
      sortKey: { name: 'SK', type: 'string' },
      indexes: {
        'by-owner': {
          type: 'global',
          partitionKey: { name: 'owner', type: 'string' },
          sortKey: { name: 'SK', type: 'string' },
        },
      },
    });
    const pet = new ToolboxEntity({
      name: 'pet',
      table,
      schema: item({
        kind: string().enum('cat', 'dog').key().savedAs('PK'),
        name: string().key().savedAs('SK'),
        owner: string(),
        age: number().default(0),
        toys: list(string()).optional(),
        colours: set(string()).optional(),
        vet: map({ visits: number() }).optional(),
      }),
    });
    await pet
      .build(PutItemCommand)
      .item({ kind: 'cat', name: 'tom', owner: 'ann', vet: { visits: 1 } })
      .send();
    await pet.build(PutItemCommand).item({ kind: 'cat', name: 'kit', owner: 'ann', age: 3 }).send();
    await assert.rejects(
      pet
        .build(PutItemCommand)
        .item({ kind: 'cat', name: 'tom', owner: 'bob' })
        .options({ condition: { attr: 'name', exists: false } })
        .send(),
      { name: 'ConditionalCheckFailedException' },
    );
    const { Attributes } = await pet
      .build(UpdateItemCommand)
      .item({
        ...{ kind: 'cat', name: 'tom', age: $add(2) },
        toys: $append(['ball']),
        colours: $add(new Set(['grey'])),
        vet: { visits: $add(1) },
      })
      .options({ returnValues: 'ALL_NEW' })
      .send();
    assert.deepEqual(
      [Attributes?.age, Attributes?.toys, Attributes?.colours, Attributes?.vet],
      [2, ['ball'], new Set(['grey']), { visits: 2 }],
    );
    const { Item } = await pet
      .build(GetItemCommand)
      .key({ kind: 'cat', name: 'tom' })
      .options({ consistent: true })
      .send();
    assert.deepEqual([Item?.owner, Item?.vet], ['ann', { visits: 2 }]);
    const { Items } = await table
      .build(QueryCommand)
      .entities(pet)
      .query({ index: 'by-owner', partition: 'ann', range: { gte: 'a' } })
      .options({ reverse: true, filters: { pet: { attr: 'age', gte: 2 } } })
      .send();
    assert.deepEqual(
      Items?.map(({ name }) => name),
      ['tom', 'kit'],
    );
    await assert.rejects(
      execute(
        pet.build(PutTransaction).item({ kind: 'dog', name: 'rex', owner: 'bob' }),
        pet.build(ConditionCheck).key({ kind: 'cat', name: 'tom' }).condition({ attr: 'age', gt: 9 }),
      ),
      { name: 'TransactionCanceledException' },
    );
    await pet.build(DeleteItemCommand).key({ kind: 'cat', name: 'kit' }).send();
    const rest = await table.build(QueryCommand).entities(pet).query({ partition: 'cat' }).send();
    assert.equal(rest.Items?.length, 1);
  });

  test('dynamoose: makes its table, and works with documents', async () => {
    dynamoose.aws.ddb.set(new dynamoose.aws.ddb.DynamoDB(settings(2)));
    const Cat = dynamoose.model(
      'cats',
      new dynamoose.Schema(
        {
          id: { type: Number, hashKey: true },
          name: { type: String, required: true },
          breed: { type: String, index: { name: 'by-breed', type: 'global' } },
          born: Date,
          lives: Number,
          friends: { type: Array, schema: [String] },
        },
        { timestamps: true },
      ),
      { waitForActive: { enabled: true, check: { frequency: 100 } } } as object,
    );
    const born = new Date(1_700_000_000_000);
    await Cat.create({ id: 1, name: 'tom', breed: 'grey', born, lives: 9 });
    await assert.rejects(Cat.create({ id: 1, name: 'again' }), { name: 'ConditionalCheckFailedException' });
    await Cat.batchPut([2, 3, 4].map((id) => ({ id, name: `cat ${id}`, breed: id === 4 ? 'red' : 'grey', lives: id })));
    await Cat.update({ id: 1 }, { $ADD: { lives: -1 }, $SET: { friends: ['kit'] } } as object);
    const tom = await Cat.get(1);
    assert.deepEqual([tom!.lives, tom!.friends, (tom!.born as Date).getTime()], [8, ['kit'], born.getTime()]);
    const grey = await Cat.query('breed').eq('grey').where('lives').gt(2).using('by-breed').exec();
    assert.deepEqual(grey.map(({ id }) => id as number).sort(), [1, 3]);
    assert.equal((await Cat.scan().count().exec()).count, 4);
    await dynamoose.transaction([
      Cat.transaction.create({ id: 5, name: 'new' }),
      Cat.transaction.update({ id: 2 }, { lives: 0 }),
    ]);
    assert.equal((await Cat.batchGet([2, 5, 6])).length, 2);
    await Cat.delete(5);
    assert.equal(await Cat.get(5), undefined);
  });

  test('dynamodb-onetable: makes its table, and keeps models, unique values and transactions', async () => {
    /** The place of an attribute in a template of the library. */
    const of = (name: string): string => `\${${name}}`;
    const schema = {
      format: 'onetable:1.1.0',
      version: '0.0.1',
      indexes: {
        primary: { hash: 'pk', sort: 'sk' },
        gs1: { hash: 'gs1pk', sort: 'gs1sk', project: 'all' },
      },
      models: {
        Account: {
          pk: { type: String, value: `account:${of('name')}` },
          sk: { type: String, value: 'account:' },
          name: { type: String, required: true },
          email: { type: String, unique: true },
          balance: { type: Number, default: 0 },
        },
        User: {
          pk: { type: String, value: `account:${of('account')}` },
          sk: { type: String, value: `user:${of('name')}` },
          account: { type: String, required: true },
          name: { type: String, required: true },
          gs1pk: { type: String, value: 'user:' },
          gs1sk: { type: String, value: `user:${of('name')}` },
        },
      },
      params: { isoDates: true, timestamps: true },
    } as const;
    const table = new OneTable({ name: 'onetable', client: clientOf(1), partial: true, logger: false, schema });
    await table.createTable();
    const Account = table.getModel<ModelEntity<typeof schema.models.Account>>('Account');
    const User = table.getModel<ModelEntity<typeof schema.models.User>>('User');
    await Account.create({ name: 'acme', email: 'info@acme.test' });
    await assert.rejects(Account.create({ name: 'other', email: 'info@acme.test' }), { code: 'UniqueError' });
    for (const name of ['ann', 'bob', 'cy']) await User.create({ account: 'acme', name });
    const found = await User.find({ account: 'acme', sk: { begins: 'user:b' } });
    assert.deepEqual(
      found.map(({ name }) => name),
      ['bob'],
    );
    const all = await User.find({}, { index: 'gs1', limit: 2, reverse: true });
    assert.deepEqual(
      all.map(({ name }) => name),
      ['cy', 'bob'],
    );
    const next = await User.find({}, { index: 'gs1', limit: 2, reverse: true, next: all.next });
    assert.equal(next.length, 1);
    const acme = await Account.update({ name: 'acme' }, { add: { balance: 5 }, where: `${of('balance')} < {1}` });
    assert.equal(acme!.balance, 5);
    const transaction = {};
    await User.remove({ account: 'acme', name: 'cy' }, { transaction });
    await User.create({ account: 'acme', name: 'dee' }, { transaction });
    await table.transact('write', transaction);
    assert.equal(await User.get({ account: 'acme', name: 'cy' }), undefined);
    assert.equal((await User.find({ account: 'acme' })).length, 3);
  });
});
