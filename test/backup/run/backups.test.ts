/** Backups in memory that fails: what is stored, what is not stored twice, what an attempt leaves that did not come to its end. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  BackupPlace,
  cleanUp,
  expiredBackups,
  objectsOf,
  type PlaceKey,
  type SimulatedObjects,
  verifyBackup,
} from '../../../src/backup/index.ts';
import { SeededRandom } from '../../../src/platform/index.ts';
import { WrappingKeys } from '../../../src/security/index.ts';
import { FakeCluster } from './fake-cluster.ts';

const FIRST = '20260101T000000Z-00000001';
const SECOND = '20260102T000000Z-00000002';
const KEY_TEXT = '01'.repeat(32);
const OTHER_TEXT = '02'.repeat(32);
const KEY = WrappingKeys.parse(KEY_TEXT, 'the test');
const OTHER_KEY = WrappingKeys.parse(OTHER_TEXT, 'the test');
const BOTH_KEYS = WrappingKeys.parse(`${OTHER_TEXT}\n${KEY_TEXT}`, 'the test');

const objectNames = (store: SimulatedObjects): string[] =>
  [...store.objects.keys()].filter((name) => name.startsWith('objects/')).map((name) => name.slice(-64));

const clean = async (cluster: FakeCluster, ids: readonly string[] = [], seed = 3) =>
  cleanUp({
    place: await cluster.read(undefined),
    choose: () => ids,
    nowMs: () => cluster.nowMs,
    random: new SeededRandom(seed),
  });

async function problemsOf(cluster: FakeCluster, id: string): Promise<readonly string[]> {
  const place = await cluster.read();
  return (await verifyBackup({ place, backup: await place.readable(id) })).problems;
}

for (const key of ['none', KEY] as const) {
  describe(`backups ${key === 'none' ? 'that are not encrypted' : 'under a key'}`, () => {
    const made = (): FakeCluster => Object.assign(new FakeCluster(), { key });

    test('are whole, and a second one stores only what changed', async () => {
      const cluster = made();
      const first = await cluster.backUp(FIRST);
      assert.deepEqual(await problemsOf(cluster, FIRST), []);
      assert.equal(first.groups.length, 3);
      const before = new Set(cluster.store.objects.keys());
      cluster.change(2, 1);
      const second = await cluster.backUp(SECOND);
      assert.deepEqual(await problemsOf(cluster, SECOND), []);
      assert.deepEqual(await problemsOf(cluster, FIRST), []);
      const added =
        objectNames(cluster.store).length - [...before].filter((name) => name.startsWith('objects/')).length;
      // The segment and the manifest of its group's copy.
      assert.equal(added, 2);
      assert.deepEqual(
        second.groups.map(({ newBytes }) => newBytes > 0),
        [false, true, false],
      );
    });

    test('leave nothing half seen when their maker dies at any step, and go on from there', async () => {
      for (let step = 1; ; step++) {
        const cluster = made();
        let operations = 0;
        let isDead = false;
        cluster.store.fault = () => {
          operations += 1;
          isDead ||= operations >= step;
          return isDead ? 'unavailable' : undefined;
        };
        const end = await cluster.backUp(FIRST).then(
          () => 'made',
          () => 'died',
        );
        cluster.store.fault = () => undefined;
        const ids = cluster.store.objects.has('place.json') ? await (await cluster.read(undefined)).ids() : [];
        if (ids.length > 0) assert.deepEqual(await problemsOf(cluster, FIRST), [], `step ${step}`);
        const left = new Set(objectNames(cluster.store));
        // Somebody else, under the same id.
        const again = await cluster.backUp(FIRST);
        assert.deepEqual(await problemsOf(cluster, FIRST), [], `step ${step}`);
        for (const name of objectsOf(again).keys()) left.delete(name);
        if (key === 'none') assert.deepEqual([...left], [], `step ${step}: what was stored is used`);
        await clean(cluster);
        assert.deepEqual(objectNames(cluster.store).sort(), [...objectsOf(again).keys()].sort());
        assert.ok(![...cluster.store.objects.keys()].some((name) => /^pending|^cleaning/.test(name)), `step ${step}`);
        if (end === 'made') return;
      }
    });

    test('are not made of what the store did not keep', async () => {
      for (const fault of ['dropped', 'torn'] as const) {
        const cluster = made();
        let puts = 0;
        cluster.store.fault = (operation, name) =>
          operation === 'put' && name.startsWith('objects/') && ++puts === 5 ? fault : undefined;
        await assert.rejects(cluster.backUp(FIRST), { code: 'BACKUP_DAMAGED', message: /lost 1 objects/ });
        assert.deepEqual(await (await cluster.read()).ids(), []);
        // The next attempt stores what is missing, over what was cut off.
        await cluster.backUp(FIRST);
        assert.deepEqual(await problemsOf(cluster, FIRST), []);
      }
    });

    test('survive answers that get lost', async () => {
      const cluster = made();
      const lost = new Set<string>();
      cluster.store.fault = (operation, name) => {
        if (operation !== 'put' || !name.startsWith('objects/') || lost.has(name)) return undefined;
        lost.add(name);
        return 'lost';
      };
      await cluster.backUp(FIRST);
      assert.deepEqual(await problemsOf(cluster, FIRST), []);
    });

    test('name every object in which a bit was turned over', async () => {
      const cluster = made();
      await cluster.backUp(FIRST);
      for (const [name, content] of [...cluster.store.objects]) {
        if (!name.startsWith('objects/')) continue;
        const damaged = Buffer.from(content);
        damaged[damaged.length >> 1]! ^= 4;
        cluster.store.objects.set(name, damaged);
        const problems = await problemsOf(cluster, FIRST);
        assert.equal(problems.length, 1);
        assert.ok(problems[0]!.includes(name.slice(-64)), problems[0]);
        cluster.store.objects.delete(name);
        assert.match((await problemsOf(cluster, FIRST))[0]!, /there is no/);
        cluster.store.objects.set(name, content);
      }
      const path = `manifests/${FIRST}.json`;
      const manifest = Buffer.from(cluster.store.objects.get(path)!);
      manifest[40]! ^= 1;
      cluster.store.objects.set(path, manifest);
      await assert.rejects((await cluster.read()).manifest(FIRST), { code: 'BACKUP_DAMAGED' });
    });

    test('end where the store is full, and go on when there is room', async () => {
      const cluster = made();
      cluster.store.capacityBytes = 20_000;
      await assert.rejects(cluster.backUp(FIRST), { code: 'OBJECT_STORE_FULL' });
      assert.deepEqual(await (await cluster.read()).ids(), []);
      cluster.store.capacityBytes = Number.POSITIVE_INFINITY;
      await cluster.backUp(FIRST);
      assert.deepEqual(await problemsOf(cluster, FIRST), []);
    });

    test('end at once where nobody is let in', async () => {
      const cluster = made();
      cluster.store.fault = () => 'refused';
      await assert.rejects(cluster.backUp(FIRST), { code: 'OBJECT_STORE_REFUSED' });
    });

    test('end when they are told to, and nothing is seen of them', async () => {
      const cluster = made();
      const abort = new AbortController();
      cluster.store.fault = (operation, name) => {
        if (operation === 'put' && name.startsWith('objects/')) abort.abort(new Error('the lease ran out'));
        return undefined;
      };
      await assert.rejects(cluster.backUp(FIRST, abort.signal), /the lease ran out/);
      assert.deepEqual(await (await cluster.read()).ids(), []);
    });
  });
}

const keyed = (): FakeCluster => Object.assign(new FakeCluster(), { key: KEY });

describe('the key of backups', () => {
  test('is asked for before anything is stored', async () => {
    const cluster = new FakeCluster();
    cluster.key = undefined;
    await assert.rejects(cluster.backUp(FIRST), { code: 'BACKUP_KEY', message: /there is no key for backups/ });
    assert.equal(cluster.store.objects.size, 0);
  });

  test('is the one of the place, or nothing is stored and nothing opens', async () => {
    const cluster = keyed();
    await cluster.backUp(FIRST);
    const objects = cluster.store.objects.size;
    for (const key of ['none', OTHER_KEY, undefined] as const) {
      cluster.key = key;
      await assert.rejects(cluster.backUp(SECOND), { code: 'BACKUP_KEY' });
    }
    assert.equal(cluster.store.objects.size, objects);
    await assert.rejects(cluster.read(OTHER_KEY), { code: 'BACKUP_KEY' });
    // Whoever lists or deletes needs none.
    const place = await cluster.read(undefined);
    assert.equal((await place.manifest(FIRST)).groups.length, 3);
    await assert.rejects(place.readable(FIRST), { code: 'BACKUP_KEY' });
  });

  test('is not left out where a place was exchanged for one without', async () => {
    const cluster = new FakeCluster();
    await cluster.backUp(FIRST);
    await assert.rejects(cluster.read(KEY), { code: 'BACKUP_KEY', message: /not encrypted, though a key was named/ });
    cluster.key = KEY;
    await assert.rejects(cluster.backUp(SECOND), { code: 'BACKUP_KEY', message: /are not encrypted/ });
  });

  test('and the place are the same on every node that has a part in it', async () => {
    const cluster = keyed();
    await cluster.backUp(FIRST);
    const { id } = await cluster.read();
    const join = (key: PlaceKey, placeId: string) => BackupPlace.join(cluster.store, key, placeId, new SeededRandom(1));
    assert.equal((await join(KEY, id)).id, id);
    await assert.rejects(join(KEY, '0011223344556677'), { code: 'BACKUP', message: /not the same place/ });
    for (const key of [undefined, 'none', OTHER_KEY] as const)
      await assert.rejects(join(key, id), { code: 'BACKUP_KEY' });
  });

  test('proves manifests: one that somebody else wrote is not believed', async () => {
    const cluster = keyed();
    await cluster.backUp(FIRST);
    const other = Object.assign(new FakeCluster(3, 4, 12), { key: OTHER_KEY });
    await other.backUp(FIRST);
    const path = `manifests/${FIRST}.json`;
    const foreign = other.store.objects.get(path)!.toString();
    const ids = [other, cluster].map(async (each) => (await (await each.read()).manifest(FIRST)).dataKey!);
    const [theirs, own] = await Promise.all(ids);
    const { sealJson, openJson } = await import('../../../src/store/index.ts');
    const forged = openJson(Buffer.from(foreign), 'it') as Record<string, string>;
    cluster.store.objects.set(path, sealJson({ ...forged, dataKey: own! }));
    assert.notEqual(theirs, own);
    await assert.rejects((await cluster.read()).manifest(FIRST), { code: 'BACKUP_DAMAGED', message: /its proof/ });
  });

  test('is changed without storing anything again, and the old one is retired', async () => {
    const cluster = keyed();
    await cluster.backUp(FIRST);
    const random = new SeededRandom(9);
    const objects = objectNames(cluster.store).length;
    await assert.rejects(BackupPlace.rewrap(cluster.store, OTHER_KEY, false, random), { code: 'BACKUP_KEY' });
    assert.equal(await BackupPlace.rewrap(cluster.store, BOTH_KEYS, false, random), 1);
    for (const key of [KEY, OTHER_KEY]) {
      cluster.key = key;
      assert.deepEqual(await problemsOf(cluster, FIRST), []);
    }
    await BackupPlace.rewrap(cluster.store, BOTH_KEYS, true, random);
    await assert.rejects(cluster.read(KEY), { code: 'BACKUP_KEY' });
    cluster.key = OTHER_KEY;
    await cluster.backUp(SECOND);
    assert.equal(objectNames(cluster.store).length, objects, 'contents keep their names');
  });

  test('is changed by the next backup where a new one was put in front', async () => {
    const cluster = keyed();
    await cluster.backUp(FIRST);
    cluster.key = BOTH_KEYS;
    await cluster.backUp(SECOND);
    cluster.key = OTHER_KEY;
    assert.deepEqual(await problemsOf(cluster, FIRST), []);
  });
});

describe('a place that writes over what is there', () => {
  test('is not used', async () => {
    const cluster = new FakeCluster();
    const { put } = cluster.store;
    cluster.store.put = (name, content, options) =>
      put.call(cluster.store, name, content, { ...options, ifAbsent: false });
    await assert.rejects(cluster.backUp(FIRST), { code: 'BACKUP', message: /If-None-Match/ });
  });
});

describe('cleaning up', () => {
  test('deletes what only the backup needed that goes, and nothing that another one names', async () => {
    const cluster = new FakeCluster();
    await cluster.backUp(FIRST);
    cluster.change(1, 0);
    cluster.change(3, 2);
    await cluster.backUp(SECOND);
    const done = await clean(cluster, [FIRST]);
    assert.deepEqual([done.removed, done.objects], [[FIRST], 4]);
    assert.deepEqual(await problemsOf(cluster, SECOND), []);
    assert.deepEqual(await (await cluster.read()).ids(), [SECOND]);
    assert.deepEqual((await clean(cluster)).objects, 0);
  });

  test('deletes nothing when a manifest cannot be read', async () => {
    const cluster = new FakeCluster();
    await cluster.backUp(FIRST);
    cluster.change(1, 0);
    await cluster.backUp(SECOND);
    const path = `manifests/${FIRST}.json`;
    const sound = cluster.store.objects.get(path)!;
    cluster.store.objects.set(path, sound.subarray(0, sound.length - 9));
    const before = cluster.store.objects.size;
    await assert.rejects(clean(cluster, [SECOND]), { code: 'BACKUP_DAMAGED' });
    assert.equal(cluster.store.objects.size, before);
  });

  test('and making a backup keep out of each other, until a mark was left behind too long ago', async () => {
    const cluster = new FakeCluster();
    await cluster.backUp(FIRST);
    cluster.change(1, 0);
    // A maker that died: its mark stays.
    cluster.store.fault = (_operation, name) => (name.startsWith('manifests/2026') ? 'unavailable' : undefined);
    const { remove } = cluster.store;
    cluster.store.remove = async () => undefined;
    await assert.rejects(cluster.backUp(SECOND));
    cluster.store.fault = () => undefined;
    cluster.store.remove = remove;
    const before = objectNames(cluster.store).length;
    await assert.rejects(clean(cluster), { code: 'BACKUP_BUSY', message: /is being made/ });
    assert.equal(objectNames(cluster.store).length, before);
    cluster.nowMs += 3_600_001;
    assert.equal((await clean(cluster)).objects, 2);
    // A cleaner that died.
    const fresh = new FakeCluster();
    await fresh.backUp(FIRST);
    const { list } = fresh.store;
    const { remove: removes } = fresh.store;
    fresh.store.list = (prefix) => {
      if (prefix === 'pending/') throw new Error('died');
      return list.call(fresh.store, prefix);
    };
    fresh.store.remove = async () => undefined;
    await assert.rejects(clean(fresh, [], 4), /died/);
    fresh.store.list = list;
    fresh.store.remove = removes;
    await assert.rejects(fresh.backUp(SECOND), { code: 'BACKUP_BUSY', message: /being cleaned up/ });
    await assert.rejects(clean(fresh), { code: 'BACKUP_BUSY' });
    fresh.nowMs += 3_600_001;
    await fresh.backUp(SECOND);
    assert.deepEqual((await clean(fresh)).objects, 0);
  });

  test('keeps the newest, and those that are young enough', () => {
    const day = 86_400_000;
    const backups = [1, 2, 3, 4, 5].map((at) => ({ id: String(at), createdMs: at * day }));
    assert.deepEqual(expiredBackups(backups, { keepCount: 2, keepMs: 0 }, 6 * day), ['1', '2', '3']);
    assert.deepEqual(expiredBackups(backups, { keepCount: 2, keepMs: 4 * day }, 6 * day), ['1', '2']);
    assert.deepEqual(expiredBackups(backups, { keepCount: 9, keepMs: 0 }, 6 * day), []);
    assert.deepEqual(expiredBackups(backups, { keepCount: 0, keepMs: 0 }, 6 * day), ['1', '2', '3', '4']);
  });
});

describe('a backup of one moment', () => {
  test('is not made while ranges change hands', async () => {
    const cluster = new FakeCluster();
    cluster.jobs = [4];
    await assert.rejects(cluster.backUp(FIRST), { code: 'BACKUP', message: /jobs 4/ });
    cluster.jobs = [];
    const { catalog } = cluster;
    cluster.catalog = async () => ({ ...(await catalog.call(cluster)), version: cluster.version++ });
    await assert.rejects(cluster.backUp(FIRST), { code: 'BACKUP', message: /changed hands/ });
    assert.deepEqual(await (await cluster.read()).ids(), []);
  });

  test('is of the latest moment that any group names', async () => {
    const { at, catalogVersion } = await new FakeCluster().backUp(FIRST);
    assert.deepEqual([at, catalogVersion], [1_003n, 1]);
  });
});
