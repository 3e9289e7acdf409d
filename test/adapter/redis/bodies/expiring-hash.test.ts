import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  alarmWork,
  type BodyLimits,
  copyValue,
  newHash,
  openHash,
} from '../../../../src/adapter/redis/bodies/index.ts';
import { expiriesOf } from '../../../../src/adapter/redis/values/index.ts';
import type { KeyView } from '../../../../src/kv/index.ts';
import { NEVER, timestampOfMs } from '../../../../src/platform/index.ts';
import { accessTo, bytesOf, checkAll, latin1, type TestAccess, TINY_LIMITS } from './memory-rows.ts';

const KEY = bytesOf('h');
const START_MS = 1_700_000_000_000;

/** Evaluations happen at so many milliseconds behind the start. */
function at(access: TestAccess, ms: number): TestAccess {
  access.view.ts = timestampOfMs(START_MS + ms);
  return access;
}

interface Field {
  readonly value: string;
  /** Milliseconds behind the start; undefined is never. */
  readonly expireMs: number | undefined;
}

const isThere = ({ expireMs }: Field, nowMs: number): boolean => expireMs === undefined || expireMs > nowMs;
const unix = (expireMs: number | undefined): number => (expireMs === undefined ? 0 : START_MS + expireMs);

const name = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: 0, max: 80 }).map((n) => `n${n}`) },
  { weight: 2, arbitrary: fc.integer({ min: 20, max: 60 }).map((n) => 'l'.repeat(n)) },
  { weight: 1, arbitrary: fc.integer({ min: 250, max: 262 }).map((n) => 'x'.repeat(n)) },
);
const value = fc.oneof(
  { weight: 6, arbitrary: fc.string({ maxLength: 12, unit: 'binary-ascii' }) },
  // Around what fits into a row with an expiry, and without one.
  { weight: 3, arbitrary: fc.integer({ min: 46, max: 60 }).map((n) => 'v'.repeat(n)) },
);
/** From now on; undefined is never. */
const duration = fc.option(fc.integer({ min: 1, max: 60 }), { nil: undefined, freq: 4 });
const names = fc.array(name, { minLength: 1, maxLength: 25, size: 'max' });
const operation = fc.oneof(
  { weight: 5, arbitrary: fc.record({ set: names, value, duration }) },
  { weight: 2, arbitrary: fc.record({ keep: names, value }) },
  { weight: 4, arbitrary: fc.record({ expire: names, duration }) },
  { weight: 2, arbitrary: fc.record({ remove: names }) },
  { weight: 2, arbitrary: fc.record({ removePercent: fc.noBias(fc.integer({ min: 0, max: 100 })) }) },
);
const turn = fc.record({
  passMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 30 })),
  operations: fc.array(operation, { maxLength: 3 }),
});

/** Runs operations on a hash and on a map, and compares all that can be read. */
class Run {
  readonly access: TestAccess;
  private readonly model = new Map<string, Field>();
  private nowMs = 0;

  constructor(limits: BodyLimits, seed: number) {
    this.access = at(accessTo(limits, seed), 0);
  }

