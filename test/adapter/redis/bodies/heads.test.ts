import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  armBody,
  checkBody,
  copyValue,
  DEFAULT_BODY_LIMITS,
  DEFAULT_ENCODINGS,
  newHash,
  newList,
  newSet,
  openHash,
  openList,
  openOrdered,
  openSet,
} from '../../../../src/adapter/redis/bodies/index.ts';
import { bodyOf, incarnationIn } from '../../../../src/adapter/redis/keys/index.ts';
import { readValue, typeNameOf } from '../../../../src/adapter/redis/values/index.ts';
import { hlcTimestamp } from '../../../../src/platform/index.ts';
import { goldenBodies } from './golden-bodies.ts';
import { accessTo, bytesOf, checkAll, latin1, type TestAccess, TINY_LIMITS } from './memory-rows.ts';

const KEY = bytesOf('key');
const OTHER = bytesOf('other');
const LATER = hlcTimestamp(2_000n);

const headOf = (access: TestAccess, key = KEY) => access.view.get(access.storageKey(key));
const incarnationOf = (access: TestAccess, key = KEY): string | undefined => {
  const head = headOf(access, key);
  return head === undefined ? undefined : incarnationIn(head.value)?.toString('hex');
};

function fill(access: TestAccess, count: number, key = KEY): void {
  const hash = newHash(access, key);
  for (let n = 0; n < count; n++) hash.set(bytesOf(`field ${n}`), bytesOf(`${n}`));
  hash.save();
}

test('the rows of bodies have these bytes, which are on disk', () => {
  const golden = JSON.parse(readFileSync(new URL('./bodies.golden.json', import.meta.url), 'utf8'));
  assert.deepEqual(goldenBodies(), golden);
  const kinds = new Set<number>();
  for (const rows of Object.values(goldenBodies())) {
    for (const row of rows) {
      const key = Buffer.from(row.split(' ')[0]!, 'hex');
      const body = bodyOf(key);
      if (body !== undefined) kinds.add(key[body.headLength]!);
    }
  }
  assert.equal(Buffer.from([...kinds].sort()).toString(), 'degklnoptxc', 'every kind of row is among them');
});

describe('the head of a collection', () => {
  test('names its type, and is refused by the accessors of other types', () => {
    const access = accessTo(TINY_LIMITS);
    for (const count of [1, 100]) {
      fill(access, count);
      assert.equal(typeNameOf(headOf(access)!.value), 'hash');
      for (const open of [openSet, openList, openOrdered])
        assert.throws(() => open(access, KEY), /^RedisError: WRONGTYPE/);
      assert.equal(openHash(access, KEY).size, count);
    }
  });

  test('goes with the last element', () => {
    const access = accessTo(TINY_LIMITS);
    for (const count of [1, 5, 100]) {
      fill(access, count);
      const hash = openHash(access, KEY);
      for (const field of [...hash.fields()]) hash.delete([field]);
      hash.save();
      assert.equal(headOf(access), undefined);
      assert.equal(openHash(access, KEY).size, 0);
    }
  });

  test('keeps its expiry when the body changes, loses it with a new body, takes the one that it is given', () => {
    const access = accessTo(TINY_LIMITS);
    for (const count of [2, 100]) {
      fill(access, count);
      const expiring = openHash(access, KEY);
      expiring.save(LATER);
      assert.equal(headOf(access)?.expireTs, LATER);
      const changed = openHash(access, KEY);
      changed.set(bytesOf('new'), bytesOf('1'));
      changed.delete([bytesOf('field 1')]);
      changed.save();
      assert.equal(headOf(access)?.expireTs, LATER);
      // Through a conversion too.
      const grown = openHash(access, KEY);
      for (let n = 0; n < 50; n++) grown.set(bytesOf(`more ${n}`), bytesOf('1'));
      grown.save();
      assert.equal(headOf(access)?.expireTs, LATER);
      fill(access, count);
      assert.equal(headOf(access)?.expireTs, 0n);
    }
  });

  test('that has expired does not exist, and what is made in its place has none of its elements', () => {
    const access = accessTo(TINY_LIMITS);
    fill(access, 100);
    openHash(access, KEY).save(LATER);
    access.view.ts = hlcTimestamp(3_000n);
    const hash = openHash(access, KEY);
    assert.equal(hash.size, 0);
    hash.set(bytesOf('field 1'), bytesOf('new'));
    hash.save();
    assert.deepEqual(
      [...openHash(access, KEY).entries()].map(({ name }) => latin1(name)),
      ['field 1'],
    );
    openHash(access, KEY).save(hlcTimestamp(2_999n));
    assert.equal(headOf(access), undefined, 'what has expired as it is written is a deletion');
  });

  test('gets another incarnation with every new body, so that nothing of an old one comes back', () => {
    const access = accessTo(TINY_LIMITS);
    const seen = new Set<string>();
    for (let round = 0; round < 500; round++) {
      fill(access, 20);
      const incarnation = incarnationOf(access)!;
      assert.ok(!seen.has(incarnation));
      seen.add(incarnation);
      if (round % 2 === 0) {
        const hash = openHash(access, KEY);
        hash.delete([...hash.fields()]);
        hash.save();
        const list = newList(access, KEY);
        list.pushLast([bytesOf(`round ${round}`)]);
        list.save();
      }
    }
    const hash = newHash(access, KEY);
    for (let n = 100; n < 120; n++) hash.set(bytesOf(`field ${n}`), bytesOf('x'));
    hash.save();
    assert.equal(openHash(access, KEY).get(bytesOf('field 1')), undefined);
    checkAll(access, KEY);
  });

  test('that a body without elements replaces is deleted', () => {
    const access = accessTo(TINY_LIMITS);
    for (const count of [3, 100]) {
      fill(access, count);
      newSet(access, KEY).save();
      assert.equal(headOf(access), undefined);
    }
  });

  test('is not written by a body that was only read', () => {
    const access = accessTo(TINY_LIMITS);
    for (const count of [3, 100]) {
      fill(access, count);
      access.view.forget();
      const hash = openHash(access, KEY);
      hash.get(bytesOf('field 1'));
      hash.save();
      assert.equal(access.view.written.size, 0);
    }
  });

  test('is not made, and no row of its body, while a node of the cluster could not read it', () => {
    const access = accessTo(TINY_LIMITS);
    const refusing = { ...access, mayCreateBodies: false };
    for (const count of [3, 100]) {
      assert.throws(() => fill(refusing, count), { code: 'FEATURE_INACTIVE' });
      assert.equal(access.view.written.size, 0, 'a row without a head is garbage');
    }
    fill(access, 3);
    const hash = openHash(refusing, KEY);
    hash.set(bytesOf('field 1'), bytesOf('other'));
    hash.save();
    assert.deepEqual(
      openHash(access, KEY).get(bytesOf('field 1')),
      bytesOf('other'),
      'what is there can be read by all',
    );
  });

  test('that a later program wrote is refused', () => {
    const access = accessTo(TINY_LIMITS);
    fill(access, 100);
    const key = access.storageKey(KEY);
    const { value } = access.view.get(key)!;
    for (const [at, what] of [
      [1, 'flags'],
      [2, 'form'],
      [3 + 8 + 1 + 1, 'home'],
    ] as const) {
      const later = Buffer.from(value);
      later[at]! |= 0x40;
      access.view.put(key, later, hlcTimestamp(0n));
      assert.throws(() => openHash(access, KEY), /newer version/, what);
    }
  });
});

