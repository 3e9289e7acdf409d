/** The promises of `GroupStore`, to be run over every implementation, before and after what was written is on disk. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type HlcTimestamp, hlcTimestamp } from '../../src/platform/index.ts';
import type {
  ExportedVersion,
  GroupStore,
  SideRow,
  StoreRow,
  StoreScanRequest,
  StoreWriter,
} from '../../src/store/contract/types.ts';
import { copyOf, framesOf, install, stage } from '../store/copies.ts';

/** A place where stores are made. */
export interface GroupStoreHome {
  /** A new, empty store; `counterClassOf` is its own. */
  open(): Promise<GroupStore>;
  /** Opens again what was closed; left out where closing loses everything. */
  reopen?(): Promise<GroupStore>;
  dispose(): Promise<void>;
}

/** Keys count by their first byte: `a` to `z` are two classes, everything else is not counted. */
export const contractCounterClassOf = (key: Buffer): number => (key[0]! >= 0x61 && key[0]! <= 0x7a ? key[0]! % 2 : -1);

const ts = (value: number): HlcTimestamp => hlcTimestamp(BigInt(value));
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const NEVER = ts(0);
const ALL = { start: Buffer.alloc(0), end: Buffer.from([0xff, 0xff, 0xff]) };

function unit(store: GroupStore, change: (writer: StoreWriter) => void): void {
  const writer = store.write();
  change(writer);
  writer.commit(store.appliedIndex + 1);
}

const put = (store: GroupStore, key: string, value: string, at: number, expireAt = 0): void =>
  unit(store, (writer) => writer.put(bytes(key), bytes(value), ts(at), ts(expireAt)));

const remove = (store: GroupStore, key: string, at: number): void =>
  unit(store, (writer) => writer.delete(bytes(key), ts(at)));

const removeRange = (store: GroupStore, start: string, end: string, at: number): void =>
  unit(store, (writer) => writer.deleteRange(bytes(start), bytes(end), ts(at)));

async function dropAll(store: GroupStore, start: string, end: string | undefined): Promise<void> {
  const until = end === undefined ? undefined : bytes(end);
  unit(store, (writer) => writer.dropRange(bytes(start), until));
  await store.dropping(bytes(start), until);
}

const threshold = (store: GroupStore, at: number): void =>
  unit(store, (writer) => store.setGcThreshold(writer, ts(at)));

async function collect(store: GroupStore): Promise<void> {
  while (!(await store.collectGarbage(1000)));
}

const valueAt = async (store: GroupStore, key: string, at: number): Promise<string | undefined> =>
  (await store.get(bytes(key), ts(at)))?.value.toString('latin1');

/** The newest version in a form that compares. */
function newest(store: GroupStore, key: string): string | undefined {
  const found = store.latest(bytes(key));
  if (found === undefined) return undefined;
  if (found.isTombstone) assert.equal(found.value.length, 0, 'a tombstone is empty');
  return found.isTombstone ? `gone@${found.commitTs}` : `${found.value.toString('latin1')}@${found.commitTs}`;
}

const shownRows = (rows: readonly StoreRow[]): string[] =>
  rows.map(({ key, commitTs, value }) => `${key.toString('latin1')}@${commitTs}=${value.toString('latin1')}`);

/** Walks a range page by page. */
async function walk(store: GroupStore, request: StoreScanRequest): Promise<{ rows: StoreRow[]; pages: number }> {
  const rows: StoreRow[] = [];
  let { start, end } = request;
  for (let pages = 1; ; pages++) {
    const page = await store.scan({ ...request, start, end });
    assert.ok(page.rows.length <= request.limit, 'a page keeps to the limit');
    rows.push(...page.rows);
    if (page.next === undefined) return { rows, pages };
    assert.ok(page.rows.length > 0, 'a page that is not the last holds something');
    if (request.reverse === true) end = page.next;
    else start = page.next;
  }
}

const scanned = async (store: GroupStore, at: number): Promise<string[]> =>
  shownRows((await walk(store, { ...ALL, readTs: ts(at), limit: 1000 })).rows);

/** Exports a range page by page. */
async function exported(store: GroupStore, start: string, end: string | undefined, maxBytes = 1 << 20) {
  const until = end === undefined ? undefined : bytes(end);
  const versions: ExportedVersion[] = [];
  let from: { start: Buffer; after: HlcTimestamp | undefined } = { start: bytes(start), after: undefined };
  for (let pages = 1; ; pages++) {
    const page = await store.exportVersions({ ...from, end: until, maxBytes });
    versions.push(...page.versions);
    if (page.next === undefined) return { shown: shownVersions(versions), versions, pages };
    assert.ok(page.versions.length > 0, 'a page holds one version at least');
    from = page.next;
  }
}

const shownVersions = (versions: readonly ExportedVersion[]): string[] =>
  versions.map(({ key, commitTs, value }) => `${key.toString('latin1')}@${commitTs}=${value?.toString() ?? 'gone'}`);

const shownSides = (sides: Iterable<SideRow>): string[] =>
  [...sides]
    .map(({ key, name, value }) => `${key.toString('latin1')}.${name.toString('hex')}=${value.toString('latin1')}`)
    .sort();

/** @param settle brings what was written to where it shall be when it is looked at */
type Body = (store: GroupStore, settle: () => Promise<void>, home: GroupStoreHome) => Promise<void>;

