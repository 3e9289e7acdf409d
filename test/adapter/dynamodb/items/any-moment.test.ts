/** At any moment of the past: rows of indexes follow from the items, and the records of the stream up to then lead to the items. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import {
  decodeStreamRecord,
  indexRange,
  isHeadRow,
  partitionRowAt,
  streamPrefix,
  streamRows,
  tokenIn,
  tokenRange,
} from '../../../../src/adapter/dynamodb/rows/index.ts';
import { transactionPlace } from '../../../../src/adapter/dynamodb/streams/index.ts';
import { comparePlaces, type Place } from '../../../../src/adapter/dynamodb/streams/sequence.ts';
import {
  hashKeyBytesIn,
  indexRows,
  itemOfRow,
  keyBytes,
  type TableDescriptor,
} from '../../../../src/adapter/dynamodb/tables/index.ts';
import { type Item, wireItem } from '../../../../src/adapter/dynamodb/values/index.ts';
import type { ScanRow } from '../../../../src/kv/index.ts';
import {
  groupId,
  type HlcTimestamp,
  hlcTimestamp,
  SeededRandom,
  timestampOfMs,
} from '../../../../src/platform/index.ts';
import { DynamoNodes } from '../dynamo-nodes.ts';

const TABLE = 'remembered';
const PARTITIONS = 6;
const SORTS = 5;
const WRITERS = 3;
const key = (name: string, type: string) => ({ AttributeName: name, KeyType: type });
const attribute = (name: string) => ({ AttributeName: name, AttributeType: 'S' });
const DEFINITION = {
  TableName: TABLE,
  BillingMode: 'PAY_PER_REQUEST',
  AttributeDefinitions: ['p', 's', 'l', 'g'].map(attribute),
  KeySchema: [key('p', 'HASH'), key('s', 'RANGE')],
  LocalSecondaryIndexes: [
    { IndexName: 'local', KeySchema: [key('p', 'HASH'), key('l', 'RANGE')], Projection: { ProjectionType: 'ALL' } },
  ],
  GlobalSecondaryIndexes: [
    {
      IndexName: 'global',
      KeySchema: [key('g', 'HASH'), key('l', 'RANGE')],
      Projection: { ProjectionType: 'INCLUDE', NonKeyAttributes: ['x'] },
    },
  ],
  StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' },
};

interface TimedRecord {
  readonly place: Place;
  readonly value: Buffer;
}

/** What one moment had. */
interface Moment {
  readonly items: ReadonlyMap<string, Item>;
  /** Of all indexes, by key. */
  readonly found: ReadonlyMap<string, string>;
  readonly wanted: ReadonlyMap<string, string>;
  readonly records: readonly TimedRecord[];
}

const shown = (item: Item | undefined): unknown => (item === undefined ? undefined : wireItem(item));

