/** Indexes of a table while its items change, also one that is made and dropped all the time: their rows are what the items are. */
import type { GlobalSecondaryIndex } from '@aws-sdk/client-dynamodb';
import { type Compared, type Found, indexChecker } from '../../checkers/owned-items.ts';
import { NothingHappened } from '../../client.ts';
import type { DynamoSession } from '../../dynamo-client.ts';
import type { Workload } from '../../types.ts';
import { COLOURS, OwnedItems, type OwnedWrite } from './owned-items.ts';
import { keyed } from './tables.ts';
import { BESIDE, writeOwned } from './write-owned.ts';

const TABLE = 'indexed';
const BY_COLOUR = 'by-colour';
const BY_VERSION = 'by-version';
/** Made and dropped while others write. */
const LATE = 'late';
const SLOTS_PER_WORKER = 10;
/** Of queries, those that ask for small pages. */
const PAGED_SHARE = 0.2;
const SMALL_PAGE = 4;
/** Clients that make and drop an index: each is on another node, so that every node hears of changes that others make. */
const REINDEXERS = 3;
/** Of their operations, those that do it. */
const REINDEXED_SHARE = 0.15;

/** Its rows stay where they are while an item keeps its colour: a page by page read meets each once. */
const index = (IndexName: string, hash: string, NonKeyAttributes?: string[]): GlobalSecondaryIndex => ({
  IndexName,
  KeySchema: [
    { AttributeName: hash, KeyType: 'HASH' },
    { AttributeName: 'k', KeyType: 'RANGE' },
  ],
  Projection:
    NonKeyAttributes === undefined ? { ProjectionType: 'ALL' } : { ProjectionType: 'INCLUDE', NonKeyAttributes },
});

type Stored = Readonly<Record<string, unknown>>;
const foundIn = (items: readonly Stored[]): Found => items.map(({ k, v }) => [k as string, v as number]);

/** What a query asks for. */
interface Asked {
  readonly index: string;
  readonly colour: string;
  /** Items of a page; null leaves it to the service. */
  readonly limit: number | null;
}

async function query({ documents }: DynamoSession, { index: name, colour, limit }: Asked): Promise<Found> {
  const items: Stored[] = [];
  let ExclusiveStartKey: Record<string, unknown> | undefined;
  do {
    const page = await documents.query({
      TableName: TABLE,
      IndexName: name,
      KeyConditionExpression: '#hash = :colour',
      ExpressionAttributeNames: { '#hash': name === LATE ? 'tint' : 'colour' },
      ExpressionAttributeValues: { ':colour': colour },
      ...{ Limit: limit ?? undefined, ExclusiveStartKey },
    });
    items.push(...(page.Items ?? []));
    ExclusiveStartKey = page.LastEvaluatedKey;
  } while (ExclusiveStartKey !== undefined);
  return foundIn(items);
}

/** All rows of the table, or of an index. */
async function scan({ documents }: DynamoSession, IndexName?: string): Promise<readonly Stored[]> {
  const items: Stored[] = [];
  let ExclusiveStartKey: Record<string, unknown> | undefined;
  do {
    const consistency = IndexName === undefined ? { ConsistentRead: true } : { IndexName };
    const page = await documents.scan({ TableName: TABLE, ...consistency, ExclusiveStartKey });
    items.push(...(page.Items ?? []));
    ExclusiveStartKey = page.LastEvaluatedKey;
  } while (ExclusiveStartKey !== undefined);
  return items;
}

/** @throws NothingHappened while an index is being made or dropped, or somebody still writes */
async function compare(session: DynamoSession): Promise<Compared> {
  const { Table } = await session.tables.describeTable({ TableName: TABLE });
  const names = (Table?.GlobalSecondaryIndexes ?? []).map(({ IndexName }) => IndexName!);
  if (Table?.TableStatus !== 'ACTIVE') throw new NothingHappened(`the table is ${Table?.TableStatus}`);
  const before = await scan(session);
  const indexes: Record<string, { isSparse: boolean; rows: Found }> = {};
  for (const name of names) indexes[name] = { isSparse: name !== BY_VERSION, rows: foundIn(await scan(session, name)) };
  const after = await scan(session);
  if (JSON.stringify(before) !== JSON.stringify(after)) throw new NothingHappened('the table has changed meanwhile');
  return {
    items: before.map(({ k, v, colour }) => [k as string, v as number, (colour as string | undefined) ?? null]),
    indexes,
  };
}

/** Makes the late index, or drops it. @returns what was asked for */
async function reindex({ tables }: DynamoSession): Promise<string> {
  const { Table } = await tables.describeTable({ TableName: TABLE });
  const late = Table?.GlobalSecondaryIndexes?.find(({ IndexName }) => IndexName === LATE);
  if (Table?.TableStatus !== 'ACTIVE') return 'waits';
  if (late !== undefined) {
    await tables.updateTable({ TableName: TABLE, GlobalSecondaryIndexUpdates: [{ Delete: { IndexName: LATE } }] });
    return 'dropped';
  }
  await tables.updateTable({
    TableName: TABLE,
    AttributeDefinitions: [
      { AttributeName: 'tint', AttributeType: 'S' },
      { AttributeName: 'k', AttributeType: 'S' },
    ],
    GlobalSecondaryIndexUpdates: [{ Create: index(LATE, 'tint', ['v']) }],
  });
  return 'made';
}

/** Writes of items that one client each owns, and queries of their indexes. */
export function dynamoIndex(): Workload<DynamoSession> {
  const items = new OwnedItems(SLOTS_PER_WORKER);
  return {
    name: 'dynamo-index',
    description: 'DynamoDB: rows of indexes, also of one that comes and goes, are a function of the items at any time',
    checker: indexChecker,
    async setup(session) {
      await session.makeTable(keyed(BESIDE));
      await session.makeTable(
        keyed(TABLE, {
          types: { colour: 'S', v: 'N' },
          indexes: [
            index(BY_COLOUR, 'colour'),
            {
              IndexName: BY_VERSION,
              KeySchema: [{ AttributeName: 'v', KeyType: 'HASH' }],
              Projection: { ProjectionType: 'KEYS_ONLY' },
            },
          ],
        }),
      );
    },
    generate({ worker, random }) {
      const draw = random.next();
      if (worker < REINDEXERS && draw < REINDEXED_SHARE) return { f: 'reindex', value: null };
      if (draw < 0.55) return { f: 'write', value: items.next(worker, random) };
      const key = items.any(random);
      if (draw < 0.7 && key !== undefined) return { f: 'get', value: [key, null] };
      const name = random.next() < 0.5 ? BY_COLOUR : LATE;
      const colour = COLOURS[random.int(COLOURS.length)]!;
      const asked: Asked = { index: name, colour, limit: random.next() < PAGED_SHARE ? SMALL_PAGE : null };
      return { f: 'query', value: asked };
    },
    finalOperations: [{ f: 'compare', value: null }],
    // A change of the table's indexes says nothing about items, so nobody asks what became of it.
    isReadOnly: (f) => f !== 'write',
    async execute(session, { f, value }) {
      switch (f) {
        case 'write':
          await writeOwned(session, items, TABLE, value as OwnedWrite);
          return value;
        case 'get': {
          const [key] = value as readonly [string, null];
          const { Item } = await session.documents.get({ TableName: TABLE, Key: { k: key }, ConsistentRead: true });
          return [key, (Item?.v as number | undefined) ?? null];
        }
        case 'query': {
          const asked = value as Asked;
          return { ...asked, found: await query(session, asked) };
        }
        case 'reindex':
          return reindex(session);
        default:
          return compare(session);
      }
    },
  };
}