describe('the version of the head of a large body', () => {
  /** True when an operation writes the head. */
  const writesHead = (access: TestAccess, change: () => void): boolean => {
    access.view.forget();
    change();
    return access.view.written.has(access.storageKey(KEY).toString('latin1'));
  };
  const setInPlace = (access: TestAccess) => () => {
    const hash = openHash(access, KEY);
    hash.set(bytesOf('field 1'), bytesOf('in place'));
    hash.save();
  };

  test('changes with the first change after it was armed, and not with the next ones', () => {
    const access = accessTo(TINY_LIMITS);
    fill(access, 100);
    assert.equal(writesHead(access, setInPlace(access)), false);
    assert.equal(
      writesHead(access, () => armBody(access, KEY)),
      true,
    );
    assert.equal(
      writesHead(access, () => armBody(access, KEY)),
      false,
      'it is armed already',
    );
    assert.equal(
      writesHead(access, () => openHash(access, KEY).save()),
      false,
      'nothing was changed',
    );
    assert.equal(writesHead(access, setInPlace(access)), true);
    assert.equal(writesHead(access, setInPlace(access)), false);
    checkAll(access, KEY);
  });

  test('is armed without a change of expiry, type or elements; packed bodies and absent keys need nothing', () => {
    const access = accessTo(TINY_LIMITS);
    fill(access, 100);
    openHash(access, KEY).save(LATER);
    armBody(access, KEY);
    assert.equal(headOf(access)?.expireTs, LATER);
    assert.equal(openHash(access, KEY).size, 100);
    fill(access, 2);
    assert.equal(
      writesHead(access, () => armBody(access, KEY)),
      false,
    );
    assert.equal(
      writesHead(access, () => armBody(access, OTHER)),
      false,
    );
  });
});

