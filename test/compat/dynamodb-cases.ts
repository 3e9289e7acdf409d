/** Requests that DynamoDB answers in known words, to be sent to kvorum and to dynalite. */

export interface Case {
  readonly operation: string;
  readonly body: unknown;
  /** Why the answers differ; dynalite is wrong then, or older than what is answered here. Left out: they are the same. */
  readonly difference?: string;
}

const key = (a: string, b = '1') => ({ a: { S: a }, b: { N: b } });
const on = (operation: string, members: object, difference?: string): Case => ({
  operation,
  body: { TableName: 'differential', ...members },
  ...(difference === undefined ? {} : { difference }),
});
const put = (members: object, difference?: string): Case => on('PutItem', { Item: key('x'), ...members }, difference);
const item = (more: object, difference?: string): Case => on('PutItem', { Item: { ...key('x'), ...more } }, difference);
const update = (members: object, difference?: string): Case =>
  on('UpdateItem', { Key: key('u'), ...members }, difference);
const query = (members: object, difference?: string): Case => on('Query', members, difference);

/** Both sides have this table first. */
export const TABLE = {
  TableName: 'differential',
  AttributeDefinitions: [
    { AttributeName: 'a', AttributeType: 'S' },
    { AttributeName: 'b', AttributeType: 'N' },
    { AttributeName: 'c', AttributeType: 'S' },
  ],
  KeySchema: [
    { AttributeName: 'a', KeyType: 'HASH' },
    { AttributeName: 'b', KeyType: 'RANGE' },
  ],
  GlobalSecondaryIndexes: [
    {
      IndexName: 'index',
      KeySchema: [{ AttributeName: 'c', KeyType: 'HASH' }],
      Projection: { ProjectionType: 'ALL' },
      ProvisionedThroughput: { ReadCapacityUnits: 1, WriteCapacityUnits: 1 },
    },
  ],
  ProvisionedThroughput: { ReadCapacityUnits: 1, WriteCapacityUnits: 1 },
};

