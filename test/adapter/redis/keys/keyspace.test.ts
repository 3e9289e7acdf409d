import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { KEYSPACES_OF_ADAPTERS } from '../../../../src/adapter/keyspaces.ts';
import {
  DATABASE_COUNT,
  decodeStorageKey,
  headLengthOf,
  KEYSPACES,
  SCRIPT_DB,
  SLOT_COUNT,
  slotOf,
} from '../../../../src/adapter/redis/keys/keyspace.ts';
import { alignedCuts } from '../../../../src/distribution/catalog/catalog-routes.ts';
import { Keyspaces, KeyTextError } from '../../../../src/distribution/keyspaces.ts';

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((value) => Buffer.from(value));
/** Short ones mostly, full of bytes that could be taken for lengths, and some beyond one byte of length. */
const userKey = fc.oneof(
  { weight: 4, arbitrary: bytes(6) },
  { weight: 2, arbitrary: fc.array(fc.constantFrom(0, 1, 2, 0x7f, 0x80, 0xff), { maxLength: 5 }).map(Buffer.from) },
  { weight: 1, arbitrary: fc.integer({ min: 120, max: 140 }).map((length) => Buffer.alloc(length, 0x61)) },
);
const db = fc.integer({ min: 0, max: DATABASE_COUNT - 1 });
/** What a row behind a head has: a kind, an incarnation, and whatever its type needs. */
const tail = bytes(14);
const { align, after } = {
  align: (key: Buffer) => KEYSPACES_OF_ADAPTERS.align(key),
  after: (key: Buffer) => KEYSPACES_OF_ADAPTERS.after(key),
};
const isBelow = (left: Buffer, right: Buffer): boolean => Buffer.compare(left, right) < 0;

