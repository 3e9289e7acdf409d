/** What is done of a write beforehand makes no difference to what is written, whatever the store does in between. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { hlcTimestamp } from '../../src/platform/index.ts';
import type { GroupStore, VersionToWrite } from '../../src/store/contract/types.ts';
import { openGroupStore } from '../../src/store/group/open.ts';
import { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

const ts = (value: number) => hlcTimestamp(BigInt(value));
const NEVER = ts(0);
const KEYS = ['a', 'b', 'c'] as const;

/** Room for one key or two that are not buffered. */
const SMALL_CACHE_BYTES = 800;
/** Room for all of them, long values too. */
const LARGE_CACHE_BYTES = 1 << 20;

/** @param looked hears of each look at the disk */
const open = (cacheBytes = SMALL_CACHE_BYTES, looked: () => void = () => undefined): Promise<GroupStore> =>
  openGroupStore({
    location: 'store',
    folders: new SimulatedLevels(),
    openLevel: ((levels) => (location: string) => {
      const level = levels.openLevel(location);
      const getSync = level.getSync.bind(level) as (...all: unknown[]) => Buffer | undefined;
      return Object.assign(level, { getSync: (...all: unknown[]) => [looked(), getSync(...all)][1] });
    })(new SimulatedLevels()),
    disk: new MemoryDisk(),
    limits: { flushBytes: 1 << 30, cacheBytes, inlineBytes: 8 },
  });

interface Write {
  readonly key: (typeof KEYS)[number];
  readonly value: string | undefined;
  readonly expires: boolean;
}

const toWrite = ({ key, value, expires }: Write, index: number): VersionToWrite => ({
  key: Buffer.from(key),
  name: key,
  value: value === undefined ? undefined : Buffer.from(value),
  commitTs: ts(10 * index),
  expireTs: expires ? ts(10 * index + 500) : NEVER,
});

function commit(store: GroupStore, write: (writer: ReturnType<GroupStore['write']>, index: number) => void): void {
  const writer = store.write();
  const index = store.appliedIndex + 1;
  write(writer, index);
  writer.commit(index);
}

const put = (store: GroupStore, key: string, value: string): void =>
  commit(store, (writer, index) => writer.put(Buffer.from(key), Buffer.from(value), ts(10 * index), NEVER));

const textOf = (store: GroupStore, key: string): string | undefined => store.latest(Buffer.from(key))?.value.toString();

const key = fc.constantFrom(...KEYS);
const step = fc.record({
  writes: fc.uniqueArray(
    fc.record({ key, value: fc.constantFrom('short', 'too long for one row', undefined), expires: fc.boolean() }),
    { selector: (write) => write.key, maxLength: KEYS.length },
  ),
  isKnown: fc.boolean(),
  hides: fc.boolean(),
  between: fc.array(fc.constantFrom('flush', 'forget', 'read', 'collect'), { maxLength: 3 }),
});

