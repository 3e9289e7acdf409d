/**
 * What YCSB's core workloads do to a table, and writes of tables with indexes. A record has ten fields of a hundred bytes; which one is read or
 * written is drawn as YCSB draws it: few are wanted often (zipfian, 0.99), and they are spread over all.
 */
import type { CreateTableCommandInput } from '@aws-sdk/client-dynamodb';
import { type Random, SeededRandom } from '../../src/platform/index.ts';
import type { RequestSigner } from './signed-request.ts';

/** What is measured; the order is that of the table. */
export const DYNAMO_MEASURES = {
  ycsbA: { title: 'YCSB A: half reads, half updates', indexes: 0, isYcsb: true },
  ycsbB: { title: 'YCSB B: 95% reads, 5% updates', indexes: 0, isYcsb: true },
  ycsbC: { title: 'YCSB C: reads', indexes: 0, isYcsb: true },
  ycsbF: { title: 'YCSB F: half reads, half read-modify-writes', indexes: 0, isYcsb: true },
  getItem: { title: 'GetItem, consistent', indexes: 0, isYcsb: false },
  putItem: { title: 'PutItem, no index', indexes: 0, isYcsb: false },
  putItem1: { title: 'PutItem, 1 global index', indexes: 1, isYcsb: false },
  putItem5: { title: 'PutItem, 5 global indexes', indexes: 5, isYcsb: false },
  putItem1Elsewhere: { title: 'PutItem, 1 global index, led elsewhere', indexes: 1, isYcsb: false },
  putItem5Elsewhere: { title: 'PutItem, 5 global indexes, led elsewhere', indexes: 5, isYcsb: false },
} as const satisfies Record<string, { title: string; indexes: number; isYcsb: boolean }>;

export type DynamoMeasure = keyof typeof DYNAMO_MEASURES;

/** Measures of tables whose indexes are in a group that another node leads, in the order in which their tables are made. */
export const ELSEWHERE = ['putItem1Elsewhere', 'putItem5Elsewhere'] as const satisfies readonly DynamoMeasure[];
export const isElsewhere = (measure: DynamoMeasure): boolean =>
  (ELSEWHERE as readonly DynamoMeasure[]).includes(measure);

const FIELDS = 10;
const FIELD_BYTES = 100;
const ZIPFIAN = 0.99;
/** Operations that are made ahead; a load goes through them again and again. */
const MADE_AHEAD = 4_000;
/** Values of an attribute that an index is over. */
const INDEX_VALUES = 1_000;
const BATCH = 25;

/** One after the other on one connection. */
export type Operation = readonly Buffer[];

/** A table of each number of indexes, and of each place of them. */
export const tableName = (measure: DynamoMeasure): string =>
  `usertable-${DYNAMO_MEASURES[measure].indexes}${isElsewhere(measure) ? '-elsewhere' : ''}`;

/** Draws record numbers. */
function zipfian(random: Random, records: number): () => number {
  const sums = new Float64Array(records);
  let sum = 0;
  for (let at = 0; at < records; at++) {
    sum += 1 / (at + 1) ** ZIPFIAN;
    sums[at] = sum;
  }
  return () => {
    const wanted = random.next() * sum;
    let [low, high] = [0, records - 1];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sums[middle]! < wanted) low = middle + 1;
      else high = middle;
    }
    // Neighbours in rank are no neighbours in the table.
    return (low * 7919) % records;
  };
}

const keyOf = (record: number) => ({ k: { S: `user${String(record).padStart(12, '0')}` } });

function text(random: Random, length: number): string {
  return random
    .bytes(Math.ceil((length * 3) / 4))
    .toString('base64')
    .slice(0, length);
}

function recordOf(random: Random, record: number, indexes: number): object {
  const item: Record<string, { S: string }> = { ...keyOf(record) };
  for (let field = 0; field < FIELDS; field++) item[`field${field}`] = { S: text(random, FIELD_BYTES) };
  for (let index = 0; index < indexes; index++) item[`g${index}`] = { S: `value${random.int(INDEX_VALUES)}` };
  return item;
}

/** The table of a measure. */
export function tableOf(measure: DynamoMeasure): CreateTableCommandInput {
  const { indexes } = DYNAMO_MEASURES[measure];
  const names = Array.from({ length: indexes }, (_, index) => `g${index}`);
  return {
    TableName: tableName(measure),
    BillingMode: 'PAY_PER_REQUEST',
    KeySchema: [{ AttributeName: 'k', KeyType: 'HASH' }],
    AttributeDefinitions: ['k', ...names].map((AttributeName) => ({ AttributeName, AttributeType: 'S' as const })),
    ...(indexes === 0
      ? {}
      : {
          GlobalSecondaryIndexes: names.map((AttributeName) => ({
            IndexName: `by-${AttributeName}`,
            KeySchema: [{ AttributeName, KeyType: 'HASH' as const }],
            Projection: { ProjectionType: 'KEYS_ONLY' as const },
          })),
        }),
  };
}

/** Requests that fill the table of a measure. */
export function filling(signer: RequestSigner, measure: DynamoMeasure, records: number): Operation[] {
  const random = new SeededRandom(1);
  const { indexes } = DYNAMO_MEASURES[measure];
  const operations: Operation[] = [];
  for (let first = 0; first < records; first += BATCH) {
    const requests = Array.from({ length: Math.min(BATCH, records - first) }, (_, at) => ({
      PutRequest: { Item: recordOf(random, first + at, indexes) },
    }));
    operations.push([signer.request('BatchWriteItem', { RequestItems: { [tableName(measure)]: requests } })]);
  }
  return operations;
}

/** Operations of a measure. @param records that the table has @param count how many operations */
export function operationsOf(
  signer: RequestSigner,
  measure: DynamoMeasure,
  records: number,
  seed: number,
  count = MADE_AHEAD,
): Operation[] {
  const random = new SeededRandom(seed);
  const draw = zipfian(random, records);
  const TableName = tableName(measure);
  const { indexes } = DYNAMO_MEASURES[measure];
  const read = (record: number, ConsistentRead = false): Buffer =>
    signer.request('GetItem', { TableName, Key: keyOf(record), ...(ConsistentRead ? { ConsistentRead } : {}) });
  const update = (record: number): Buffer =>
    signer.request('UpdateItem', {
      TableName,
      Key: keyOf(record),
      UpdateExpression: 'SET #field = :value',
      ExpressionAttributeNames: { '#field': `field${random.int(FIELDS)}` },
      ExpressionAttributeValues: { ':value': { S: text(random, FIELD_BYTES) } },
    });
  const put = (record: number): Buffer =>
    signer.request('PutItem', { TableName, Item: recordOf(random, record, indexes) });
  const make: { readonly [M in DynamoMeasure]: (record: number) => Operation } = {
    ycsbA: (record) => [random.next() < 0.5 ? read(record) : update(record)],
    ycsbB: (record) => [random.next() < 0.95 ? read(record) : update(record)],
    ycsbC: (record) => [read(record)],
    ycsbF: (record) => (random.next() < 0.5 ? [read(record)] : [read(record), update(record)]),
    getItem: (record) => [read(record, true)],
    putItem: (record) => [put(record)],
    putItem1: (record) => [put(record)],
    putItem5: (record) => [put(record)],
    putItem1Elsewhere: (record) => [put(record)],
    putItem5Elsewhere: (record) => [put(record)],
  };
  return Array.from({ length: count }, () => make[measure](draw()));
}
