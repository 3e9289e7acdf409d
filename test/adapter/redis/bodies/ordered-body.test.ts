import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  type LexBound,
  newOrdered,
  type OrderedBody,
  type OrderedRange,
  openOrdered,
  type ScoreBound,
  type ScoredMember,
} from '../../../../src/adapter/redis/bodies/index.ts';
import { keyAboveScore, memberOf, orderKey, scoreOf } from '../../../../src/adapter/redis/bodies/order/score.ts';
import { accessTo, bytesOf, checkAll, latin1, TINY_LIMITS } from './memory-rows.ts';

const KEY = bytesOf('order');

/** Members that share long beginnings, so that separators become long too. */
const member = fc.oneof(
  { weight: 10, arbitrary: fc.integer({ min: 0, max: 300 }).map((n) => `m${n}`) },
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 60 }).map((n) => `${'o'.repeat(13)}${n}`) },
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 40 }).map((n) => `${'p'.repeat(20)}${n}`) },
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 40 }).map((n) => `${'q'.repeat(60)}${n}`) },
  { weight: 1, arbitrary: fc.constant('') },
);
/** Few different ones, so that many members have the same. */
const score = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -3, max: 3 }) },
  { weight: 3, arbitrary: fc.integer({ min: -1_000, max: 1_000 }) },
  { weight: 2, arbitrary: fc.double({ noNaN: true }) },
  { weight: 1, arbitrary: fc.constantFrom(-0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY) },
);
const place = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
const scoreBound = fc.record({ score, isExclusive: fc.boolean() });
const lexBound = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom('first' as const, 'last' as const) },
  { weight: 5, arbitrary: fc.record({ member: member.map(bytesOf), isExclusive: fc.boolean() }) },
);

const weighted = <T>(weight: number, arbitrary: fc.Arbitrary<T>) => ({ weight, arbitrary });
const operation = fc.oneof(
  weighted(
    6,
    fc.array(fc.tuple(member, score), { minLength: 1, maxLength: 40, size: 'max' }).map((add) => ({ add })),
  ),
  weighted(
    2,
    fc.array(member, { minLength: 1, maxLength: 30, size: 'max' }).map((remove) => ({ remove })),
  ),
  weighted(2, fc.record({ popMin: fc.integer({ min: 1, max: 20 }) })),
  weighted(2, fc.record({ popMax: fc.integer({ min: 1, max: 20 }) })),
  weighted(1, fc.record({ from: place, to: place })),
  weighted(2, fc.record({ from: place.map((at) => 0.3 + at / 3), to: place.map((at) => 0.5 + at / 3) })),
  weighted(1, fc.record({ min: scoreBound, max: scoreBound })),
);

class Model {
  readonly scores = new Map<string, number>();

  /** In order; where scores are equal by bytes. */
  sorted(): [string, number][] {
    const byBytes = (left: string, right: string): number => Buffer.compare(bytesOf(left), bytesOf(right));
    return [...this.scores].sort(([left, one], [right, other]) =>
      one < other ? -1 : one > other ? 1 : byBytes(left, right),
    );
  }

  remove(pairs: readonly (readonly [string, number])[]): void {
    for (const [each] of pairs) this.scores.delete(each);
  }
}

const pairs = (entries: Iterable<ScoredMember>): [string, number][] =>
  [...entries].map((entry) => [latin1(entry.member), entry.score]);

const isInScores = (value: number, min: ScoreBound, max: ScoreBound): boolean =>
  (min.isExclusive ? value > min.score : value >= min.score) &&
  (max.isExclusive ? value < max.score : value <= max.score);

function isInMembers(text: string, min: LexBound, max: LexBound): boolean {
  const compare = (bound: { member: Buffer }): number => Buffer.compare(bytesOf(text), bound.member);
  const isAbove = typeof min === 'string' ? min === 'first' : min.isExclusive ? compare(min) > 0 : compare(min) >= 0;
  const isBelow = typeof max === 'string' ? max === 'last' : max.isExclusive ? compare(max) < 0 : compare(max) <= 0;
  return isAbove && isBelow;
}