describe('OBJECT ENCODING', () => {
  test('says what Redis would, and does not go back', () => {
    const access = accessTo();
    const hash = newHash(access, KEY);
    hash.set(bytesOf('f'), bytesOf('v'.repeat(64)));
    assert.equal(hash.encoding, 'listpack');
    hash.set(bytesOf('f'), bytesOf('v'.repeat(65)));
    hash.set(bytesOf('f'), bytesOf('v'));
    hash.save();
    assert.equal(openHash(access, KEY).encoding, 'hashtable');
    fill(access, 512);
    assert.equal(openHash(access, KEY).encoding, 'listpack');
    fill(access, 513);
    assert.equal(openHash(access, KEY).encoding, 'hashtable');

    const set = newSet(access, KEY);
    for (let n = 0; n < 512; n++) set.add(bytesOf(`${n}`));
    set.save();
    assert.equal(openSet(access, KEY).encoding, 'intset');
    const grown = openSet(access, KEY);
    grown.add(bytesOf('512'));
    grown.pop(300);
    grown.save();
    assert.equal(openSet(access, KEY).encoding, 'hashtable');
    // Redis makes the set anew where so much is taken.
    const emptied = openSet(access, KEY);
    emptied.pop(200);
    emptied.save();
    assert.equal(openSet(access, KEY).encoding, 'intset');

    const order = openOrdered(access, OTHER);
    for (let n = 0; n < 128; n++) order.set(bytesOf(`${n}`), n);
    assert.equal(order.encoding, 'listpack');
    order.set(bytesOf('more'), 1);
    order.save();
    assert.equal(openOrdered(access, OTHER).encoding, 'skiplist');
  });

  test('goes by the thresholds in force when something is written', () => {
    const access = accessTo();
    fill(access, 3);
    const low = { ...access, encodings: { ...DEFAULT_ENCODINGS, hashFields: 2, setIntegers: 0, orderBytes: 1 } };
    assert.equal(openHash(low, KEY).encoding, 'listpack');
    const hash = openHash(low, KEY);
    hash.set(bytesOf('field 1'), bytesOf('other'));
    hash.save();
    assert.equal(openHash(access, KEY).encoding, 'hashtable');

    const set = newSet(low, KEY);
    set.add(bytesOf('1'));
    set.save();
    assert.equal(openSet(access, KEY).encoding, 'hashtable');

    const order = openOrdered(low, OTHER);
    order.set(bytesOf('a'), 1);
    assert.equal(order.encoding, 'listpack');
    order.set(bytesOf('ab'), 1);
    order.save();
    assert.equal(openOrdered(access, OTHER).encoding, 'skiplist');
  });
});

describe('a copy', () => {
  test('has all rows under its own incarnation, and lives by itself', () => {
    for (const count of [3, 100]) {
      const access = accessTo(TINY_LIMITS);
      fill(access, count);
      openHash(access, KEY).save(LATER);
      fill(access, 50, OTHER);
      assert.equal(copyValue(access, access.storageKey(KEY), access.storageKey(OTHER)), true);
      assert.equal(headOf(access, OTHER)?.expireTs, LATER);
      if (count > 3) assert.notEqual(incarnationOf(access, OTHER), incarnationOf(access));
      const changed = openHash(access, KEY);
      changed.set(bytesOf('field 1'), bytesOf('changed'));
      changed.save();
      checkAll(access, OTHER);
      assert.equal(openHash(access, OTHER).size, count);
      assert.equal(latin1(openHash(access, OTHER).get(bytesOf('field 1'))!), '1');
    }
    const empty = accessTo();
    assert.equal(copyValue(empty, empty.storageKey(KEY), empty.storageKey(OTHER)), false);
  });
});

describe('a body that was written with other limits', () => {
  test('is read and changed all the same', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 200, size: 'max' }), (numbers) => {
        const tiny = accessTo(TINY_LIMITS);
        const usual = { ...tiny, bodyLimits: DEFAULT_BODY_LIMITS };
        const [order, list, set] = [new Map<string, number>(), [] as string[], new Set<string>()];
        for (const [index, number] of numbers.entries()) {
          const access = index % 20 < 10 ? tiny : usual;
          const name = bytesOf(`${number}${'x'.repeat(number % 40)}`);
          const sorted = openOrdered(access, bytesOf('order'));
          if (order.delete(latin1(name))) sorted.delete([name]);
          else {
            sorted.set(name, number);
            order.set(latin1(name), number);
          }
          sorted.save();
          const values = openList(access, bytesOf('list'));
          if (number % 3 === 0) values.pushFirst([name]);
          else values.pushLast([name]);
          if (number % 3 === 0) list.unshift(latin1(name));
          else list.push(latin1(name));
          values.save();
          const members = openSet(access, bytesOf('set'));
          if (set.delete(latin1(name))) members.delete([name]);
          else {
            members.add(name);
            set.add(latin1(name));
          }
          members.save();
        }
        for (const key of ['order', 'list', 'set']) checkBody(tiny.view, tiny.storageKey(bytesOf(key)));
        assert.deepEqual(new Set([...openSet(usual, bytesOf('set')).members()].map(latin1)), set);
        assert.deepEqual([...openList(usual, bytesOf('list')).values()].map(latin1), list);
        assert.equal(openOrdered(usual, bytesOf('order')).size, order.size);
      }),
      { numRuns: 60 },
    );
  });
});

test('a stored value of any type is read with its form', () => {
  const access = accessTo(TINY_LIMITS);
  fill(access, 2);
  assert.equal(readValue(access, KEY)?.form, 0);
  fill(access, 100);
  assert.equal(readValue(access, KEY)?.form, 1);
});