describe('storage keys of Redis', () => {
  test('have these bytes, which are on disk', () => {
    const golden: readonly (readonly [string, number, string])[] = [
      ['', 0, '7200000000'],
      ['a', 0, '72003c870161'],
      ['user:{7}:name', 15, '720f06b40d757365723a7b377d3a6e616d65'],
      ['x'.repeat(127), 0, `72000cf77f${'78'.repeat(127)}`],
      ['x'.repeat(128), 1, `720101d78001${'78'.repeat(128)}`],
    ];
    for (const [key, database, hex] of golden)
      assert.equal(KEYSPACES[database]!.storageKey(Buffer.from(key)).toString('hex'), hex);
  });

  test('are read back as what they were made of', () => {
    fc.assert(
      fc.property(userKey, db, (key, database) => {
        const stored = KEYSPACES[database]!.storageKey(key);
        assert.deepEqual(decodeStorageKey(stored), { db: database, slot: slotOf(key), userKey: key });
        assert.equal(headLengthOf(stored), stored.length);
      }),
    );
  });

  test('are no prefix of another key, so that rows of one key are together behind its head and in front of all others', () => {
    fc.assert(
      fc.property(userKey, userKey, db, tail, tail, (one, other, database, first, second) => {
        fc.pre(!one.equals(other));
        const [head, foreign] = [one, other].map((key) => KEYSPACES[database]!.storageKey(key)) as [Buffer, Buffer];
        assert.notDeepEqual(foreign.subarray(0, head.length), head);
        const rows = [Buffer.concat([head, first]), Buffer.concat([head, second])];
        const strangers = [foreign, Buffer.concat([foreign, first])];
        for (const row of rows) {
          assert.ok(Buffer.compare(head, row) <= 0 && isBelow(row, after(head)));
          for (const stranger of strangers)
            assert.equal(isBelow(stranger, head) || !isBelow(stranger, after(head)), true);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test('take a cut anywhere in an object to its head, and leave bounds as they are', () => {
    fc.assert(
      fc.property(userKey, db, tail, (key, database, rest) => {
        const head = KEYSPACES[database]!.storageKey(key);
        assert.deepEqual(align(Buffer.concat([head, rest])), head);
        assert.deepEqual(after(Buffer.concat([head, rest])), after(head));
      }),
    );
    for (const bound of [
      KEYSPACES[3]!.slotRange(77, 78).start,
      KEYSPACES[3]!.wholeDb().start,
      Buffer.from('r'),
      Buffer.from('other'),
    ])
      assert.deepEqual(align(bound), bound);
  });

  test("with a length in another than the shortest form are nobody's", () => {
    assert.equal(headLengthOf(Buffer.from('720000008100', 'hex')), undefined, 'one as two bytes');
    assert.equal(headLengthOf(Buffer.from('72000000818061', 'hex')), undefined, 'cut off');
    assert.equal(headLengthOf(Buffer.from('720000000561', 'hex')), undefined, 'shorter than it says');
    assert.equal(headLengthOf(Buffer.from('72000000ffffffffff7f', 'hex')), undefined, 'longer than any');
  });

  test('are counted once an object, under their database', () => {
    const head = KEYSPACES[5]!.storageKey(Buffer.from('hash'));
    assert.equal(KEYSPACES_OF_ADAPTERS.counterClassOf(head), 5);
    assert.equal(KEYSPACES_OF_ADAPTERS.counterClassOf(Buffer.concat([head, Buffer.from('f12345678')])), undefined);
    assert.equal(KEYSPACES_OF_ADAPTERS.counterClassOf(Buffer.from('program')), undefined);
    assert.deepEqual(KEYSPACES_OF_ADAPTERS.counterRangeOf(5), KEYSPACES[5]!.wholeDb());
    assert.deepEqual(KEYSPACES_OF_ADAPTERS.counterRangeOf(SCRIPT_DB), KEYSPACES[SCRIPT_DB]!.wholeDb());
    assert.equal(KEYSPACES_OF_ADAPTERS.counterRangeOf(KEYSPACES.length), undefined);
  });

  test('of rows behind a head say which body they are of, and nothing else is taken for one', () => {
    const { bodyOf } = KEYSPACES_OF_ADAPTERS.bodies;
    const incarnation = Buffer.from('0123456789abcdef', 'hex');
    fc.assert(
      fc.property(userKey, db, tail, (key, database, rest) => {
        const head = KEYSPACES[database]!.storageKey(key);
        const row = Buffer.concat([head, Buffer.from('e'), incarnation, rest]);
        assert.deepEqual(bodyOf(row), { headLength: head.length, prefixLength: head.length + 9, incarnation });
        for (let length = 0; length < head.length + 9; length++)
          assert.equal(bodyOf(row.subarray(0, length)), undefined);
        const elsewhere = Buffer.from(row);
        elsewhere[3]! ^= 1;
        assert.equal(bodyOf(elsewhere), undefined, 'another slot than that of its key');
        elsewhere.set(row);
        elsewhere[1] = DATABASE_COUNT;
        assert.equal(bodyOf(elsewhere), undefined, 'no such database');
      }),
    );
    assert.equal(bodyOf(Buffer.from(`r${'a long key of a program '.repeat(20)}`)), undefined);
  });

  test('of heads name a body when the value is in rows behind them', () => {
    const { incarnationIn } = KEYSPACES_OF_ADAPTERS.bodies;
    const head = KEYSPACES[0]!.storageKey(Buffer.from('hash'));
    const incarnation = Buffer.from('0123456789abcdef', 'hex');
    const large = Buffer.concat([Buffer.from([1, 0, 1]), incarnation, Buffer.from('more')]);
    assert.deepEqual(incarnationIn(head, large), incarnation);
    assert.equal(incarnationIn(head, large.subarray(0, 10)), undefined, 'cut off');
    assert.equal(incarnationIn(head, Buffer.from([0, 0, 0, ...incarnation])), undefined, 'packed');
    assert.equal(incarnationIn(Buffer.from('program'), large), undefined, "not this adapter's");
  });

  test('are typed and shown by slot', () => {
    fc.assert(
      fc.property(db, fc.integer({ min: 0, max: SLOT_COUNT - 1 }), (database, slot) => {
        const text = database === 0 ? `slot:${slot}` : `slot:${slot}/${database}`;
        const key = KEYSPACES[database]!.slotRange(slot, slot + 1).start;
        assert.deepEqual(KEYSPACES_OF_ADAPTERS.parse(text), key);
        assert.equal(KEYSPACES_OF_ADAPTERS.format(key), text);
      }),
    );
    assert.throws(() => KEYSPACES_OF_ADAPTERS.parse('slot:16384'), KeyTextError);
    assert.equal(KEYSPACES_OF_ADAPTERS.parse('text'), undefined);
  });
});

test('two adapters cannot own keys with the same first byte', () => {
  const [redis] = KEYSPACES_OF_ADAPTERS.all;
  assert.throws(() => new Keyspaces([redis!, { ...redis!, name: 'another' }]), /tag/);
});

test('an operation on the directory cuts at heads, whatever keys it names', () => {
  const head = KEYSPACES[0]!.storageKey(Buffer.from('big'));
  const inside = Buffer.concat([head, Buffer.from('f01234567field')]);
  const item = { routeId: 7, splitKey: inside };
  const split = alignedCuts({ kind: 'split', ...item }, KEYSPACES_OF_ADAPTERS);
  const batch = alignedCuts({ kind: 'batchSplit', items: [item, { ...item, splitKey: head }] }, KEYSPACES_OF_ADAPTERS);
  assert.deepEqual(split, { kind: 'split', routeId: 7, splitKey: head });
  assert.deepEqual(batch, {
    kind: 'batchSplit',
    items: [
      { routeId: 7, splitKey: head },
      { routeId: 7, splitKey: head },
    ],
  });
});
