/** Segments follow ranges to other groups: shards get children, and whoever reads parents before children sees each change once and in order. */
import assert from 'node:assert/strict';
import { before, describe, mock, test } from 'node:test';
import {
  fenceKey,
  isHeadRow,
  partitionsStart,
  tokenOf,
  tokenRange,
  ttlPrefix,
} from '../../../../src/adapter/dynamodb/rows/index.ts';
import {
  cutSegment,
  expiryRanges,
  expiryRowKey,
  joinSegment,
  keyBytes,
  type TableDescriptor,
} from '../../../../src/adapter/dynamodb/tables/index.ts';
import { endOfSegment } from '../../../../src/adapter/dynamodb/tables/segments.ts';
import { followRanges } from '../../../../src/adapter/dynamodb/upkeep/follow-ranges.ts';
import { readItem } from '../../../../src/adapter/dynamodb/values/index.ts';
import { groupId } from '../../../../src/platform/index.ts';
import { DynamoNodes } from '../dynamo-nodes.ts';

const TableName = 'followed';
const TABLE = {
  TableName,
  AttributeDefinitions: [{ AttributeName: 'p', AttributeType: 'N' }],
  KeySchema: [{ AttributeName: 'p', KeyType: 'HASH' }],
  BillingMode: 'PAY_PER_REQUEST',
  StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' },
};
const ITEMS = 12;
const key = (p: number) => ({ p: { N: String(p) } });
const tokenOfItem = (p: number): number =>
  tokenOf(keyBytes({ hash: [{ name: 'p', type: 'N' }], range: [] }, readItem(key(p))).hashKey);

interface Shown {
  readonly ShardId: string;
  readonly ParentShardId?: string;
  readonly SequenceNumberRange: { readonly StartingSequenceNumber: string; readonly EndingSequenceNumber?: string };
}

interface Change {
  readonly eventID: string;
  readonly dynamodb: {
    readonly Keys: { readonly p: { readonly N: string } };
    readonly OldImage?: object;
    readonly NewImage?: object;
  };
}

