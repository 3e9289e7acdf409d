/** Whatever is written, by whatever way and however the table is cut: rows of indexes are a function of the items, and pages are what a model says. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { indexRange, isHeadRow, partitionRowAt, tokenRange } from '../../../../src/adapter/dynamodb/rows/index.ts';
import {
  expiryRowKey,
  hashKeyBytesIn,
  indexRows,
  itemOfRow,
  keyBytes,
  type TableDescriptor,
} from '../../../../src/adapter/dynamodb/tables/index.ts';
import { groupId, SeededRandom } from '../../../../src/platform/index.ts';
import { DynamoNodes } from '../dynamo-nodes.ts';

const TABLE = 'indexed';
const PARTITIONS = ['a', 'b', 'c', 'd', 'e'];
const SORTS = 12;

const DEFINITION = {
  TableName: TABLE,
  BillingMode: 'PAY_PER_REQUEST',
  AttributeDefinitions: [
    { AttributeName: 'p', AttributeType: 'S' },
    { AttributeName: 's', AttributeType: 'N' },
    { AttributeName: 'l', AttributeType: 'S' },
    { AttributeName: 'g', AttributeType: 'S' },
    { AttributeName: 'h', AttributeType: 'N' },
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
  GlobalSecondaryIndexes: [
    {
      IndexName: 'global',
      KeySchema: [
        { AttributeName: 'g', KeyType: 'HASH' },
        { AttributeName: 'h', KeyType: 'RANGE' },
      ],
      Projection: { ProjectionType: 'INCLUDE', NonKeyAttributes: ['x'] },
    },
  ],
};

type Wire = Record<string, { readonly S?: string; readonly N?: string }>;

/** Items by their keys, as a list in the order of a query. */
class Model {
  readonly items = new Map<string, Wire>();

  static name = (item: Wire): string => `${item.p!.S}/${item.s!.N!.padStart(4, '0')}`;

  put(item: Wire): void {
    this.items.set(Model.name(item), item);
  }

  /** Items of a partition of the table or of an index, in order. */
  query(isIn: (item: Wire) => boolean, order: (item: Wire) => string): Wire[] {
    const items = [...this.items.values()].filter(isIn);
    const byOrder = (one: Wire, other: Wire): number => {
      const [left, right] = [order(one) + Model.name(one), order(other) + Model.name(other)];
      return left < right ? -1 : left > right ? 1 : 0;
    };
    return items.sort(byOrder);
  }
}