  step(passMs: number, operations: readonly (typeof operation extends fc.Arbitrary<infer T> ? T : never)[]): void {
    const { access, model } = this;
    this.nowMs += passMs;
    at(access, this.nowMs);
    for (const [field, { expireMs }] of model) if (!isThere({ value: '', expireMs }, this.nowMs)) model.delete(field);
    this.compare();
    if (operations.length === 0) return;
    const hash = openHash(access, KEY);
    for (const op of operations) {
      if ('set' in op) {
        const expireMs = op.duration && this.nowMs + op.duration;
        for (const field of op.set) {
          assert.equal(hash.set(bytesOf(field), bytesOf(op.value), unix(expireMs)), !model.has(field));
          model.set(field, { value: op.value, expireMs });
        }
      } else if ('keep' in op) {
        for (const field of op.keep) {
          assert.equal(hash.set(bytesOf(field), bytesOf(op.value), 'keep'), !model.has(field));
          model.set(field, { value: op.value, expireMs: model.get(field)?.expireMs });
        }
      } else if ('expire' in op) {
        const expireMs = op.duration && this.nowMs + op.duration;
        for (const field of op.expire) {
          const known = model.get(field);
          assert.equal(hash.expiryOf(bytesOf(field)), known && unix(known.expireMs));
          if (known === undefined) continue;
          hash.setExpiry(bytesOf(field), unix(expireMs));
          model.set(field, { value: known.value, expireMs });
        }
      } else {
        const all = [...model.keys()];
        const gone = 'remove' in op ? op.remove : all.slice(0, Math.floor((op.removePercent * all.length) / 100));
        const there = new Set(gone.filter((field) => model.delete(field)));
        assert.equal(hash.delete(gone.map(bytesOf)), there.size);
      }
    }
    hash.save();
    this.compare();
  }

  private compare(): void {
    const { access, model } = this;
    const headKey = access.storageKey(KEY);
    const live = access.view.get(headKey);
    assert.equal(live !== undefined, model.size > 0, 'a hash is there as long as one of its fields is');
    // What the purge of expired keys does in time.
    if (live === undefined) access.view.delete(headKey);
    checkAll(access, KEY);
    const hash = openHash(access, KEY);
    assert.equal(hash.size, model.size);
    const entries = [...hash.entries()].map((entry) => [latin1(entry.name), latin1(entry.value), entry.expireMs]);
    const expected = [...model].map(([field, known]) => [field, known.value, unix(known.expireMs)]);
    assert.deepEqual(entries.sort(), expected.sort());
    assert.deepEqual([...hash.fields()].map(latin1).sort(), [...model.keys()].sort());
    const scanned = new Set<string>();
    let cursor = 0;
    do {
      const part = hash.scan(cursor, 3);
      for (const field of part.names) scanned.add(latin1(field));
      cursor = part.cursor;
    } while (cursor !== 0);
    assert.deepEqual([...scanned].sort(), [...model.keys()].sort());
    if (model.size > 0) assert.ok(model.has(latin1(hash.random()!)));
    const some = hash.randomDistinct(3).map(latin1);
    assert.equal(new Set(some).size, Math.min(3, model.size));
    for (const field of some) assert.ok(model.has(field));
    if (live === undefined) return;
    const last = [...model.values()].map(({ expireMs }) => expireMs);
    const end = last.includes(undefined) ? NEVER : timestampOfMs(START_MS + Math.max(...(last as number[])));
    assert.equal(live.expireTs, end);
    assert.equal(expiriesOf(live).ofKey, NEVER);
  }
}

const DAY_MS = 86_400_000;

/** A large hash of which `expiring` fields end after a second, and `staying` ones stay. */
function mixedHash(access: TestAccess, expiring: number, staying: number): void {
  const hash = newHash(access, KEY);
  for (let n = 0; n < Math.max(expiring, staying); n++) {
    if (n < expiring) hash.set(bytesOf(`short ${n}`), bytesOf('1'), unix(1_000));
    if (n < staying) hash.set(bytesOf(`long ${n}`), bytesOf('2'), n % 2 === 0 ? unix(DAY_MS) : 0);
  }
  hash.save();
}