describe('a table whose ranges go to other groups', () => {
  const nodes = new DynamoNodes(3, 3, 53);
  const random = nodes.cluster.simulation.random;
  let arn = '';
  let table: TableDescriptor;
  /** What was read, by item, and where each shard is to be read on. */
  const seen = new Map<string, { image: object | undefined; ids: Set<string> }>();
  const places = new Map<string, string | undefined>();
  let written = 0;
  const used = new Set<number>();

  const ask = async (node: number, name: string, input: object): Promise<Record<string, unknown>> =>
    JSON.parse(JSON.stringify(await nodes.ask(node, name, input)));
  const anyNode = (): number => 1 + random.int(3);

  const shards = async (filter?: object): Promise<Shown[]> => {
    const { StreamDescription } = await ask(anyNode(), 'DescribeStream', { StreamArn: arn, ShardFilter: filter });
    return (StreamDescription as { readonly Shards: Shown[] }).Shards;
  };

  /** Reads all that there is of all shards whose parents were read to their end. */
  const readOn = async (): Promise<void> => {
    for (const { ShardId, ParentShardId } of await shards()) {
      const isReady =
        ParentShardId === undefined || (places.has(ParentShardId) && places.get(ParentShardId) === undefined);
      if (!isReady) continue;
      if (!places.has(ShardId)) {
        const first = { StreamArn: arn, ShardId, ShardIteratorType: 'TRIM_HORIZON' };
        places.set(ShardId, (await ask(anyNode(), 'GetShardIterator', first)).ShardIterator as string);
      }
      for (let pages = 0; pages < 50 && places.get(ShardId) !== undefined; pages++) {
        const asked = { ShardIterator: places.get(ShardId), Limit: 1 + random.int(20) };
        const page = await ask(anyNode(), 'GetRecords', asked);
        places.set(ShardId, page.NextShardIterator as string | undefined);
        for (const change of page.Records as Change[]) take(change);
        if ((page.Records as Change[]).length === 0) break;
      }
    }
  };

  const take = ({ eventID, dynamodb: { Keys, OldImage, NewImage } }: Change): void => {
    const known = seen.get(Keys.p.N) ?? { image: undefined, ids: new Set<string>() };
    assert.ok(!known.ids.has(eventID), 'no change comes twice');
    assert.deepEqual(OldImage, known.image, `nothing of item ${Keys.p.N} is missing or out of order`);
    known.ids.add(eventID);
    seen.set(Keys.p.N, { ...known, image: NewImage });
  };

  const write = async (): Promise<void> => {
    const p = random.int(ITEMS);
    const n = { N: String(++written) };
    const item = { ...key(p), n, expires: { N: '4000000000' } };
    if (random.int(3) > 0) await ask(anyNode(), 'PutItem', { TableName, Item: item });
    else
      await ask(anyNode(), 'TransactWriteItems', {
        TransactItems: [
          { Put: { TableName, Item: item } },
          { Delete: { TableName, Key: key((p + 1) % ITEMS) } },
          { Put: { TableName, Item: { ...key((p + 2) % ITEMS), n } } },
        ],
      });
  };

  const descriptor = (): Promise<TableDescriptor> =>
    nodes.ends[0]!.directory.renew(TableName, nodes.ends[0]!.deadlineMs()).then((found) => found!);
  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => nodes.cluster.node(1).machine.scheduler.after(ms, resolve));
  const middle = 0x8000_0000;
  const quarter = 0xc000_0000;

  /** Does something with writers and a reader all the time, until the table has so many segments, and each has ended that was cut. */
  const whileBusy = async (act: () => Promise<unknown>, segments: number): Promise<void> => {
    let isDone = false;
    await nodes.cluster.run(
      (async () => {
        const busy = (async () => {
          while (!isDone) {
            await write();
            await pause(40);
            if (random.int(4) === 0) await readOn();
          }
        })();
        await act();
        for (;;) {
          const now = await descriptor();
          const isSettled = now.cutSegments?.every(({ untilTs }) => untilTs !== undefined) === true;
          if (now.segments.length === segments && isSettled) break;
          await pause(50);
        }
        isDone = true;
        await busy;
      })(),
    );
    table = await nodes.cluster.run(descriptor());
  };

  const startOf = (token: number): Buffer => tokenRange(table.id, 0, token, token + 1).start;

  /** Has a range of tokens moved to another group. */
  const move = (token: number, segments: number): Promise<void> =>
    whileBusy(async () => {
      const { admin, kv } = nodes.cluster.running(1);
      const cut = startOf(token);
      await admin.split(cut, undefined, 30_000);
      // Where a range has just come from it cannot go again for half a minute.
      used.add(kv.groupOf(cut));
      const to = [2, 3, 4].find((group) => !used.has(group))!;
      used.add(to);
      await admin.move({ key: cut }, groupId(to), undefined, 30_000);
    }, segments);

  /** Reads everything, and looks whether it leads to what the table has. */
  const checkRebuilt = async (): Promise<void> => {
    await nodes.cluster.run(readOn());
    await nodes.cluster.run(readOn());
    const { Items } = await nodes.run(3, 'Scan', { TableName, ConsistentRead: true });
    const rebuilt = [...seen].flatMap(([p, { image }]) => (image === undefined ? [] : [[p, image] as const]));
    const now = (Items as { p: { N: string } }[]).map((item) => [item.p.N, JSON.parse(JSON.stringify(item))] as const);
    assert.deepEqual(new Map(rebuilt.sort()), new Map(now.sort()));
  };

  before(async () => {
    await nodes.start();
    await nodes.run(1, 'CreateTable', TABLE);
    await nodes.run(1, 'UpdateTimeToLive', {
      TableName,
      TimeToLiveSpecification: { Enabled: true, AttributeName: 'expires' },
    });
    table = await nodes.cluster.run(descriptor());
    const { Streams } = await nodes.run(2, 'ListStreams', {});
    arn = (Streams as { StreamArn: string }[])[0]!.StreamArn;
  });

  test('gives its shards children, whose records go on where those of their parents end', async () => {
    const [first] = await nodes.cluster.run(shards());
    await move(middle, 2);
    const shown = await nodes.cluster.run(shards());
    assert.equal(shown.length, 3);
    const parent = shown[0]!;
    assert.equal(parent.ShardId, first!.ShardId);
    assert.match(parent.SequenceNumberRange.EndingSequenceNumber ?? '', /^\d{31}$/);
    assert.deepEqual(
      shown
        .slice(1)
        .map(({ ParentShardId, SequenceNumberRange: range }) => [ParentShardId, range.EndingSequenceNumber]),
      [
        [parent.ShardId, undefined],
        [parent.ShardId, undefined],
      ],
    );
    const children = await nodes.cluster.run(shards({ Type: 'CHILD_SHARDS', ShardId: parent.ShardId }));
    assert.deepEqual(children, shown.slice(1));

    await move(quarter, 3);
    const after = await nodes.cluster.run(shards());
    assert.equal(after.length, 5);
    const byId = new Map(after.map((shard) => [shard.ShardId, shard]));
    for (const { ParentShardId: id } of after) assert.ok(id === undefined || byId.has(id));

    await checkRebuilt();
    assert.ok(written > 50, String(written));
    assert.deepEqual(nodes.problems, []);
  });

  test('has them too for a cut inside a group, and keeps them when the range is whole again', async () => {
    const { admin, kv } = nodes.cluster.running(1);
    const token = 0x4000_0000;
    assert.equal(kv.groupOf(startOf(token)), kv.groupOf(startOf(0)));
    const before = await nodes.cluster.run(shards());
    await whileBusy(() => admin.split(startOf(token), undefined, 30_000), 4);
    const after = await nodes.cluster.run(shards());
    assert.equal(after.length, before.length + 2);
    const born = after.filter(({ ShardId }) => !before.some((one) => one.ShardId === ShardId));
    const parent = after.find(({ ShardId }) => ShardId === born[0]!.ParentShardId)!;
    assert.match(parent.SequenceNumberRange.EndingSequenceNumber ?? '', /^\d{31}$/);
    assert.equal(born[1]!.ParentShardId, parent.ShardId);
    await checkRebuilt();

    // What is read of a stream has one parent at most, so shards that have begun go on.
    await whileBusy(() => admin.merge(startOf(token), undefined, 30_000), 4);
    await nodes.cluster.simulation.runFor(2_000);
    assert.deepEqual(await nodes.cluster.run(shards()), after);
    await checkRebuilt();
  });

  test('is not read beyond a cut by a node that has not heard of it', async () => {
    const { catalog, deadlineMs, nowMs } = nodes.ends[0]!;
    const token = 0x2000_0000;
    const p = Array.from({ length: 1_000 }, (_, at) => at).find((at) => tokenOfItem(at) < token)!;
    await nodes.cluster.run(
      (async () => {
        const { ShardId } = (await shards()).find(
          ({ SequenceNumberRange: { EndingSequenceNumber: end }, ShardId: id }) =>
            end === undefined && id.endsWith('-00000000'),
        )!;
        const asked = { StreamArn: arn, ShardId, ShardIteratorType: 'LATEST' };
        const { ShardIterator } = await ask(2, 'GetShardIterator', asked);
        await catalog.changeById(table.id, deadlineMs(), (now, tasks) => cutSegment(now, tasks, token, nowMs()));
        await ask(1, 'PutItem', { TableName, Item: { ...key(p), n: { N: '77' } } });
        const { Records, NextShardIterator } = await ask(2, 'GetRecords', { ShardIterator });
        assert.deepEqual(Records, [], "the record is a child's");
        assert.ok(NextShardIterator !== undefined);
      })(),
    );
    await nodes.cluster.simulation.runFor(4_000);
    const settled = await nodes.cluster.run(shards());
    assert.equal(settled.length, 9);
    for (let round = 0; round < 2; round++) await nodes.cluster.run(readOn());
    assert.deepEqual(seen.get(String(p))?.image, { ...key(p), n: { N: '77' } });
  });

  test('writes an item of a range that has moved as one entry again', async () => {
    const p = Array.from({ length: ITEMS }, (_, at) => at).find((at) => tokenOfItem(at) >= middle)!;
    for (const node of [1, 2, 3]) {
      const { transactions } = nodes.ends[node - 1]!.store.services;
      await nodes.run(node, 'GetItem', { TableName, Key: key(p), ConsistentRead: true });
      const run = mock.method(transactions, 'run');
      await nodes.run(node, 'PutItem', { TableName, Item: { ...key(p), n: { N: '0' } } });
      assert.equal(run.mock.callCount(), 0);
      run.mock.restore();
    }
  });

  test('has the expiry rows of each segment at its head', async () => {
    const { store, deadlineMs } = nodes.ends[0]!;
    await nodes.until(1, TableName, (now) => now !== undefined && now.segments.length === 5);
    const rowsIn = (start: Buffer, end: Buffer): Promise<Map<string, Buffer>> =>
      nodes.cluster.run(
        (async () => {
          const rows = new Map<string, Buffer>();
          const options = { limit: undefined, reverse: false, keysOnly: false };
          const pages = store.services.cluster.scan(
            { start, end },
            options,
            deadlineMs(),
            new AbortController().signal,
          );
          for await (const page of pages)
            for (const { key: row, value } of page.rows) rows.set(row.toString('hex'), value);
          return rows;
        })(),
      );
    // Tasks that move them are done in the background.
    await nodes.cluster.simulation.runFor(5_000);
    table = await nodes.cluster.run(descriptor());
    const found = new Set<string>();
    for (const { start, end } of expiryRanges(table))
      for (const row of (await rowsIn(start, end)).keys()) found.add(row);
    const { Items } = await nodes.run(2, 'Scan', { TableName, ConsistentRead: true });
    const wanted = new Set<string>();
    for (const wire of Items as Parameters<typeof readItem>[0][]) {
      const item = readItem(wire);
      const row = expiryRowKey(table, keyBytes(table.key, item), item);
      if (row !== undefined) wanted.add(row.toString('hex'));
    }
    assert.deepEqual([...found].sort(), [...wanted].sort());
    const heads = new Set([...wanted].map((row) => row.slice(0, 18)));
    assert.ok(heads.size > 1);
    for (const { start } of table.segments) {
      assert.ok(isHeadRow(ttlPrefix(table.id, start)));
      const fence = fenceKey(table.id, start);
      assert.equal((await rowsIn(fence, Buffer.concat([fence, Buffer.of(0)]))).size, 1);
    }
  });
});

