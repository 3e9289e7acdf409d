/** The promises of `ObjectStore`, for every place that keeps objects. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { getObject, type ObjectEntry, type ObjectStore, readObject } from '../../src/backup/index.ts';

/** A store that is empty, and how it ends. */
export interface ObjectStoreUnderTest {
  readonly store: ObjectStore;
  end(): Promise<void>;
}

async function* piecesOf(content: Buffer, pieceBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += pieceBytes) yield content.subarray(at, at + pieceBytes);
}

/** A length that divides no other, so that a piece in another place shows. */
const PATTERN = Buffer.from(Uint8Array.from({ length: 251 }, (_, at) => at));
const patterned = (bytes: number): Buffer => Buffer.alloc(bytes, PATTERN);

async function listed(store: ObjectStore, prefix: string): Promise<ObjectEntry[]> {
  const found: ObjectEntry[] = [];
  for await (const { name, bytes } of store.list(prefix)) found.push({ name, bytes });
  return found;
}

/**
 * Runs the contract.
 * @param largeBytes an object of so many bytes goes up in more than one part
 */
export function objectStoreContract(
  what: string,
  open: () => Promise<ObjectStoreUnderTest>,
  largeBytes: number,
  options: { readonly skip?: string | false } = {},
): void {
  describe(`${what} as a place for objects`, options, () => {
    let under: ObjectStoreUnderTest;
    let store: ObjectStore;

    before(async () => {
      under = await open();
      ({ store } = under);
    });
    after(() => under?.end());

    test('gives back what was put, whole and by range', async () => {
      const content = patterned(1_000);
      assert.equal(await store.put('whole/one', content), true);
      assert.deepEqual(await getObject(store, 'whole/one'), content);
      assert.deepEqual(await store.get('whole/one', 100, 50), content.subarray(100, 150));
      assert.deepEqual(await store.get('whole/one', 990, 50), content.subarray(990));
      assert.equal((await store.get('whole/one', 1_000, 10)).length, 0);
      assert.equal((await store.get('whole/one', 5_000, 10)).length, 0);
    });

    test('keeps an object without bytes', async () => {
      await store.put('whole/empty', Buffer.alloc(0));
      assert.equal((await getObject(store, 'whole/empty')).length, 0);
      assert.deepEqual(await listed(store, 'whole/empty'), [{ name: 'whole/empty', bytes: 0 }]);
    });

    test('puts the new content in place of the old one', async () => {
      await store.put('over/one', Buffer.from('old and longer'));
      await store.put('over/one', Buffer.from('new'));
      assert.equal((await getObject(store, 'over/one')).toString(), 'new');
    });

    test('keeps the old content where it is to write only when there is none', async () => {
      assert.equal(await store.put('once/one', Buffer.from('first'), { ifAbsent: true }), true);
      assert.equal(await store.put('once/one', Buffer.from('second'), { ifAbsent: true }), false);
      assert.equal((await getObject(store, 'once/one')).toString(), 'first');
    });

    test('lets one of several through who write a name at once', async () => {
      const contents = ['a', 'b', 'c', 'd', 'e'];
      const wins = await Promise.all(
        contents.map((text) => store.put('once/raced', Buffer.from(text), { ifAbsent: true })),
      );
      assert.equal(wins.filter((won) => won).length, 1);
      assert.equal((await getObject(store, 'once/raced')).toString(), contents[wins.indexOf(true)]);
    });

    test('says that an object is not there', async () => {
      await assert.rejects(store.get('none/such', 0, 10), { code: 'OBJECT_MISSING' });
      await assert.rejects(getObject(store, 'none'), { code: 'OBJECT_MISSING' });
    });

    test('removes an object, and one that is not there', async () => {
      await store.put('gone/one', Buffer.from('x'));
      await store.remove('gone/one');
      await store.remove('gone/one');
      await store.remove('gone/never/was');
      await assert.rejects(store.get('gone/one', 0, 1), { code: 'OBJECT_MISSING' });
      assert.deepEqual(await listed(store, 'gone/'), []);
    });

    test('lists by prefix, in the order of the bytes, with sizes', async () => {
      const names = ['list/b', 'list/a/2', 'list/a/1', 'list/a-1', 'list/a.1', 'list/a0', 'lister/x', 'list/c/d/e'];
      for (const [at, name] of names.entries()) await store.put(name, Buffer.alloc(at + 1));
      const expected = names.map((name, at) => ({ name, bytes: at + 1 }));
      const sorted = expected.toSorted((left, right) => (left.name < right.name ? -1 : 1));
      assert.deepEqual(
        await listed(store, 'list/'),
        sorted.filter(({ name }) => name.startsWith('list/')),
      );
      assert.deepEqual(
        await listed(store, 'list/a'),
        sorted.filter(({ name }) => name.startsWith('list/a')),
      );
      assert.deepEqual(
        await listed(store, 'list/a/'),
        sorted.filter(({ name }) => name.startsWith('list/a/')),
      );
      assert.deepEqual(await listed(store, 'nothing/'), []);
    });

    test('takes a large object in pieces of any length', async () => {
      const content = patterned(largeBytes);
      for (const pieceBytes of [largeBytes, 700_001]) {
        assert.equal(await store.putLarge('large/one', piecesOf(content, pieceBytes)), largeBytes);
        const pieces: Buffer[] = [];
        for await (const piece of readObject(store, 'large/one')) pieces.push(piece);
        assert.ok(Buffer.concat(pieces).equals(content));
      }
      assert.equal(await store.putLarge('large/small', piecesOf(Buffer.from('small'), 2)), 5);
      assert.equal(await store.putLarge('large/empty', piecesOf(Buffer.alloc(0), 1)), 0);
      assert.equal((await getObject(store, 'large/small')).toString(), 'small');
    });

    test('shows nothing of a large object that breaks', async () => {
      async function* breaking(): AsyncGenerator<Buffer> {
        yield patterned(largeBytes);
        throw new Error('the source broke');
      }
      await assert.rejects(store.putLarge('broken/one', breaking()), /the source broke/);
      await assert.rejects(store.get('broken/one', 0, 1), { code: 'OBJECT_MISSING' });
      assert.deepEqual(await listed(store, 'broken/'), []);
    });

    test('ends when it is told to', async () => {
      const abort = new AbortController();
      abort.abort(new Error('told to'));
      await assert.rejects(store.get('whole/one', 0, 1, abort.signal), /told to/);
      await assert.rejects(store.put('ended', Buffer.from('x'), { signal: abort.signal }), /told to/);
      const later = new AbortController();
      async function* ending(): AsyncGenerator<Buffer> {
        yield patterned(10);
        later.abort(new Error('told later'));
        yield patterned(10);
      }
      await assert.rejects(store.putLarge('ended', ending(), later.signal), /told later/);
      await assert.rejects(store.get('ended', 0, 1), { code: 'OBJECT_MISSING' });
    });
  });
}