describe('a table at any moment', () => {
  const nodes = new DynamoNodes(3, 3, 71);
  const random = new SeededRandom(9);
  let table: TableDescriptor;
  let written = 0;

  const change = () => {
    const keys = { p: { S: `p${random.int(PARTITIONS)}` }, s: { S: `s${random.int(SORTS)}` } };
    if (random.int(4) === 0) return { Delete: { TableName: TABLE, Key: keys } };
    const maybe = (name: string) => (random.int(4) === 0 ? {} : { [name]: { S: `${name}${random.int(3)}` } });
    const Item = { ...keys, ...maybe('l'), ...maybe('g'), x: { S: `x${++written}` } };
    return { Put: { TableName: TABLE, Item } };
  };

  const write = async (): Promise<void> => {
    const node = 1 + random.int(3);
    const first = change();
    if (random.int(2) === 0) {
      const second = change();
      // Two changes of one item are refused.
      const request = { TransactItems: [first, second] };
      await nodes.ask(node, 'TransactWriteItems', request).catch((error: Error) => {
        assert.match(error.message, /multiple operations on one item|TransactionConflict/);
      });
    } else if (first.Put !== undefined) await nodes.ask(node, 'PutItem', first.Put);
    else await nodes.ask(node, 'DeleteItem', first.Delete);
  };

  const rowsAt = async (ts: HlcTimestamp): Promise<ScanRow[]> => {
    const { store, deadlineMs } = nodes.ends[random.int(3)]!;
    const range = { start: indexRange(table.id, 0).start, end: indexRange(table.id, 255).end };
    const options = { limit: undefined, reverse: false, keysOnly: false };
    const { signal } = new AbortController();
    const rows: ScanRow[] = [];
    const pages = store.services.reads.scan(range, options, { kind: 'exact', ts }, deadlineMs(), signal);
    for await (const page of pages) rows.push(...page.rows);
    return rows;
  };

  const recordOf = ({ key: row, value, commitTs }: ScanRow): TimedRecord => {
    const prefix = streamPrefix(table.id, tokenIn(row)!, table.streams[0]!.generation);
    const behind = row.subarray(prefix.length + 1);
    const isTimed = row[prefix.length] === 0x41;
    const place = isTimed
      ? { ts: hlcTimestamp(behind.readBigUInt64BE()), number: behind.readUInt32BE(8) }
      : transactionPlace(prefix, row, commitTs);
    return { place, value };
  };

  const momentOf = (rows: readonly ScanRow[]): Moment => {
    const items = new Map<string, Item>();
    const [found, wanted] = [new Map<string, string>(), new Map<string, string>()];
    const records: TimedRecord[] = [];
    for (const row of rows) {
      const name = row.key.toString('hex');
      if (row.key[4] !== 0) found.set(name, row.value.toString('hex'));
      else if (isHeadRow(row.key)) {
        const streams = streamRows(table.id, tokenIn(row.key)!);
        const isRecord = Buffer.compare(row.key, streams.start) >= 0 && Buffer.compare(row.key, streams.end) < 0;
        if (isRecord) records.push(recordOf(row));
      } else if (partitionRowAt(row.key, hashKeyBytesIn(row.key, table.key)).kind === 'item') {
        const { item } = itemOfRow(table, row.key, row.value);
        items.set(name, item);
        for (const index of indexRows(table, keyBytes(table.key, item), item))
          wanted.set(index.key.toString('hex'), index.value.toString('hex'));
      } else found.set(name, row.value.toString('hex'));
    }
    return { items, found, wanted, records };
  };

  /** The items that records lead to; each record says what was there before it. */
  const rebuilt = (records: readonly TimedRecord[]): Map<string, unknown> => {
    const items = new Map<string, unknown>();
    for (const { value } of [...records].sort((one, other) => comparePlaces(one.place, other.place))) {
      const { key: named, oldImage, newImage } = decodeStreamRecord(value);
      const name = JSON.stringify(wireItem(named));
      assert.deepEqual(shown(oldImage), items.get(name), `nothing of ${name} is missing or out of order`);
      if (newImage === undefined) items.delete(name);
      else items.set(name, shown(newImage));
    }
    return items;
  };

  const check = async (ts: HlcTimestamp): Promise<Moment> => {
    const moment = momentOf(await rowsAt(ts));
    assert.deepEqual(new Map([...moment.found].sort()), new Map([...moment.wanted].sort()), `indexes at ${ts}`);
    const images = [...rebuilt(moment.records).values()].map((image) => JSON.stringify(image)).sort();
    assert.deepEqual(
      images,
      [...moment.items.values()].map((item) => JSON.stringify(shown(item))).sort(),
      `the stream up to ${ts}`,
    );
    return moment;
  };

  before(async () => {
    await nodes.start();
    await nodes.run(1, 'CreateTable', DEFINITION);
    const { directory, deadlineMs } = nodes.ends[0]!;
    table = (await nodes.cluster.run(directory.find(TABLE, deadlineMs())))!;
  });

  test('is one whole, while ranges are cut, moved and joined', async () => {
    const { admin, kv } = nodes.cluster.running(1);
    const { scheduler } = nodes.cluster.node(1).machine;
    const pause = (ms: number): Promise<void> => new Promise((resolve) => scheduler.after(ms, resolve));
    const descriptor = async (): Promise<TableDescriptor> =>
      (await nodes.ends[0]!.directory.renew(TABLE, nodes.ends[0]!.deadlineMs()))!;
    let isDone = false;
    let checked = 0;
    const moments = new Set<string>();
    const writer = async (): Promise<void> => {
      while (!isDone) {
        await write();
        await pause(random.int(80));
      }
    };
    const looker = async (): Promise<void> => {
      while (!isDone) {
        await pause(250);
        const moment = await check(timestampOfMs(nodes.ends[0]!.nowMs() - random.int(100)));
        checked++;
        moments.add(JSON.stringify([...moment.items.keys(), moment.records.length]));
      }
    };
    const operator = async (): Promise<void> => {
      const middle = tokenRange(table.id, 0, 0x6000_0000, 0x6000_0001).start;
      const inside = tokenRange(table.id, 0, 0xb000_0000, 0xb000_0001).start;
      const index = indexRange(table.id, 1).start;
      const others = [2, 3, 4].filter((group) => group !== kv.groupOf(middle));
      for (const cut of [middle, inside, index]) await admin.split(cut, undefined, 30_000);
      while ((await descriptor()).segments.length < 3) await pause(200);
      await admin.merge(inside, undefined, 30_000);
      // Two moves between the same groups do not go together.
      for (const [at, start] of [index, middle].entries()) {
        await admin.move({ key: start }, groupId(others[at]!), undefined, 30_000);
        while (kv.groupOf(start) !== others[at]) await pause(50);
      }
      await pause(1_000);
      isDone = true;
    };
    await nodes.cluster.run(Promise.all([...Array.from({ length: WRITERS }, writer), looker(), operator()]));
    assert.ok(checked > 5 && moments.size > 5, `${checked} looks, ${moments.size} of them different`);
    assert.deepEqual(nodes.problems, []);
  });
});