describe('a table without a stream', () => {
  const nodes = new DynamoNodes(3, 3, 59);
  const HOUR_MS = 60 * 60 * 1000;
  const name = 'quiet';
  const token = 0x8000_0000;
  const last = 0xc000_0000;
  const attributes = { TableName: name, StreamSpecification: undefined };
  const descriptor = (): Promise<TableDescriptor> =>
    nodes.cluster.run(nodes.ends[0]!.directory.renew(name, nodes.ends[0]!.deadlineMs())).then((found) => found!);
  const items = Array.from({ length: 40 }, (_, p) => ({ ...key(p), expires: { N: String(4_000_000_000 + p) } }));

  /** Has every node look at the segments as it would after a time. */
  const follow = async (laterMs: number): Promise<void> => {
    const now = await descriptor();
    for (const { store, catalog, nowMs, deadlineMs } of nodes.ends)
      await nodes.cluster.run(followRanges(store.services.kv, catalog, now, nowMs() + laterMs, deadlineMs()));
  };

  const headRows = async (at: number): Promise<number> => {
    const { store, deadlineMs } = nodes.ends[1]!;
    const { id } = await descriptor();
    const range = { start: fenceKey(id, at), end: partitionsStart(id, 0, at) };
    const options = { limit: undefined, reverse: false, keysOnly: true };
    const count = async (): Promise<number> => {
      let rows = 0;
      const pages = store.services.cluster.scan(range, options, deadlineMs(), new AbortController().signal);
      for await (const page of pages) rows += page.rows.length;
      return rows;
    };
    return nodes.cluster.run(count());
  };

  before(async () => {
    await nodes.start();
    await nodes.run(1, 'CreateTable', { ...TABLE, ...attributes });
    const TimeToLiveSpecification = { Enabled: true, AttributeName: 'expires' };
    await nodes.run(1, 'UpdateTimeToLive', { TableName: name, TimeToLiveSpecification });
    for (const Item of items) await nodes.run(1 + (Number(Item.p.N) % 3), 'PutItem', { TableName: name, Item });
  });

  test('has a segment where another group begins, and none for a cut inside one', async () => {
    const { admin, kv } = nodes.cluster.running(1);
    const { id } = await descriptor();
    const cut = tokenRange(id, 0, last, last + 1).start;
    await nodes.cluster.run(admin.split(cut, undefined, 30_000));
    await nodes.cluster.simulation.runFor(3_000);
    assert.equal((await descriptor()).segments.length, 1);
    const to = [2, 3, 4].find((group) => group !== kv.groupOf(cut))!;
    await nodes.cluster.run(admin.move({ key: cut }, groupId(to), undefined, 30_000));
    await nodes.until(1, name, (now) => now?.segments.length === 2);
    await nodes.cluster.simulation.runFor(4_000);
    await follow(2 * HOUR_MS);
    assert.equal((await descriptor()).segments.length, 2, 'which stays for as long');
  });

  test('has a segment joined again that need not begin where it does, with all of its head', async () => {
    const { catalog, deadlineMs, nowMs } = nodes.ends[0]!;
    const { id } = await descriptor();
    await nodes.cluster.run(
      catalog.changeById(id, deadlineMs(), (now, tasks) => cutSegment(now, tasks, token, nowMs())),
    );
    await nodes.cluster.simulation.runFor(4_000);
    const isIn = (at: number): boolean => at >= token && at < last;
    const right = items.filter(({ p }) => isIn(tokenOfItem(Number(p.N)))).length;
    const left = items.filter(({ p }) => tokenOfItem(Number(p.N)) < last).length;
    assert.ok(right > 0 && left > right && left < items.length);
    assert.equal(await headRows(token), 1 + right, 'the fence and expiry rows');

    await follow(0);
    assert.equal((await descriptor()).segments.length, 3, 'it is young');
    await follow(2 * HOUR_MS);
    assert.equal((await descriptor()).segments.length, 2);
    for (const Item of items.slice(0, 6)) {
      const node = 1 + (Number(Item.p.N) % 3);
      await nodes.run(node, 'PutItem', { TableName: name, Item: { ...Item, expires: { N: '4100000000' } } });
    }
    await nodes.cluster.simulation.runFor(3_000);
    assert.deepEqual([await headRows(0), await headRows(token)], [1 + left, 0]);
    assert.deepEqual(nodes.problems, []);
  });

  test('has one cut again where it was, and none while a stream may be read', async () => {
    const { catalog, deadlineMs, nowMs } = nodes.ends[0]!;
    const { id } = await descriptor();
    const later = nowMs() + 2 * HOUR_MS;
    await nodes.cluster.run(catalog.changeById(id, deadlineMs(), (now, tasks) => cutSegment(now, tasks, token, later)));
    await nodes.run(2, 'UpdateTable', { TableName: name, StreamSpecification: TABLE.StreamSpecification });
    await nodes.cluster.simulation.runFor(4_000);
    await follow(6 * HOUR_MS);
    assert.equal((await descriptor()).segments.length, 3);
    await nodes.run(2, 'UpdateTable', { TableName: name, StreamSpecification: { StreamEnabled: false } });
    await follow(6 * HOUR_MS);
    assert.equal((await descriptor()).segments.length, 3, 'its records are there for a day');
    await follow(30 * HOUR_MS);
    assert.equal((await descriptor()).segments.length, 2);
  });
});