describe('versions that are prepared', () => {
  test('come to the same as those that are not, whatever the store does before their unit', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), fc.boolean(), async (steps, isSmall) => {
        const cacheBytes = isSmall ? SMALL_CACHE_BYTES : LARGE_CACHE_BYTES;
        const [plain, prepared] = [await open(cacheBytes), await open(cacheBytes)];
        for (const { writes, isKnown, hides, between } of steps) {
          const index = plain.appliedIndex + 1;
          if (!isKnown) {
            for (const store of [plain, prepared]) {
              await store.flush();
              store.forgetCached?.();
            }
          }
          const read = new Map<GroupStore, (string | undefined)[]>([plain, prepared].map((store) => [store, []]));
          const made = writes.map((write) => prepared.prepareVersion!(toWrite(write, index)));
          for (const [store, add] of [
            [plain, false],
            [prepared, true],
          ] as const) {
            for (const what of between) {
              if (what === 'flush') await store.flush();
              else if (what === 'forget') store.forgetCached?.();
              else if (what === 'read') for (const each of KEYS) read.get(store)!.push(textOf(store, each));
              else while (!(await store.collectGarbage(1_000)));
            }
            commit(store, (writer) => {
              if (hides) writer.deleteRange(Buffer.from('b'), Buffer.from('z'), ts(10 * index));
              for (const [at, write] of writes.entries()) {
                const { value, commitTs, expireTs } = toWrite(write, index);
                if (add) writer.add(made[at]!);
                else if (value === undefined) writer.delete(Buffer.from(write.key), commitTs);
                else writer.put(Buffer.from(write.key), value, commitTs, expireTs);
              }
              store.setGcThreshold(writer, ts(Math.max(1, 10 * index - 15)));
            });
          }
          assert.deepEqual(read.get(prepared), read.get(plain), 'nothing is seen of them before');
          for (const each of KEYS) assert.equal(textOf(prepared, each), textOf(plain, each));
        }
        assert.equal(await prepared.digest(), await plain.digest());
        await Promise.all([plain.close(), prepared.close()]);
      }),
      { numRuns: 150 },
    );
  });

  test('are written to what is known of their key then, not to what was known before', async () => {
    const store = await open();
    put(store, 'a', 'old');
    await store.flush();
    const made = store.prepareVersion!(toWrite({ key: 'a', value: 'new', expires: false }, 2));
    store.forgetCached?.();
    assert.equal(textOf(store, 'a'), 'old', 'nothing is seen of it');
    commit(store, (writer) => writer.add(made));
    assert.equal(textOf(store, 'a'), 'new');
    await store.flush();
    store.forgetCached?.();
    assert.equal(textOf(store, 'a'), 'new');
    await store.close();
  });

  test('are written to what is known of a key that was collected meanwhile', async () => {
    const store = await open();
    put(store, 'a', 'old');
    commit(store, (writer, index) => writer.delete(Buffer.from('a'), ts(10 * index)));
    commit(store, (writer, index) => store.setGcThreshold(writer, ts(10 * index - 5)));
    await store.flush();
    assert.equal(store.latest(Buffer.from('a')), undefined);
    const made = store.prepareVersion!(toWrite({ key: 'a', value: 'new', expires: false }, 4));
    while (!(await store.collectGarbage(1_000)));
    assert.equal(store.latest(Buffer.from('a')), undefined);
    commit(store, (writer) => writer.add(made));
    assert.equal(textOf(store, 'a'), 'new');
    await store.close();
  });

  test('are written without a look at the disk, whatever was read since they were prepared', async () => {
    let looks = 0;
    const store = await open(SMALL_CACHE_BYTES, () => looks++);
    const names = Array.from({ length: 100 }, (_, at) => `key ${at}`);
    const longOrShort = (name: string) => (name.endsWith('7') ? `${name} has a long value` : name);
    for (const name of names) put(store, name, longOrShort(name));
    await store.flush();
    store.forgetCached?.();
    const [commitTs, expireTs] = [ts(10 * (store.appliedIndex + 1)), NEVER];
    const made = names.map((name) =>
      store.prepareVersion!({ key: Buffer.from(name), name, value: undefined, commitTs, expireTs }),
    );
    for (const name of names) assert.equal(textOf(store, name), longOrShort(name));
    for (let at = 0; at < 10; at++) textOf(store, `absent ${at}`);
    looks = 0;
    commit(store, (writer) => {
      for (const version of made) writer.add(version);
    });
    assert.equal(looks, 0);
    for (const name of names) assert.equal(store.latest(Buffer.from(name))?.isTombstone, true);
    await store.close();
  });

  test('are hidden by a range delete of their own unit', async () => {
    const store = await open();
    const made = store.prepareVersion!(toWrite({ key: 'a', value: 'new', expires: false }, 1));
    commit(store, (writer, index) => {
      writer.deleteRange(Buffer.from('a'), Buffer.from('b'), ts(10 * index));
      writer.add(made);
    });
    assert.equal(store.latest(Buffer.from('a'))?.isTombstone, true);
    assert.equal(store.liveKeys(0), 0);
    await store.close();
  });
});