describe('items of a table that is cut over three groups', () => {
  const nodes = new DynamoNodes(3, 3, 11);
  const model = new Model();
  const random = new SeededRandom(42);
  let table: TableDescriptor;

  const node = (): number => 1 + random.int(3);
  const key = (): Wire => ({
    p: { S: PARTITIONS[random.int(PARTITIONS.length)]! },
    s: { N: String(random.int(SORTS)) },
  });
  const maybe = (name: string, value: Wire[string]): Wire => (random.int(3) === 0 ? {} : { [name]: value });

  /** One random write, done to the model too. */
  const write = async (): Promise<void> => {
    const item = {
      ...key(),
      ...maybe('l', { S: `l${random.int(4)}` }),
      ...maybe('g', { S: `g${random.int(3)}` }),
      ...maybe('h', { N: String(random.int(9)) }),
      x: { S: `x${random.int(100)}` },
    };
    const name = Model.name(item);
    const { p, s } = item as Wire;
    switch (random.int(4)) {
      case 0:
        await nodes.ask(node(), 'DeleteItem', { TableName: TABLE, Key: { p, s } });
        model.items.delete(name);
        return;
      case 1: {
        const { Attributes } = await nodes.ask(node(), 'UpdateItem', {
          TableName: TABLE,
          Key: { p, s },
          UpdateExpression: 'SET g = :g REMOVE l',
          ExpressionAttributeValues: { ':g': { S: `g${random.int(3)}` } },
          ReturnValues: 'ALL_NEW',
        });
        model.put({ ...(Attributes as Wire) });
        return;
      }
      default: {
        const { Attributes } = await nodes.ask(node(), 'PutItem', {
          TableName: TABLE,
          Item: item,
          ReturnValues: 'ALL_OLD',
        });
        assert.deepEqual({ ...(Attributes as Wire | undefined) }, { ...model.items.get(name) });
        model.put(item as Wire);
      }
    }
  };

  /** All rows of the table and of its indexes, by their keys. */
  const rowsNow = async (): Promise<Map<string, Buffer>> => {
    const { store, deadlineMs } = nodes.ends[0]!;
    const rows = new Map<string, Buffer>();
    const read = async (): Promise<void> => {
      const range = { start: indexRange(table.id, 0).start, end: indexRange(table.id, 255).end };
      const options = { limit: undefined, reverse: false, keysOnly: false };
      const pages = store.services.cluster.scan(range, options, deadlineMs(), new AbortController().signal);
      for await (const page of pages) for (const row of page.rows) rows.set(row.key.toString('hex'), row.value);
    };
    await read();
    return rows;
  };

  const checkRows = async (): Promise<void> => {
    const wanted = new Map<string, Buffer>();
    const found = new Map<string, Buffer>();
    let items = 0;
    for (const [name, value] of await rowsNow()) {
      const row = Buffer.from(name, 'hex');
      const isBase = row[4] === 0;
      const isItem = isBase && !isHeadRow(row) && partitionRowAt(row, hashKeyBytesIn(row, table.key)).kind === 'item';
      if (isItem) {
        items++;
        const { item } = itemOfRow(table, row, value);
        const place = keyBytes(table.key, item);
        for (const index of indexRows(table, place, item)) wanted.set(index.key.toString('hex'), index.value);
        const expiry = expiryRowKey(table, place, item);
        if (expiry !== undefined) wanted.set(expiry.toString('hex'), Buffer.alloc(0));
      } else if (!(isHeadRow(row) && row[10] === 1)) found.set(name, value);
    }
    assert.equal(items, model.items.size);
    assert.deepEqual(new Map([...found].sort()), new Map([...wanted].sort()));
  };

  const checkPages = async (): Promise<void> => {
    const partition = PARTITIONS[random.int(PARTITIONS.length)]!;
    const isForward = random.int(2) === 0;
    const base = { TableName: TABLE, Limit: 1 + random.int(7), ScanIndexForward: isForward };
    const inOrder = (list: Wire[]): Wire[] => (isForward ? list : list.reverse());
    const low = random.int(SORTS);
    const filter = random.int(2) === 0 ? undefined : `x${random.int(100)}`;
    assert.deepEqual(
      await all('Query', {
        ...base,
        ConsistentRead: random.int(2) === 0,
        KeyConditionExpression: 'p = :p AND s >= :s',
        FilterExpression: filter === undefined ? undefined : 'x < :x',
        ExpressionAttributeValues: {
          ...{ ':p': { S: partition }, ':s': { N: String(low) } },
          ...(filter === undefined ? {} : { ':x': { S: filter } }),
        },
      }),
      inOrder(
        model.query(
          (item) =>
            item.p!.S === partition &&
            Number(item.s!.N) >= low &&
            (filter === undefined || (item.x !== undefined && item.x.S! < filter)),
          () => '',
        ),
      ),
      'a partition of the table',
    );
    assert.deepEqual(
      await all('Query', {
        ...base,
        IndexName: 'local',
        Select: 'ALL_ATTRIBUTES',
        KeyConditionExpression: 'p = :p AND begins_with(l, :l)',
        ExpressionAttributeValues: { ':p': { S: partition }, ':l': { S: 'l' } },
      }),
      inOrder(
        model.query(
          (item) => item.p!.S === partition && item.l !== undefined,
          (item) => item.l!.S!,
        ),
      ),
      'a partition of the local index',
    );
    assert.deepEqual(
      await all('Query', {
        ...base,
        IndexName: 'global',
        KeyConditionExpression: 'g = :g',
        ExpressionAttributeValues: { ':g': { S: 'g1' } },
        ProjectionExpression: 'p, s, x',
      }),
      inOrder(
        model.query(
          (item) => item.g?.S === 'g1' && item.h !== undefined,
          (item) => item.h!.N!,
        ),
      ).map(({ p, s, x }) => ({ p, s, ...(x === undefined ? {} : { x }) })),
      'a partition of the global index',
    );
  };

  /** All pages one after the other. */
  const all = async (name: string, input: Record<string, unknown>): Promise<Wire[]> => {
    const items: Wire[] = [];
    let start: unknown;
    for (let pages = 0; pages < 100; pages++) {
      const page = await nodes.ask(node(), name, {
        ...input,
        ...(start === undefined ? {} : { ExclusiveStartKey: start }),
      });
      const read = page.Items as Wire[];
      assert.ok(read.length <= (input.Limit as number));
      items.push(...read.map((item) => ({ ...item })));
      start = page.LastEvaluatedKey;
      if (start === undefined) return items;
    }
    assert.fail('there is no end of pages');
  };

  const sorted = (items: Iterable<Wire>): Wire[] =>
    [...items].sort((one, other) => (Model.name(one) < Model.name(other) ? -1 : 1));

  const checkScan = async (): Promise<void> => {
    const total = 1 + random.int(5);
    const parts: Wire[] = [];
    for (let segment = 0; segment < total; segment++) {
      parts.push(...(await all('Scan', { TableName: TABLE, Limit: 3, Segment: segment, TotalSegments: total })));
    }
    assert.deepEqual(sorted(parts), sorted(model.items.values()));
  };

  before(async () => {
    await nodes.start();
    await nodes.run(1, 'CreateTable', DEFINITION);
    const { directory, deadlineMs } = nodes.ends[0]!;
    table = (await nodes.cluster.run(directory.find(TABLE, deadlineMs())))!;
  });

  const inSimulation = (act: () => Promise<void>): Promise<void> => nodes.cluster.run(act());

  test('have the rows of indexes that follow from them, in one group', () =>
    inSimulation(async () => {
      for (let n = 0; n < 80; n++) await write();
      await checkRows();
      await checkPages();
      await checkScan();
    }));

  test('and in several, while ranges are cut and moved', async () => {
    const { admin } = nodes.cluster.running(1);
    const { scheduler } = nodes.cluster.node(1).machine;
    const pause = (ms: number): Promise<void> => new Promise((resolve) => scheduler.after(ms, resolve));
    const cuts = [
      tokenRange(table.id, 0, 0x5000_0000, 0x6000_0000).start,
      tokenRange(table.id, 0, 0xa000_0000, 0xb000_0000).start,
      indexRange(table.id, 1).start,
      tokenRange(table.id, 1, 0x8000_0000, 0x9000_0000).start,
    ];
    const groups = new Set<number>();
    for (const [at, cut] of cuts.entries()) {
      await inSimulation(async () => {
        await admin.split(cut, undefined, 30_000);
        const moving = admin.move({ key: cut }, groupId(2 + (at % 3)), undefined, 30_000);
        let isMoved = false;
        const moved = moving.then(async () => {
          while ((await admin.jobs(0, 0, 30_000)).length > 0) await pause(20);
          isMoved = true;
        });
        do {
          for (let n = 0; n < 5; n++) await write();
          await checkPages();
          await checkScan();
        } while (!isMoved);
        await moved;
        // A cut within a group, and its end.
        const inside = tokenRange(table.id, 0, 0x2000_0000 + at, 0x3000_0000).start;
        await admin.split(inside, undefined, 30_000);
        await checkPages();
        await admin.merge(inside, undefined, 30_000);
        await checkPages();
        await checkScan();
      });
      groups.add(nodes.ends[0]!.store.services.kv.groupOf(cut));
    }
    assert.ok(groups.size > 1, [...groups].join());
    await inSimulation(async () => {
      await checkRows();
      await checkScan();
    });
  });
});