function apply(order: OrderedBody, model: Model, op: typeof operation extends fc.Arbitrary<infer T> ? T : never): void {
  if ('add' in op) {
    for (const [text, value] of op.add) {
      const before = model.scores.get(text);
      const expected = before === undefined ? 'added' : before === value ? 'same' : 'changed';
      assert.equal(order.set(bytesOf(text), value), expected);
      model.scores.set(text, value === 0 ? 0 : value);
    }
  } else if ('remove' in op) {
    const there = new Set(op.remove.filter((text) => model.scores.delete(text)));
    assert.equal(order.delete(op.remove.map(bytesOf)), there.size);
  } else if ('popMin' in op) {
    const expected = model.sorted().slice(0, op.popMin);
    assert.deepEqual(pairs(order.popMin(op.popMin)), expected);
    model.remove(expected);
  } else if ('popMax' in op) {
    const expected = model.sorted().reverse().slice(0, op.popMax);
    assert.deepEqual(pairs(order.popMax(op.popMax)), expected);
    model.remove(expected);
  } else if ('from' in op) {
    const [from, to] = [op.from, op.to].map((at) => Math.floor(at * model.scores.size)) as [number, number];
    const expected = model.sorted().slice(from, to + 1);
    assert.equal(order.removeRange({ by: 'rank', from, to }), expected.length);
    model.remove(expected);
  } else {
    const expected = model.sorted().filter(([, value]) => isInScores(value, op.min, op.max));
    assert.equal(order.removeRange({ by: 'score', ...op }), expected.length);
    model.remove(expected);
  }
}

function compare(order: OrderedBody, model: Model): void {
  const sorted = model.sorted();
  assert.equal(order.size, sorted.length);
  assert.deepEqual(pairs(order.entries()), sorted);
  for (const [index, [text, value]] of sorted.entries()) {
    assert.equal(order.score(bytesOf(text)), value);
    assert.equal(order.rank(bytesOf(text)), index);
    assert.equal(order.rank(bytesOf(text), true), sorted.length - 1 - index);
  }
  assert.equal(order.score(bytesOf('absent')), undefined);
  assert.equal(order.rank(bytesOf('absent')), undefined);
}

/** A range in every direction and window, against the elements that it has. */
function compareRange(order: OrderedBody, range: OrderedRange, expected: readonly [string, number][]): void {
  assert.equal(order.count(range), expected.length);
  for (const isReverse of [false, true]) {
    const inOrder = isReverse ? expected.toReversed() : expected;
    for (const offset of [0, 1, 7]) {
      for (const limit of [0, 1, 5, undefined]) {
        const part = inOrder.slice(offset, limit === undefined ? undefined : offset + limit);
        assert.deepEqual(pairs(order.range(range, { isReverse, offset, limit })), part);
      }
    }
  }
}

function filled(entries: Iterable<readonly [string, number]>, limits = TINY_LIMITS) {
  const model = new Model();
  const access = accessTo(limits);
  const order = newOrdered(access, KEY);
  for (const [text, value] of entries) {
    order.set(bytesOf(text), value);
    model.scores.set(text, value === 0 ? 0 : value);
  }
  order.save();
  return { access, model };
}