describe('a cut of a segment', () => {
  const one = { start: 0, createdMs: 5 };
  const base = { status: 'ACTIVE', segments: [one], streams: [] } as unknown as TableDescriptor;

  test('is later than all that it must be later than, whatever the clock says', () => {
    const streams = [{ generation: 0, viewType: 'KEYS_ONLY', label: 'x', enabledMs: 90, disabledMs: 99 }] as const;
    const { table, tasks } = cutSegment({ ...base, streams }, [], 7, 3);
    const parent = { start: 0, createdMs: 5 };
    assert.deepEqual(table.segments, [
      { start: 0, createdMs: 100, parent },
      { start: 7, createdMs: 100, parent },
    ]);
    assert.deepEqual(table.cutSegments, [{ ...one, cutMs: 100 }]);
    assert.deepEqual(
      tasks?.map(({ kind }) => kind),
      ['endSegment', 'moveExpiry'],
    );
    const ended = endOfSegment(table, parent, 77n);
    assert.deepEqual(
      [ended.segments[0]!.fromTs, ended.segments[1]!.fromTs, ended.cutSegments![0]!.untilTs],
      ['77', undefined, '77'],
    );
    assert.equal(endOfSegment(ended, parent, 99n), ended, 'settled once and for all');
  });

  test('waits until the one before is settled, and is made once', () => {
    const { table } = cutSegment(base, [], 7, 3);
    assert.equal(cutSegment(table, [], 9, 4).table, table);
    const ended = endOfSegment(table, one, 77n);
    assert.equal(cutSegment(ended, [], 7, 4).table, ended);
    assert.equal(cutSegment(ended, [], 9, 4).table.segments.length, 3);
    assert.equal(joinSegment(table, [], 7, 10 ** 12).table, table, 'nor is it joined');
    assert.equal(joinSegment(ended, [], 0, 10 ** 12).table, ended, 'there is none before the first');
    assert.equal(joinSegment(ended, [{ kind: 'dropExpiry' }], 7, 10 ** 12).table, ended, 'one thing after the other');
    assert.deepEqual(joinSegment(ended, [], 7, 10 ** 12).tasks, [{ kind: 'clearHead', token: 7 }]);
    const deleting = { ...base, status: 'DELETING' } as const;
    assert.equal(cutSegment(deleting, [], 9, 4).table, deleting);
  });
});