describe('a hash with fields that expire', () => {
  for (const [layout, limits] of [
    ['in its head or with tiny pages', TINY_LIMITS],
    ['always with tiny pages', { ...TINY_LIMITS, packedBytes: 0, packedElements: 0 }],
    ['as usual', undefined],
  ] as const) {
    test(`does what a map with times does, ${layout}`, () => {
      fc.assert(
        fc.property(fc.array(turn, { maxLength: 25, size: 'max' }), fc.integer(), (turns, seed) => {
          const run = new Run(limits ?? accessTo().bodyLimits, seed);
          for (const { passMs, operations } of turns) run.step(passMs, operations);
        }),
        { numRuns: 150 },
      );
    });
  }

  test('keeps the expiry of its key apart, and goes with the earlier one', () => {
    for (const limits of [accessTo().bodyLimits, { ...TINY_LIMITS, packedBytes: 0 }]) {
      const access = at(accessTo(limits), 0);
      const hash = newHash(access, KEY);
      hash.set(bytesOf('f'), bytesOf('1'), unix(50));
      hash.save(timestampOfMs(START_MS + 80));
      const stored = () => access.view.get(access.storageKey(KEY));
      assert.equal(stored()?.expireTs, timestampOfMs(START_MS + 50));
      assert.equal(expiriesOf(stored()!).ofKey, timestampOfMs(START_MS + 80));
      // Another field without an expiry lets it live until its own.
      const changed = openHash(access, KEY);
      changed.set(bytesOf('g'), bytesOf('2'));
      changed.save();
      assert.equal(stored()?.expireTs, timestampOfMs(START_MS + 80));
      at(access, 60);
      assert.deepEqual([...openHash(access, KEY).fields()].map(latin1), ['g']);
      assert.equal(at(access, 80).view.get(access.storageKey(KEY)), undefined);
    }
  });

  test('is copied with the expiries of its fields', () => {
    for (const limits of [accessTo().bodyLimits, TINY_LIMITS]) {
      const access = at(accessTo(limits), 0);
      mixedHash(access, 40, 0);
      copyValue(access, access.storageKey(KEY), access.storageKey(bytesOf('copy')));
      checkAll(access, bytesOf('copy'));
      const copy = openHash(access, bytesOf('copy'));
      assert.equal(copy.size, 40);
      assert.equal(copy.expiryOf(bytesOf('short 7')), unix(1_000));
      assert.equal(access.view.get(access.storageKey(bytesOf('copy')))?.expireTs, timestampOfMs(START_MS + 1_000));
    }
  });

  test('gives the space of what has expired back as it is changed, a few fields each time', () => {
    const access = at(accessTo(TINY_LIMITS), 0);
    mixedHash(access, 500, 20);
    at(access, 2_000);
    const rowsBefore = access.view.keys().length;
    for (let n = 0; n < 100; n++) {
      access.view.forget();
      const hash = openHash(access, KEY);
      hash.set(bytesOf('long 1'), bytesOf(`${n}`));
      hash.save();
      assert.equal(openHash(access, KEY).size, 20);
      assert.ok(access.view.written.size < 200, `${access.view.written.size} rows written`);
    }
    checkAll(access, KEY);
    assert.ok(access.view.keys().length < rowsBefore / 10, `${access.view.keys().length} of ${rowsBefore} rows`);
  });

  /** What the leader of a group does about rows that have expired. @returns how often work was called for */
  function purge(access: TestAccess): number {
    let calls = 0;
    for (const key of access.view.expired()) {
      const work = alarmWork(key, () => ({ ...access, storageKey: (storageKey) => storageKey }));
      if (work === undefined) access.view.delete(key);
      else {
        work(access.view as unknown as KeyView);
        calls++;
      }
    }
    return calls;
  }

  test('calls the leader when nobody changes it, until all is purged', () => {
    const access = at(accessTo(TINY_LIMITS), 0);
    mixedHash(access, 1_300, 20);
    const rowsBefore = access.view.keys().length;
    assert.equal(purge(at(access, 1_001)), 0);
    let now = 62_000;
    let calls = 0;
    while (access.view.expired().length === 0) at(access, now++);
    for (; access.view.expired().length > 0; at(access, ++now)) {
      calls += purge(access);
      checkAll(access, KEY);
      assert.equal(openHash(access, KEY).size, 20);
      assert.ok(calls <= 4, `${calls} calls`);
    }
    assert.ok(access.view.keys().length < rowsBefore / 20, `${access.view.keys().length} of ${rowsBefore} rows`);
    // The next ones expire a day later.
    assert.equal(purge(at(access, DAY_MS)), 0);
    assert.equal(purge(at(access, DAY_MS + 180_000)), 1);
    assert.equal(openHash(access, KEY).size, 10);
    checkAll(access, KEY);
    assert.equal(purge(at(access, DAY_MS * 2)), 0);
  });

  test('has an alarm that its copy has too, and that means nothing to the hash that comes after it', () => {
    const access = at(accessTo(TINY_LIMITS), 0);
    mixedHash(access, 100, 20);
    copyValue(access, access.storageKey(KEY), access.storageKey(bytesOf('copy')));
    access.view.delete(access.storageKey(KEY));
    mixedHash(access, 0, 20);
    at(access, 200_000);
    assert.equal(access.view.expired().length, 2);
    assert.equal(purge(access), 2);
    assert.equal(access.view.expired().length, 0);
    assert.equal(openHash(access, KEY).size, 20);
    checkAll(access, KEY);
    checkAll(access, bytesOf('copy'));
    // A string in its place does not disturb either.
    mixedHash(access, 100, 20);
    access.view.put(access.storageKey(KEY), Buffer.from([0, 0, 0, 1]), NEVER);
    purge(at(access, 600_000));
    assert.equal(access.view.expired().length, 0);
  });

  test('has no alarm when it ends by itself, and seldom another one', () => {
    const access = at(accessTo(TINY_LIMITS), 0);
    const rowsOfAlarms = () => access.view.keys().filter((key) => alarmWork(key, () => access) !== undefined).length;
    mixedHash(access, 100, 0);
    assert.equal(rowsOfAlarms(), 0);
    mixedHash(access, 100, 20);
    access.view.collect();
    assert.equal(rowsOfAlarms(), 1);
    let written = 0;
    for (let n = 0; n < 500; n++) {
      at(access, n * 100).view.forget();
      const hash = openHash(access, KEY);
      hash.set(bytesOf(`short ${n % 100}`), bytesOf('1'), unix(n * 100 + 90_000));
      hash.save();
      for (const text of access.view.written) if (alarmWork(bytesOf(text), () => access) !== undefined) written++;
    }
    assert.ok(written <= 3, `${written} alarms in 50 seconds`);
    // Without anything that expires there is none.
    const hash = openHash(access, KEY);
    for (const field of [...hash.fields()]) hash.setExpiry(field, 0);
    hash.save();
    access.view.collect();
    assert.equal(rowsOfAlarms(), 0);
    checkAll(access, KEY);
  });

  test('is counted with few rows, however many fields have expired', () => {
    const access = at(accessTo(), 0);
    mixedHash(access, 20_000, 20_000);
    access.view.forget();
    assert.equal(openHash(access, KEY).size, 40_000);
    assert.equal(access.view.reads, 1);
    at(access, 2_000).view.forget();
    assert.equal(openHash(access, KEY).size, 20_000);
    assert.ok(access.view.reads <= 30, `${access.view.reads} reads`);
  });

  test('draws fields that are there with equal chances', () => {
    for (const [expiring, staying] of [
      [100, 300],
      [900, 30],
      [2_000, 4],
    ] as const) {
      const access = at(accessTo({ ...TINY_LIMITS, pageBytes: 128, rosterNames: 16 }, 20_260_101), 0);
      mixedHash(access, expiring, staying);
      at(access, 2_000);
      const hash = openHash(access, KEY);
      const draws = 20_000;
      const counts = new Map<string, number>();
      for (let draw = 0; draw < draws; draw++) {
        const drawn = latin1(hash.random()!);
        counts.set(drawn, (counts.get(drawn) ?? 0) + 1);
      }
      assert.equal(counts.size, staying);
      let sum = 0;
      for (const count of counts.values()) sum += (count - draws / staying) ** 2 / (draws / staying);
      const freedom = staying - 1;
      assert.ok(sum < freedom + 5 * Math.sqrt(2 * freedom), `chi-square ${sum.toFixed(1)} with ${freedom} degrees`);
    }
  });
});