/** @param name of the implementation @param home a new place for each test */
export function groupStoreContract(name: string, home: () => Promise<GroupStoreHome>): void {
  const run = async (body: Body, isFlushed: boolean): Promise<void> => {
    const place = await home();
    const store = await place.open();
    try {
      await body(store, () => (isFlushed ? store.flush() : Promise.resolve()), place);
    } finally {
      await store.close();
      await place.dispose();
    }
  };
  const promise = (title: string, body: Body): void => {
    test(title, async () => {
      for (const isFlushed of [false, true]) await run(body, isFlushed);
    });
  };

  describe(`${name}: units`, () => {
    promise('a new store is empty, at index 0, and keeps no history from anybody', async (store) => {
      assert.deepEqual([store.appliedIndex, store.durableIndex, store.gcThreshold], [0, 0, 0n]);
      assert.equal(store.meta('any'), undefined);
      assert.equal(newest(store, 'a'), undefined);
      assert.deepEqual(await scanned(store, 10), []);
      assert.deepEqual([...store.residentSides()], []);
      assert.equal(store.pressure(), undefined);
    });

    promise('a unit shows as a whole, with its index, when it is committed and not before', async (store, settle) => {
      put(store, 'a', 'before', 5);
      await settle();
      const writer = store.write();
      writer.put(bytes('a'), bytes('1'), ts(10), NEVER);
      writer.put(bytes('b'), bytes('2'), ts(10), NEVER);
      writer.setMeta('name', bytes('value'));
      writer.setSide(bytes('a'), Buffer.from([1]), bytes('side'));
      store.setGcThreshold(writer, ts(3));
      assert.deepEqual([newest(store, 'a'), newest(store, 'b')], ['before@5', undefined]);
      assert.equal(store.meta('name'), undefined);
      assert.equal(store.side(bytes('a'), Buffer.from([1])), undefined);
      assert.deepEqual([store.appliedIndex, store.gcThreshold], [1, 0n]);
      writer.commit(7);
      assert.deepEqual([newest(store, 'a'), newest(store, 'b')], ['1@10', '2@10']);
      assert.deepEqual(store.meta('name'), bytes('value'));
      assert.deepEqual(store.side(bytes('a'), Buffer.from([1])), bytes('side'));
      assert.deepEqual([store.appliedIndex, store.gcThreshold], [7, 3n]);
      await settle();
      assert.deepEqual(await scanned(store, 10), ['a@10=1', 'b@10=2']);
    });

    promise('within a unit the last write of a timestamp wins', async (store, settle) => {
      unit(store, (writer) => {
        writer.put(bytes('a'), bytes('first'), ts(10), NEVER);
        writer.put(bytes('a'), bytes('last'), ts(10), NEVER);
        writer.put(bytes('b'), bytes('first'), ts(10), NEVER);
        writer.delete(bytes('b'), ts(10));
        writer.delete(bytes('c'), ts(10));
        writer.put(bytes('c'), bytes('last'), ts(10), NEVER);
        writer.setSide(bytes('a'), Buffer.from([1]), bytes('first'));
        writer.setSide(bytes('a'), Buffer.from([1]), bytes('last'));
        writer.setSide(bytes('b'), Buffer.from([1]), bytes('first'));
        writer.setSide(bytes('b'), Buffer.from([1]), undefined);
        writer.setMeta('n', bytes('first'));
        writer.setMeta('n', bytes('last'));
      });
      await settle();
      assert.deepEqual([newest(store, 'a'), newest(store, 'b'), newest(store, 'c')], ['last@10', 'gone@10', 'last@10']);
      assert.deepEqual(shownSides(store.residentSides()), ['a.01=last']);
      assert.deepEqual(store.meta('n'), bytes('last'));
      assert.deepEqual([store.liveKeys(1), store.liveKeys(0)], [2, 0]);
    });

    promise(
      'what cannot be is an error of the program: units out of order, times that go back',
      async (store, settle) => {
        put(store, 'a', '1', 10);
        await settle();
        const open = store.write();
        assert.throws(() => store.write(), 'one at a time');
        open.commit(2);
        assert.throws(() => store.write().commit(2), 'indexes rise');
      },
    );

    for (const [what, write] of [
      ['a version that is not newer than the one before it', (store: GroupStore) => put(store, 'a', '2', 10)],
      ['a tombstone that is older than the version before it', (store: GroupStore) => remove(store, 'a', 9)],
      ['a range delete that is older than a version', (store: GroupStore) => removeRange(store, 'x', 'z', 9)],
    ] as const) {
      promise(`${what} is refused`, async (store, settle) => {
        put(store, 'a', '1', 10);
        await settle();
        assert.throws(() => write(store));
      });
    }

    promise('what the log does not hold is not made durable', async (store) => {
      store.logStable(1);
      put(store, 'a', '1', 10);
      await store.flush();
      put(store, 'a', '2', 11);
      put(store, 'a', '3', 12);
      let isFlushed = false;
      const flushing = store.flush().then(() => {
        isFlushed = true;
      });
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
      store.logStable(2);
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
      assert.deepEqual([isFlushed, store.durableIndex, newest(store, 'a')], [false, 1, '3@12']);
      store.logStable(3);
      await flushing;
      assert.equal(store.durableIndex, 3);
    });

    promise('a store that closes does not wait for a log that has failed', async (store, _, home) => {
      put(store, 'a', '1', 10);
      await store.flush();
      store.logStable(1);
      put(store, 'a', '2', 11);
      const flushing = assert.rejects(store.flush());
      await store.close();
      await flushing;
      const again = await home.reopen?.();
      assert.equal(again?.appliedIndex ?? 1, 1);
      await again?.close();
    });

    promise(
      'a flush makes what is applied durable, and a store that is opened again holds it',
      async (store, _, home) => {
        put(store, 'a', '1', 10);
        unit(store, (writer) => writer.setMeta('n', bytes('v')));
        await store.flush();
        assert.deepEqual([store.appliedIndex, store.durableIndex], [2, 2]);
        if (home.reopen === undefined) return;
        removeRange(store, 'b', 'c', 11);
        put(store, 'd', '4', 12, 50);
        unit(store, (writer) => writer.setSide(bytes('s'), Buffer.from([0x90]), bytes('side')));
        threshold(store, 3);
        const digest = await store.digest();
        await store.close();
        const again = await home.reopen();
        try {
          assert.deepEqual([again.appliedIndex, again.durableIndex, again.gcThreshold], [6, 6, 3n]);
          assert.deepEqual([newest(again, 'a'), newest(again, 'b'), newest(again, 'd')], ['1@10', 'gone@11', '4@12']);
          assert.deepEqual(again.meta('n'), bytes('v'));
          assert.deepEqual(again.side(bytes('s'), Buffer.from([0x90])), bytes('side'));
          assert.deepEqual([again.liveKeys(0), again.liveKeys(1)], [1, 1]);
          assert.equal((await again.expired(ts(50), 10)).length, 1);
          assert.equal(await again.digest(), digest);
        } finally {
          await again.close();
        }
      },
    );

    promise('once it is closed, it is closed', async (store) => {
      put(store, 'a', '1', 10);
      await store.close();
      await store.close();
      const closed = { code: 'STORE_CLOSED' };
      assert.throws(() => store.write(), closed);
      assert.throws(() => store.side(bytes('a'), Buffer.from([1])), closed);
      await assert.rejects(store.get(bytes('a'), ts(10)), closed);
      await assert.rejects(store.scan({ ...ALL, readTs: ts(10), limit: 10 }), closed);
      await assert.rejects(store.collectGarbage(10), closed);
    });
  });

  describe(`${name}: reads of a key`, () => {
    promise('a read sees the newest version at or below its timestamp', async (store, settle) => {
      put(store, 'a', 'one', 10);
      await settle();
      put(store, 'a', 'two', 20);
      remove(store, 'a', 30);
      await settle();
      put(store, 'a', 'four', 40);
      const seen = [];
      for (const at of [9, 10, 19, 20, 29, 30, 39, 40, 1000]) seen.push(await valueAt(store, 'a', at));
      const none = undefined;
      assert.deepEqual(seen, [none, 'one', 'one', 'two', 'two', none, none, 'four', 'four']);
      assert.deepEqual(await store.get(bytes('a'), ts(20)), {
        key: bytes('a'),
        value: bytes('two'),
        commitTs: ts(20),
        expireTs: NEVER,
      });
    });

    promise('a version is gone from the very moment at which it expires', async (store, settle) => {
      put(store, 'a', 'short', 10, 20);
      await settle();
      assert.deepEqual([await valueAt(store, 'a', 19), await valueAt(store, 'a', 20)], ['short', undefined]);
      assert.deepEqual(await scanned(store, 19), ['a@10=short']);
      assert.deepEqual(await scanned(store, 20), []);
      assert.equal(newest(store, 'a'), 'short@10', 'the newest version is told, expired or not');
      assert.equal(store.latest(bytes('a'))?.expireTs, 20n);
    });

    promise('keys are bytes: empty, with zeros, prefixes of each other, and long', async (store, settle) => {
      const keys = ['', '\0', '\0\0', '\0\xff', 'a', 'a\0', 'a\0b', 'a\xff', 'b', '\xff', '\xff\xff', 'l'.repeat(3000)];
      unit(store, (writer) => {
        for (const key of keys) writer.put(bytes(key), bytes(`<${key}>`), ts(10), NEVER);
      });
      await settle();
      for (const key of keys) assert.equal(newest(store, key), `<${key}>@10`);
      assert.deepEqual(
        await scanned(store, 10),
        [...keys].sort().map((key) => `${key}@10=<${key}>`),
      );
    });

    promise('values are bytes of any length', async (store, settle) => {
      for (const [at, length] of [0, 1, 100, 5_000, 300_000].entries()) {
        unit(store, (writer) => writer.put(bytes('a'), Buffer.alloc(length, at), ts(at + 1), NEVER));
        await settle();
        assert.deepEqual(store.latest(bytes('a'))?.value, Buffer.alloc(length, at));
      }
      assert.deepEqual((await store.get(bytes('a'), ts(4)))?.value, Buffer.alloc(5_000, 3));
    });

    promise('a version is found by its exact timestamp, tombstones too', async (store, settle) => {
      put(store, 'a', 'one', 10, 15);
      await settle();
      remove(store, 'a', 20);
      removeRange(store, 'a', 'b', 30);
      await settle();
      const told = async (at: number) => {
        const found = await store.versionAt(bytes('a'), ts(at));
        return found && [found.isTombstone, found.value.toString(), found.commitTs, found.expireTs];
      };
      assert.deepEqual(await told(10), [false, 'one', 10n, 15n]);
      assert.deepEqual(await told(20), [true, '', 20n, 0n]);
      assert.deepEqual(await told(30), [true, '', 30n, 0n]);
      for (const at of [9, 11, 19, 25, 31]) assert.equal(await told(at), undefined);
    });

    promise('a read is of the moment of its call', async (store, settle) => {
      put(store, 'a', 'old', 10);
      put(store, 'c', 'old', 10);
      await settle();
      const [get, scan] = [store.get(bytes('a'), ts(99)), store.scan({ ...ALL, readTs: ts(99), limit: 10 })];
      put(store, 'a', 'new', 20);
      put(store, 'b', 'new', 20);
      remove(store, 'c', 20);
      assert.equal((await get)?.value.toString(), 'old');
      assert.deepEqual(shownRows((await scan).rows), ['a@10=old', 'c@10=old']);
    });
  });

  describe(`${name}: scans`, () => {
    promise('rows come in the order of their keys, from `start` and before `end`', async (store, settle) => {
      for (const [at, key] of ['d', 'b', 'a', 'c', 'e'].entries()) put(store, key, key, at + 1);
      await settle();
      put(store, 'bb', 'bb', 10);
      const rows = async (start: string, end: string): Promise<string[]> => {
        const page = await store.scan({ start: bytes(start), end: bytes(end), readTs: ts(10), limit: 100 });
        assert.equal(page.next, undefined);
        return page.rows.map(({ key }) => key.toString());
      };
      assert.deepEqual(await rows('b', 'd'), ['b', 'bb', 'c']);
      assert.deepEqual(await rows('b\0', 'd\0'), ['bb', 'c', 'd']);
      assert.deepEqual(await rows('x', 'z'), []);
      assert.deepEqual(await rows('c', 'c'), []);
      assert.deepEqual(await rows('d', 'b'), []);
    });

    promise('pages put together are the range, forwards and backwards, whatever the limit', async (store, settle) => {
      for (let at = 0; at < 40; at++) {
        put(store, `k${at % 25}`, `v${at}`, at + 1);
        if (at === 30) await settle();
      }
      remove(store, 'k7', 50);
      const whole = await scanned(store, 60);
      assert.equal(whole.length, 24);
      for (const limit of [1, 2, 7, 24, 25, 100]) {
        for (const reverse of [false, true]) {
          const { rows } = await walk(store, { ...ALL, readTs: ts(60), limit, reverse });
          assert.deepEqual(shownRows(rows), reverse ? [...whole].reverse() : whole, `limit ${limit}`);
        }
      }
      const none = await store.scan({ ...ALL, readTs: ts(60), limit: 0 });
      assert.deepEqual(none.rows, []);
    });

    promise('a page ends with the row that fills it', async (store, settle) => {
      for (const key of ['a', 'b', 'c', 'd', 'e']) put(store, key, 'x'.repeat(99), 10);
      await settle();
      for (const reverse of [false, true]) {
        const request = { ...ALL, readTs: ts(10), limit: 10, reverse };
        const sizes: number[] = [];
        for (const maxBytes of [0, 1, 100, 101, 250, 500, 501]) {
          sizes.push((await store.scan({ ...request, maxBytes })).rows.length);
        }
        assert.deepEqual(sizes, [1, 1, 1, 2, 3, 5, 5]);
        const { next } = await store.scan({ ...request, maxBytes: 150 });
        assert.equal(next?.toString(), reverse ? 'd' : 'c');
      }
    });

    promise('rows without values are the same rows', async (store, settle) => {
      put(store, 'a', 'value', 10, 90);
      await settle();
      const { rows } = await store.scan({ ...ALL, readTs: ts(10), limit: 10, keysOnly: true });
      assert.deepEqual(rows, [{ key: bytes('a'), value: Buffer.alloc(0), commitTs: ts(10), expireTs: ts(90) }]);
    });
  });

  describe(`${name}: range deletes`, () => {
    promise('every version at or below the timestamp is hidden from there on, and only then', async (store, settle) => {
      put(store, 'a', 'before', 5);
      put(store, 'b', 'in', 10);
      put(store, 'c', 'in', 11);
      put(store, 'd', 'behind', 12);
      await settle();
      removeRange(store, 'b', 'd', 20);
      await settle();
      put(store, 'c', 'again', 30);
      await settle();
      assert.deepEqual(await scanned(store, 19), ['a@5=before', 'b@10=in', 'c@11=in', 'd@12=behind']);
      assert.deepEqual(await scanned(store, 20), ['a@5=before', 'd@12=behind']);
      assert.deepEqual(await scanned(store, 30), ['a@5=before', 'c@30=again', 'd@12=behind']);
      assert.deepEqual([await valueAt(store, 'c', 19), await valueAt(store, 'c', 20)], ['in', undefined]);
    });

    promise('it is the newest version of each of its keys, also of those that never were', async (store, settle) => {
      put(store, 'b', '1', 10);
      removeRange(store, 'b', 'd', 20);
      await settle();
      for (const key of ['b', 'c']) {
        assert.equal(newest(store, key), 'gone@20');
        assert.equal(store.latest(bytes(key))?.isOfRange, true);
      }
      assert.equal(newest(store, 'd'), undefined);
      put(store, 'c', '2', 21);
      assert.equal(newest(store, 'c'), '2@21');
    });

    promise('within a unit it comes before all else, in whatever order the calls were', async (store, settle) => {
      put(store, 'b', 'old', 5);
      await settle();
      unit(store, (writer) => {
        writer.put(bytes('b'), bytes('above'), ts(20), NEVER);
        writer.put(bytes('c'), bytes('below'), ts(18), NEVER);
        writer.deleteRange(bytes('a'), bytes('z'), ts(19));
      });
      await settle();
      assert.deepEqual(await scanned(store, 30), ['b@20=above']);
      assert.deepEqual(await scanned(store, 19), []);
      await store.settleCounters();
      assert.deepEqual([store.liveKeys(0), store.liveKeys(1)], [1, 0]);
    });

    promise('a range that holds nothing deletes nothing', async (store) => {
      put(store, 'b', '1', 10);
      removeRange(store, 'b', 'b', 20);
      removeRange(store, 'c', 'a', 20);
      assert.equal(newest(store, 'b'), '1@10');
    });
  });

  describe(`${name}: the threshold`, () => {
    promise('only rises, and a read below it is refused', async (store, settle) => {
      put(store, 'a', 'one', 10);
      threshold(store, 30);
      threshold(store, 20);
      await settle();
      assert.equal(store.gcThreshold, 30n);
      const tooOld = { code: 'SNAPSHOT_TOO_OLD' };
      await assert.rejects(store.get(bytes('a'), ts(29)), tooOld);
      await assert.rejects(store.scan({ ...ALL, readTs: ts(29), limit: 10 }), tooOld);
      assert.equal(await valueAt(store, 'a', 30), 'one');
    });

    promise('belongs to the unit that is open', async (store) => {
      const writer = store.write();
      writer.commit(1);
      assert.throws(() => store.setGcThreshold(writer, ts(5)));
    });

    promise('a tombstone at or below it is nothing, whether it was collected or not', async (store, settle) => {
      put(store, 'a', '1', 10);
      remove(store, 'a', 20);
      put(store, 'b', '1', 10);
      removeRange(store, 'b', 'c', 20);
      await settle();
      assert.deepEqual([newest(store, 'a'), newest(store, 'b')], ['gone@20', 'gone@20']);
      threshold(store, 20);
      const isGone = (): void => assert.deepEqual([newest(store, 'a'), newest(store, 'b')], [undefined, undefined]);
      isGone();
      await collect(store);
      isGone();
      await settle();
      isGone();
    });

    promise('collecting changes no answer at or above it', async (store, settle) => {
      put(store, 'a', 'a1', 10);
      put(store, 'a', 'a2', 20);
      put(store, 'b', 'b1', 11);
      put(store, 'c', 'c1', 12, 35);
      remove(store, 'b', 21);
      removeRange(store, 'd', 'f', 22);
      put(store, 'e', 'e1', 23);
      removeRange(store, 'e', 'f', 33);
      put(store, 'a', 'a3', 40);
      await settle();
      threshold(store, 30);
      const look = async () => ({
        scans: [await scanned(store, 30), await scanned(store, 34), await scanned(store, 35), await scanned(store, 40)],
        newest: ['a', 'b', 'c', 'd', 'e'].map((key) => newest(store, key)),
        exported: (await exported(store, '', undefined)).shown,
        live: [store.liveKeys(0), store.liveKeys(1)],
        digest: await store.digest(),
      });
      const before = await look();
      assert.deepEqual(before.scans[0], ['a@20=a2', 'c@12=c1', 'e@23=e1']);
      assert.deepEqual(before.newest, ['a3@40', undefined, 'c1@12', undefined, 'gone@33']);
      await collect(store);
      await settle();
      assert.deepEqual(await look(), before);
      assert.equal(await store.versionAt(bytes('a'), ts(10)), undefined, 'and it does collect');
    });
  });

  describe(`${name}: rows beside the keys`, () => {
    const RESIDENT = Buffer.from([0x7f, 1]);
    const LOOKED_UP = Buffer.from([0x80, 1]);

    promise('a row is set, replaced and removed; only resident ones are listed', async (store, settle) => {
      const set = (key: string, name: Buffer, value: string | undefined): void =>
        unit(store, (writer) => writer.setSide(bytes(key), name, value === undefined ? undefined : bytes(value)));
      set('a', RESIDENT, '1');
      set('a', LOOKED_UP, '2');
      set('ab', RESIDENT, '3');
      await settle();
      assert.deepEqual(shownSides(store.residentSides()), ['a.7f01=1', 'ab.7f01=3']);
      assert.deepEqual(store.side(bytes('a'), LOOKED_UP), bytes('2'));
      assert.equal(store.side(bytes('a'), Buffer.from([0x80])), undefined);
      set('a', RESIDENT, 'new');
      set('a', LOOKED_UP, undefined);
      set('ab', RESIDENT, undefined);
      await settle();
      assert.deepEqual(shownSides(store.residentSides()), ['a.7f01=new']);
      assert.deepEqual([store.side(bytes('a'), LOOKED_UP), store.side(bytes('ab'), RESIDENT)], [undefined, undefined]);
      assert.equal(newest(store, 'a'), undefined, 'a key with rows beside it is not there for that');
      assert.deepEqual([store.liveKeys(0), store.liveKeys(1)], [0, 0]);
    });

    promise('those of a range are exported over pages of one row at least, each once', async (store, settle) => {
      for (const key of ['a', 'b', 'b\0', 'c', 'd']) {
        unit(store, (writer) => {
          writer.setSide(bytes(key), RESIDENT, bytes(`r${key}`));
          writer.setSide(bytes(key), LOOKED_UP, bytes(`l${key}`));
        });
      }
      await settle();
      for (const maxBytes of [1, 40, 1 << 20]) {
        const sides: SideRow[] = [];
        let pages = 0;
        for (let from: Buffer | undefined, isOver = false; !isOver; pages++) {
          const page = await store.exportSides({ start: bytes('b'), end: bytes('d'), from, maxBytes });
          sides.push(...page.sides);
          assert.ok(page.next === undefined || page.sides.length > 0);
          from = page.next;
          isOver = from === undefined;
        }
        const expected = ['b', 'b\0', 'c'].flatMap((key) => [`${key}.7f01=r${key}`, `${key}.8001=l${key}`]).sort();
        assert.deepEqual(shownSides(sides), expected);
        assert.ok(maxBytes === 1 << 20 || pages > 1, `${pages} pages`);
      }
      const rest = await store.exportSides({ start: bytes('c'), end: undefined, from: undefined, maxBytes: 1 << 20 });
      assert.equal(rest.sides.length, 4);
    });
  });

  describe(`${name}: exports`, () => {
    promise('whole histories come by key and time, tombstones and expired versions too', async (store, settle) => {
      put(store, 'b', 'b1', 10, 11);
      await settle();
      put(store, 'a', 'a1', 12);
      remove(store, 'a', 13);
      put(store, 'b', 'b2', 14);
      removeRange(store, 'a', 'd', 20);
      put(store, 'c', 'c1', 21);
      await settle();
      const { versions, shown } = await exported(store, 'a', 'd');
      assert.deepEqual(shown, ['a@12=a1', 'a@13=gone', 'b@10=b1', 'b@14=b2', 'b@20=gone', 'c@21=c1']);
      assert.deepEqual(versions[2]?.expireTs, 11n);
      assert.deepEqual((await exported(store, 'b', 'c')).shown, ['b@10=b1', 'b@14=b2', 'b@20=gone']);
      assert.deepEqual((await exported(store, 'c', undefined)).shown, ['c@21=c1']);
      const rest = { start: bytes('b'), end: bytes('c'), after: ts(10), maxBytes: 1 << 20 };
      assert.deepEqual(shownVersions((await store.exportVersions(rest)).versions), ['b@14=b2', 'b@20=gone']);
    });

    promise('only what a read at or above the threshold can need', async (store, settle) => {
      put(store, 'a', 'a1', 10);
      put(store, 'a', 'a2', 20);
      put(store, 'a', 'a3', 40);
      put(store, 'b', 'b1', 10);
      remove(store, 'b', 21);
      threshold(store, 30);
      await settle();
      assert.deepEqual((await exported(store, '', undefined)).shown, ['a@20=a2', 'a@40=a3']);
    });

    promise('pages put together are the export, also when one key is longer than a page', async (store, settle) => {
      for (let at = 1; at <= 60; at++) put(store, at % 3 === 0 ? 'b' : `k${at % 5}`, `${at}`.repeat(10), at);
      await settle();
      const whole = await exported(store, '', undefined);
      for (const maxBytes of [1, 50, 700]) {
        const { shown, pages } = await exported(store, '', undefined, maxBytes);
        assert.deepEqual(shown, whole.shown);
        assert.ok(pages > 1);
      }
    });
  });

  describe(`${name}: dropped ranges`, () => {
    promise(
      'nothing of the range is left, whatever its timestamps, and nothing else is touched',
      async (store, settle) => {
        for (const [at, key] of ['a', 'b', 'c', 'd'].entries()) put(store, key, key, 10 + at, 100);
        put(store, 'b', 'b2', 20);
        removeRange(store, 'b', 'c', 30);
        unit(store, (writer) => {
          for (const key of ['a', 'b']) writer.setSide(bytes(key), Buffer.from([1]), bytes('r'));
          for (const key of ['a', 'b']) writer.setSide(bytes(key), Buffer.from([0x81]), bytes('l'));
        });
        await settle();
        const writer = store.write();
        writer.setSide(bytes('c'), Buffer.from([1]), bytes('comes before the drop'));
        writer.dropRange(bytes('b'), bytes('d'));
        writer.commit(store.appliedIndex + 1);
        const look = async (): Promise<void> => {
          assert.deepEqual(await scanned(store, 90), ['a@10=a', 'd@13=d']);
          assert.deepEqual(
            ['b', 'c'].map((key) => newest(store, key)),
            [undefined, undefined],
          );
          assert.deepEqual(await valueAt(store, 'b', 20), undefined);
          assert.equal(await store.versionAt(bytes('b'), ts(20)), undefined);
          assert.deepEqual(shownSides(store.residentSides()), ['a.01=r']);
          assert.equal(store.side(bytes('b'), Buffer.from([0x81])), undefined);
          assert.deepEqual((await exported(store, '', undefined)).shown, ['a@10=a', 'd@13=d']);
          assert.equal((await store.expired(ts(100), 10)).length, 2);
          assert.equal(await store.countRange(1, bytes('a'), undefined), 1);
        };
        await look();
        await store.dropping(bytes('b'), bytes('d'));
        assert.equal(store.dropping(bytes('b'), bytes('d')), undefined);
        await look();
        await store.settleCounters();
        assert.deepEqual([store.liveKeys(0), store.liveKeys(1)], [1, 1]);
      },
    );

    promise('asking is about the range that is asked for, and settles when it may be written again', async (store) => {
      put(store, 'b', '1', 50);
      unit(store, (writer) => writer.dropRange(bytes('b'), bytes('d')));
      assert.equal(store.dropping(bytes('a'), bytes('b')), undefined);
      assert.equal(store.dropping(bytes('d'), undefined), undefined);
      for (const [start, end] of [
        ['a', 'b\0'],
        ['c', 'z'],
        ['c', undefined],
      ] as const) {
        await store.dropping(bytes(start), end === undefined ? undefined : bytes(end));
      }
      assert.equal(store.dropping(bytes(''), undefined), undefined);
      put(store, 'b', 'older than what was there', 7);
      assert.equal(newest(store, 'b'), 'older than what was there@7');
    });

    promise('a range without an end is dropped to the end of all keys', async (store, settle) => {
      for (const key of ['a', 'z', '\xff\xff']) put(store, key, key, 10);
      await settle();
      await dropAll(store, 'b', undefined);
      assert.deepEqual(await scanned(store, 20), ['a@10=a']);
    });

    promise('range deletes that reach out of the range go on hiding what is outside', async (store, settle) => {
      for (const key of ['a', 'b', 'c', 'd']) put(store, key, key, 10);
      removeRange(store, 'a', 'e', 20);
      await settle();
      await dropAll(store, 'b', 'd');
      assert.deepEqual(await scanned(store, 20), []);
      assert.deepEqual(
        ['a', 'b', 'd'].map((key) => newest(store, key)),
        ['gone@20', undefined, 'gone@20'],
      );
      put(store, 'c', 'old', 5);
      assert.deepEqual(await scanned(store, 20), ['c@5=old']);
    });

    promise('a range that holds nothing drops nothing', async (store) => {
      put(store, 'b', '1', 10);
      await dropAll(store, 'b', 'b');
      await dropAll(store, 'c', 'a');
      assert.equal(newest(store, 'b'), '1@10');
    });
  });

  describe(`${name}: counts`, () => {
    promise('live keys are counted by class: once, until they are deleted or purged', async (store, settle) => {
      const live = async (): Promise<number[]> => {
        await settle();
        await store.settleCounters();
        return [store.liveKeys(0), store.liveKeys(1), store.liveKeys(7)];
      };
      for (const [at, key] of ['a', 'b', 'c', 'd', '0'].entries()) put(store, key, key, 10 + at, 40);
      assert.deepEqual(await live(), [2, 2, 0]);
      put(store, 'a', 'again', 20);
      assert.deepEqual(await live(), [2, 2, 0]);
      remove(store, 'a', 41);
      remove(store, 'x', 41);
      assert.deepEqual(await live(), [2, 1, 0], 'expired keys count until somebody deletes them');
      put(store, 'a', 'back', 42);
      assert.deepEqual(await live(), [2, 2, 0]);
      removeRange(store, 'b', 'd', 50);
      assert.deepEqual(await live(), [1, 1, 0]);
      put(store, 'c', 'back', 51);
      assert.deepEqual(await live(), [1, 2, 0]);
      await dropAll(store, 'c', 'e');
      assert.deepEqual(await live(), [0, 1, 0]);
    });

    promise('those of a range are counted by looking', async (store, settle) => {
      for (const [at, key] of ['a', 'b', 'c', 'd', 'e'].entries()) put(store, key, key, 10 + at);
      remove(store, 'c', 20);
      await settle();
      removeRange(store, 'e', 'f', 30);
      assert.equal(await store.countRange(1, bytes('a'), undefined), 1);
      assert.equal(await store.countRange(0, bytes('a'), bytes('c')), 1);
      assert.equal(await store.countRange(0, bytes('b\0'), bytes('d')), 0);
      assert.equal(await store.countRange(0, bytes('c'), bytes('a')), 0);
    });
  });

  describe(`${name}: expiry`, () => {
    promise('keys are found whose newest version has expired, and no others', async (store, settle) => {
      put(store, 'a', '1', 10, 50);
      put(store, 'b', '1', 11, 51);
      put(store, 'c', 'written again', 12, 20);
      put(store, 'd', 'deleted', 13, 20);
      put(store, 'e', 'in a deleted range', 14, 20);
      put(store, 'f', 'never', 15);
      await settle();
      put(store, 'c', '2', 16, 60);
      remove(store, 'd', 17);
      removeRange(store, 'e', 'f', 18);
      await settle();
      const found = async (at: number, limit = 10): Promise<string[]> =>
        (await store.expired(ts(at), limit)).map(({ key, commitTs }) => `${key.toString()}@${commitTs}`).sort();
      assert.deepEqual(await found(49), []);
      assert.deepEqual(await found(50), ['a@10']);
      assert.deepEqual(await found(60), ['a@10', 'b@11', 'c@16']);
      assert.equal((await found(60, 2)).length, 2);
    });
  });

  describe(`${name}: digests`, () => {
    /** One state, with something that differs. */
    const build = (store: GroupStore, difference = ''): void => {
      put(store, 'a', difference === 'value' ? 'x' : '1', 10, difference === 'expiry' ? 41 : 40);
      remove(store, 'b', difference === 'tombstone' ? 12 : 11);
      removeRange(store, 'c', difference === 'range' ? 'e' : 'd', 13);
      unit(store, (writer) => writer.setMeta('m', bytes(difference === 'meta' ? 'x' : '1')));
      unit(store, (writer) =>
        writer.setSide(bytes('s'), Buffer.from([0x81]), bytes(difference === 'side' ? 'x' : '1')),
      );
      threshold(store, difference === 'threshold' ? 6 : 5);
    };

    promise(
      'equal states have equal digests, and nothing that can be seen is left out',
      async (store, settle, home) => {
        build(store);
        await settle();
        const digest = await store.digest();
        for (const difference of ['', 'value', 'expiry', 'tombstone', 'range', 'meta', 'side', 'threshold']) {
          const other = await home.open();
          build(other, difference);
          const isEqual = (await other.digest()) === digest;
          await other.close();
          assert.equal(isEqual, difference === '', `another ${difference}`);
        }
        unit(store, () => {});
        assert.notEqual(await store.digest(), digest, 'another index');
      },
    );
  });

  describe(`${name}: copies`, () => {
    const fill = (store: GroupStore): void => {
      for (let at = 1; at <= 40; at++) put(store, `k${at % 30}`, `${at}`.repeat(40), at, at === 5 ? 300 : 0);
      removeRange(store, 'k2', 'k3', 50);
      unit(store, (writer) => writer.setSide(bytes('k1'), Buffer.from([1]), bytes('resident')));
      unit(store, (writer) => writer.setSide(bytes('k1'), Buffer.from([0x90]), bytes('looked up')));
      unit(store, (writer) => writer.setMeta('m', bytes('of the copy')));
      threshold(store, 20);
    };

    promise('a copy takes the place of everything, once it is installed', async (store, settle, home) => {
      fill(store);
      await settle();
      const copy = await copyOf(store);
      const digest = await store.digest();
      put(store, 'later', 'is not in the copy', 99);
      const target = await home.open();
      try {
        put(target, 'gone', '1', 1000);
        unit(target, (writer) => writer.setMeta('gone', bytes('1')));
        const staged = await stage(target, copy);
        const told = await staged.finish();
        assert.equal(told.appliedIndex, 45);
        assert.deepEqual(told.meta('m'), bytes('of the copy'));
        assert.deepEqual([newest(target, 'gone'), target.appliedIndex], ['1@1000', 2], 'nothing shows before');
        await staged.install();
        assert.deepEqual([target.appliedIndex, target.durableIndex, target.gcThreshold], [45, 45, 20n]);
        assert.deepEqual([newest(target, 'gone'), newest(target, 'later')], [undefined, undefined]);
        assert.deepEqual([target.meta('gone'), target.meta('m')], [undefined, bytes('of the copy')]);
        assert.deepEqual(shownSides(target.residentSides()), ['k1.01=resident']);
        assert.deepEqual(target.side(bytes('k1'), Buffer.from([0x90])), bytes('looked up'));
        assert.equal(await target.digest(), digest);
        assert.equal(target.liveKeys(1), (await scanned(target, 99)).length);
        put(target, 'k1', 'goes on', 200);
        assert.deepEqual([newest(target, 'k1'), target.appliedIndex], ['goes on@200', 46]);
      } finally {
        await target.close();
      }
    });

    promise('the manifest says what it is of', async (store, settle) => {
      fill(store);
      await settle();
      const cut = await store.exportSegments((meta, index) => ({ index, m: meta('m')!.toString() }));
      assert.equal(cut.manifest.appliedIndex, 45);
      assert.deepEqual(cut.manifest.about, { index: 45, m: 'of the copy' });
      await cut.close();
    });

    promise(
      'one that is given up leaves the store alone, and what came whole need not come again',
      async (store, _, home) => {
        fill(store);
        const copy = await copyOf(store);
        const target = await home.open();
        try {
          put(target, 'stays', '1', 5);
          const first = await stage(target, copy);
          assert.deepEqual(first.missing, [...copy.frames.keys()]);
          await first.discard();
          const second = await target.stageImport(copy.manifest);
          assert.deepEqual(second.missing, []);
          await second.finish();
          await second.discard();
          assert.equal(newest(target, 'stays'), '1@5');
          await assert.rejects(second.install(), { code: 'CORRUPT_SNAPSHOT' });
          await install(target, copy);
          assert.equal(newest(target, 'stays'), undefined);
        } finally {
          await target.close();
        }
      },
    );

    promise('a damaged or missing segment is refused, and the live store is untouched', async (store, _, home) => {
      fill(store);
      const copy = await copyOf(store);
      const target = await home.open();
      const corrupt = { code: 'CORRUPT_SNAPSHOT' };
      try {
        put(target, 'stays', '1', 5);
        const staged = await target.stageImport(copy.manifest);
        const damaged = copy.frames[0]!.map((frame) => Buffer.from(frame));
        damaged.at(-1)![0]! ^= 1;
        await assert.rejects(staged.receive(0, framesOf(damaged)), corrupt);
        await assert.rejects(staged.receive(copy.frames.length, framesOf([])), corrupt);
        await assert.rejects(staged.finish(), corrupt);
        await staged.discard();
        assert.deepEqual([newest(target, 'stays'), target.appliedIndex], ['1@5', 1]);
        await install(target, copy);
        assert.equal(target.appliedIndex, 45);
      } finally {
        await target.close();
      }
    });
  });
}