describe('a sorted set', () => {
  test('does what a sorted map does, through every conversion and split', () => {
    const property = fc.property(
      fc.array(fc.tuple(member, score), { maxLength: 300, size: 'max' }),
      fc.array(fc.array(operation, { minLength: 1, maxLength: 3 }), { maxLength: 20, size: 'max' }),
      fc.integer({ min: 1, max: 3 }),
      (initial, batches, countLevel) => {
        const { access, model } = filled(initial, { ...TINY_LIMITS, countLevel });
        for (const batch of batches) {
          const order = openOrdered(access, KEY);
          for (const op of batch) apply(order, model, op);
          order.save();
          checkAll(access, KEY);
          compare(openOrdered(access, KEY), model);
        }
      },
    );
    fc.assert(property, { numRuns: 120 });
    // A page that is cut at its end may be too large all the same, because the number of a child has become longer.
    fc.assert(property, { numRuns: 40, seed: 1 });
  });

  test('answers ranges of scores and of positions in both directions', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(member, score), { maxLength: 200, size: 'max' }),
        fc.array(fc.tuple(scoreBound, scoreBound), { maxLength: 5 }),
        fc.array(fc.tuple(place, place), { maxLength: 3 }),
        (entries, scores, places) => {
          const { access, model } = filled(entries);
          const [order, sorted] = [openOrdered(access, KEY), model.sorted()];
          for (const [min, max] of scores) {
            const expected = sorted.filter(([, value]) => isInScores(value, min, max));
            compareRange(order, { by: 'score', min, max }, expected);
          }
          for (const ends of places) {
            const [from, to] = ends.map((at) => Math.floor(at * (sorted.length + 3))) as [number, number];
            const range = { by: 'rank', from, to } as const;
            assert.deepEqual(pairs(order.range(range)), sorted.slice(from, to + 1));
            assert.deepEqual(pairs(order.range(range, { isReverse: true })), sorted.toReversed().slice(from, to + 1));
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  test('answers ranges of members when all scores are the same, and removes them', () => {
    fc.assert(
      fc.property(
        fc.array(member, { maxLength: 200, size: 'max' }),
        score,
        fc.array(fc.tuple(lexBound, lexBound), { minLength: 1, maxLength: 5 }),
        (members, value, ranges) => {
          const { access, model } = filled(members.map((text) => [text, value] as const));
          const order = openOrdered(access, KEY);
          const ofRange = (min: LexBound, max: LexBound) =>
            model.sorted().filter(([text]) => isInMembers(text, min, max));
          for (const [min, max] of ranges) compareRange(order, { by: 'lex', min, max }, ofRange(min, max));
          const [min, max] = ranges[0]!;
          const gone = ofRange(min, max);
          assert.equal(order.removeRange({ by: 'lex', min, max }), gone.length);
          model.remove(gone);
          order.save();
          checkAll(access, KEY);
          compare(openOrdered(access, KEY), model);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('scans every member that stays and does not sink, whatever else changes', () => {
    const number = fc.integer({ min: 0, max: 300 });
    const change = fc.record({
      add: fc.array(fc.tuple(number, score), { maxLength: 12 }),
      remove: fc.array(number, { maxLength: 20 }),
      rise: fc.array(number, { maxLength: 12 }),
    });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(number, score), { maxLength: 250, size: 'max' }),
        fc.array(change, { minLength: 1, maxLength: 30, size: 'max' }),
        fc.integer({ min: 1, max: 20 }),
        (entries, changes, atLeast) => {
          const { access, model } = filled(entries.map(([n, value]) => [`m${n}`, value] as const));
          const staying = new Set(model.scores.keys());
          const seen = new Set<string>();
          let cursor = 0;
          for (let call = 0; ; call++) {
            const part = openOrdered(access, KEY).scan(cursor, atLeast);
            for (const entry of part.entries) seen.add(latin1(entry.member));
            cursor = part.cursor;
            if (cursor === 0) break;
            // What changes at every call may send a scan back to its beginning at every call.
            const { add, remove, rise } =
              call < 200 ? changes[call % changes.length]! : { add: [], remove: [], rise: [] };
            const order = openOrdered(access, KEY);
            for (const [n, value] of add) {
              const before = order.score(bytesOf(`m${n}`));
              if (before === undefined || value >= before) order.set(bytesOf(`m${n}`), value);
            }
            for (const n of rise) {
              const before = order.score(bytesOf(`m${n}`));
              if (before !== undefined) order.set(bytesOf(`m${n}`), before + 1);
            }
            order.delete(remove.map((n) => bytesOf(`m${n}`)));
            for (const n of remove) staying.delete(`m${n}`);
            order.save();
          }
          for (const each of staying) assert.ok(seen.has(each), `${each} was there all the time`);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('scans what stays when most of it is removed and the rest written anew', () => {
    // Grown downwards and then upwards, so that the leaves of low scores have numbers that later leaves of another tree would have.
    const { access } = filled(Array.from({ length: 60 }, (_, n) => [`m${100 + n}`, 100 + n] as const));
    const downAndUp = [
      ...Array.from({ length: 20 }, (_, n) => 99 - n),
      ...Array.from({ length: 340 }, (_, n) => 160 + n),
    ];
    for (const n of downAndUp) {
      const order = openOrdered(access, KEY);
      order.set(bytesOf(`m${n}`), n);
      order.save();
    }
    const first = openOrdered(access, KEY).scan(0, 1);
    const seen = new Set(first.entries.map((entry) => entry.score));
    assert.ok(first.cursor > 0);
    const order = openOrdered(access, KEY);
    assert.equal(order.removeRange({ by: 'rank', from: 150, to: 400 }), 251);
    order.save();
    for (let { cursor } = first; cursor !== 0; ) {
      const part = openOrdered(access, KEY).scan(cursor, 10);
      for (const entry of part.entries) seen.add(entry.score);
      cursor = part.cursor;
    }
    for (const { score: value } of openOrdered(access, KEY).entries()) assert.ok(seen.has(value), `${value} stayed`);
  });

  test('draws members with equal chances', () => {
    const access = accessTo(TINY_LIMITS, 5);
    const order = newOrdered(access, KEY);
    for (let n = 0; n < 200; n++) order.set(bytesOf(`m${n}`), n % 17);
    order.save();
    const counts = new Map<string, number>();
    const read = openOrdered(access, KEY);
    for (let draw = 0; draw < 40_000; draw++) {
      const drawn = latin1(read.random()!.member);
      counts.set(drawn, (counts.get(drawn) ?? 0) + 1);
    }
    const sum = [...counts.values()].reduce((total, count) => total + (count - 200) ** 2 / 200, 0);
    assert.ok(counts.size === 200 && sum < 199 + 5 * Math.sqrt(2 * 199), `chi-square ${sum}`);
    assert.equal(new Set(read.randomDistinct(30).map((entry) => latin1(entry.member))).size, 30);
    assert.equal(read.randomDistinct(500).length, 200);
  });

  test('refuses a score that is no number', () => {
    const order = newOrdered(accessTo(), KEY);
    assert.throws(() => order.set(bytesOf('m'), Number.NaN), /number/);
  });

  test('takes a range of members where scores differ as Redis takes it in a small set', () => {
    const { access } = filled([
      ['b', 1],
      ['a', 2],
      ['d', 3],
      ['c', 4],
    ]);
    const order = openOrdered(access, KEY);
    const at = (text: string): LexBound => ({ member: bytesOf(text), isExclusive: false });
    const names = (range: OrderedRange, isReverse = false) =>
      pairs(order.range(range, { isReverse })).map(([text]) => text);
    assert.deepEqual(names({ by: 'lex', min: at('b'), max: at('c') }), ['b', 'a']);
    assert.deepEqual(names({ by: 'lex', min: 'first', max: 'last' }), ['b', 'a', 'd', 'c']);
    assert.deepEqual(names({ by: 'lex', min: at('b'), max: at('c') }, true), ['c', 'd']);
    assert.deepEqual(names({ by: 'lex', min: at('d'), max: 'last' }), []);
  });
});

describe('the key of a score and a member', () => {
  const any = fc.double({ noNaN: true });

  test('is read back, with -0 as 0', () => {
    fc.assert(
      fc.property(any, member, (value, text) => {
        const key = orderKey(value, bytesOf(text));
        assert.equal(scoreOf(key), value === 0 ? 0 : value);
        assert.equal(latin1(memberOf(key)), text);
      }),
    );
    assert.deepEqual(orderKey(-0, bytesOf('m')), orderKey(0, bytesOf('m')));
  });

  test('orders as scores do, then members', () => {
    const close = fc.oneof(
      any,
      fc.integer({ min: -2, max: 2 }),
      fc.constantFrom(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
    );
    fc.assert(
      fc.property(close, member, close, member, (one, left, other, right) => {
        const byMember = Math.sign(Buffer.compare(bytesOf(left), bytesOf(right)));
        const expected = one < other ? -1 : one > other ? 1 : byMember;
        assert.equal(
          Math.sign(Buffer.compare(orderKey(one, bytesOf(left)), orderKey(other, bytesOf(right)))),
          expected,
        );
        const above = keyAboveScore(one);
        assert.equal(Buffer.compare(orderKey(other, bytesOf(right)), above) < 0, other <= one);
      }),
      { numRuns: 2_000 },
    );
  });
});