/** In this order: later ones see what earlier ones have written. */
export const CASES: readonly Case[] = [
  // Shapes.
  { operation: 'PutItem', body: { TableName: 1 } },
  { operation: 'PutItem', body: { TableName: true, Item: {} } },
  { operation: 'GetItem', body: { TableName: 'abc', Key: [] } },
  { operation: 'GetItem', body: { TableName: 'abc', Key: { a: 'x' } } },
  { operation: 'GetItem', body: { TableName: 'abc', Key: { a: { S: 1 } } } },
  { operation: 'GetItem', body: { TableName: 'abc', Key: { a: { B: 'abc' } } } },
  { operation: 'GetItem', body: { TableName: 'abc', ConsistentRead: 'perhaps' } },
  { operation: 'Query', body: { TableName: 'abc', Limit: 'x' } },
  { operation: 'BatchWriteItem', body: { RequestItems: [] } },
  { operation: 'BatchWriteItem', body: { RequestItems: { abc: 1 } } },
  { operation: 'CreateTable', body: { TableName: 'abc', KeySchema: ['x'] } },
  // Constraints.
  { operation: 'GetItem', body: {} },
  { operation: 'PutItem', body: { TableName: 'abc;', Item: {}, ReturnValues: 'x' } },
  { operation: 'DescribeTable', body: {} },
  { operation: 'DescribeTable', body: { TableName: 'ab' } },
  { operation: 'DescribeTable', body: { TableName: 'abc;' } },
  { operation: 'ListTables', body: { Limit: 0, ExclusiveStartTableName: ';' } },
  { operation: 'ListTables', body: { Limit: 101 } },
  { operation: 'Scan', body: { TableName: 'abc', Limit: 0, Select: 'x', TotalSegments: 0, Segment: -1 } },
  { operation: 'BatchGetItem', body: {} },
  // Tables.
  { operation: 'DescribeTable', body: { TableName: 'nowhere' } },
  { operation: 'DeleteTable', body: { TableName: 'nowhere' } },
  { operation: 'GetItem', body: { TableName: 'nowhere', Key: key('x') } },
  { operation: 'CreateTable', body: TABLE, difference: 'dynalite leaves the text out' },
  { operation: 'CreateTable', body: { ...TABLE, TableName: 'other', BillingMode: 'PAY_PER_REQUEST' } },
  { operation: 'CreateTable', body: { ...TABLE, TableName: 'other', ProvisionedThroughput: undefined } },
  {
    operation: 'CreateTable',
    body: { ...TABLE, TableName: 'other', KeySchema: [{ AttributeName: 'z', KeyType: 'HASH' }] },
  },
  {
    operation: 'CreateTable',
    body: { ...TABLE, TableName: 'other', KeySchema: [{ AttributeName: 'a', KeyType: 'RANGE' }] },
  },
  { operation: 'CreateTable', body: { ...TABLE, TableName: 'other', GlobalSecondaryIndexes: [] } },
  { operation: 'UpdateTable', body: { TableName: 'differential' } },
  // Values and keys.
  item({ v: {} }),
  item({ v: { S: 'a', N: '1' } }),
  item({ v: { N: 'dog' } }),
  item({ v: { N: '1e126' } }),
  item({ v: { N: '1e-131' } }),
  item({ v: { N: '123456789012345678901234567890123456789' } }),
  item({ v: { NULL: false } }),
  item({ v: { SS: [] } }),
  item({ v: { NS: [] } }),
  item({ v: { BS: [] } }),
  item({ v: { SS: ['a', 'a'] } }),
  item({ v: { NS: ['1', '1.0'] } }),
  item({ c: { N: '1' } }),
  on('PutItem', { Item: { a: { S: 'x' } } }),
  on('PutItem', { Item: { a: { N: '1' }, b: { N: '1' } } }),
  on('GetItem', { Key: { a: { S: 'x' } } }),
  on('GetItem', { Key: { ...key('x'), c: { S: 'y' } } }),
  on('GetItem', { Key: key('') }, 'dynalite has older words'),
  // Expressions.
  put({ ConditionExpression: '' }),
  put({ ConditionExpression: 'a = ' }, 'dynalite has the words of its parser'),
  put({ ConditionExpression: 'size(a) > :n' }),
  put({ ConditionExpression: 'unknown(a)' }),
  put({ ConditionExpression: '#a = a' }),
  put({ ConditionExpression: 'name = a' }),
  put({ ConditionExpression: 'a = a' }),
  put({ ConditionExpression: 'attribute_exists(a)', ExpressionAttributeValues: { ':x': { S: 'a' } } }),
  put({ ConditionExpression: 'attribute_exists(a)', Expected: {} }),
  put({ ExpressionAttributeNames: { '#a': 'b' } }),
  put({ ReturnValues: 'ALL_NEW' }),
  update({ UpdateExpression: 'SET a = :a', ExpressionAttributeValues: { ':a': { S: 'y' } } }),
  update({ UpdateExpression: 'SET c = :a SET d = :a', ExpressionAttributeValues: { ':a': { S: 'y' } } }),
  update({ UpdateExpression: 'SET d.e = :a, d = :a', ExpressionAttributeValues: { ':a': { S: 'y' } } }),
  update({ UpdateExpression: 'ADD d :a', ExpressionAttributeValues: { ':a': { S: 'y' } } }),
  update({ UpdateExpression: 'SET d = e + :a', ExpressionAttributeValues: { ':a': { N: '1' } } }),
  update({ UpdateExpression: 'SET d.e = :a', ExpressionAttributeValues: { ':a': { N: '1' } } }),
  query({}),
  query({ KeyConditionExpression: 'b = :b', ExpressionAttributeValues: { ':b': { N: '1' } } }),
  query({ KeyConditionExpression: 'a > :a', ExpressionAttributeValues: { ':a': { S: 'x' } } }),
  query({ KeyConditionExpression: 'a = :a', ExpressionAttributeValues: { ':a': { N: '1' } } }),
  query({ KeyConditionExpression: 'a = :a OR b = :a', ExpressionAttributeValues: { ':a': { S: 'x' } } }),
  query({ IndexName: 'none', KeyConditionExpression: 'a = :a', ExpressionAttributeValues: { ':a': { S: 'x' } } }),
  query({
    IndexName: 'index',
    ConsistentRead: true,
    KeyConditionExpression: 'c = :a',
    ExpressionAttributeValues: { ':a': { S: 'x' } },
  }),
  on('Scan', { Segment: 1 }),
  on('Scan', { TotalSegments: 1 }),
  on('Scan', { Segment: 5, TotalSegments: 5 }),
  { operation: 'BatchGetItem', body: { RequestItems: { differential: { Keys: [key('x'), key('x', '1.0')] } } } },
  {
    operation: 'BatchWriteItem',
    body: {
      RequestItems: { differential: [{ PutRequest: { Item: key('x') } }, { DeleteRequest: { Key: key('x') } }] },
    },
  },
  // What is done.
  put({
    Item: { ...key('x', '1.50'), v: { L: [{ M: { d: { N: '1e2' } } }] }, s: { NS: ['3', '1', '2'] } },
    ReturnConsumedCapacity: 'TOTAL',
  }),
  on('GetItem', { Key: key('x', '1.5'), ConsistentRead: true, ReturnConsumedCapacity: 'TOTAL' }),
  on('GetItem', { Key: key('x', '1.5'), ConsistentRead: true, ProjectionExpression: 'v[0].d' }),
  update({
    UpdateExpression: 'SET n = if_not_exists(n, :z) + :o',
    ExpressionAttributeValues: { ':z': { N: '0' }, ':o': { N: '1' } },
    ReturnValues: 'ALL_NEW',
  }),
  update({
    UpdateExpression: 'SET n = n + :o',
    ExpressionAttributeValues: { ':o': { N: '0.5' } },
    ReturnValues: 'UPDATED_OLD',
  }),
  put({ Item: key('x', '1.5'), ConditionExpression: 'attribute_not_exists(a)' }),
  query({
    ConsistentRead: true,
    KeyConditionExpression: 'a = :a',
    ExpressionAttributeValues: { ':a': { S: 'x' } },
    ReturnConsumedCapacity: 'INDEXES',
  }),
  query({
    ConsistentRead: true,
    Select: 'COUNT',
    KeyConditionExpression: 'a = :a AND b BETWEEN :l AND :h',
    ExpressionAttributeValues: { ':a': { S: 'x' }, ':l': { N: '1' }, ':h': { N: '2' } },
  }),
  on('DeleteItem', { Key: key('x', '1.5'), ReturnValues: 'ALL_OLD' }),
  on('DeleteItem', { Key: key('x', '1.5'), ReturnValues: 'ALL_OLD' }),
];
