/** What comparing with redis-server cannot show of sorted sets: chances, and options of later versions. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type BodyLimits, DEFAULT_BODY_LIMITS } from '../../../../src/adapter/redis/bodies/index.ts';
import { encodeReply, type Reply } from '../../../../src/adapter/redis/protocol/index.ts';
import { Evaluator } from './evaluate.ts';

/** A few members make trees of several levels. */
const SMALL_PAGES: BodyLimits = {
  ...DEFAULT_BODY_LIMITS,
  packedBytes: 0,
  packedElements: 0,
  pageBytes: 64,
  inlineBytes: 24,
  childrenWithoutCounts: 4,
};

/** A set that was grown and shrunk. */
function shrunkSet(members: number, bodyLimits: BodyLimits): Evaluator {
  const keys = new Evaluator();
  keys.bodyLimits = bodyLimits;
  for (let nth = 0; nth < members * 3; nth++) keys.run('ZADD', 'k', String((nth * 37) % 101), `m${nth}`);
  for (let nth = 0; nth < members * 3; nth++) if (nth % 3 !== 0) keys.run('ZREM', 'k', `m${nth}`);
  assert.equal(keys.run('ZCARD', 'k'), members);
  return keys;
}

/** Pearson's statistic in standard deviations from what equal chances of all outcomes give. */
function excess(outcomes: readonly string[], possible: number): number {
  const counts = new Map<string, number>();
  for (const outcome of outcomes) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  const expected = outcomes.length / possible;
  let statistic = (possible - counts.size) * expected;
  for (const count of counts.values()) statistic += (count - expected) ** 2 / expected;
  return (statistic - (possible - 1)) / Math.sqrt(2 * (possible - 1));
}

const draw = (times: number, outcome: () => string): string[] => Array.from({ length: times }, outcome);
const texts = (reply: Reply): string[] => (reply as Buffer[]).map((member) => member.toString('latin1'));

for (const [layout, limits] of [
  ['packed', DEFAULT_BODY_LIMITS],
  ['in pages', SMALL_PAGES],
] as const) {
  describe(`ZRANDMEMBER of a set ${layout}`, () => {
    test('gives each member the same chance', () => {
      const keys = shrunkSet(30, limits);
      const drawn = draw(6_000, () => String(keys.run('ZRANDMEMBER', 'k')));
      assert.ok(Math.abs(excess(drawn, 30)) < 4);
    });

    test('gives each choice of different members the same chance, in each order', () => {
      const keys = shrunkSet(6, limits);
      for (const [count, possible] of [
        [2, 30],
        [3, 120],
      ] as const) {
        const drawn = draw(possible * 60, () => texts(keys.run('ZRANDMEMBER', 'k', String(count))).join());
        assert.ok(Math.abs(excess(drawn, possible)) < 4, `${count} of 6`);
      }
    });

    test('draws each member for itself when members may come twice', () => {
      const keys = shrunkSet(6, limits);
      const drawn = draw(2_500, () => texts(keys.run('ZRANDMEMBER', 'k', '-2')).join());
      assert.ok(Math.abs(excess(drawn, 36)) < 4);
      // Few draws from many members look members up one by one.
      const many = shrunkSet(30, limits);
      assert.ok(
        Math.abs(
          excess(
            draw(3_000, () => texts(many.run('ZRANDMEMBER', 'k', '-2'))[1]!),
            30,
          ),
        ) < 4,
      );
    });

    test('never answers a member twice where that is not asked for', () => {
      const keys = shrunkSet(30, limits);
      for (const count of [1, 5, 10, 11, 29, 30, 31, 1000]) {
        const members = texts(keys.run('ZRANDMEMBER', 'k', String(count)));
        assert.equal(new Set(members).size, Math.min(count, 30), String(count));
        assert.equal(members.length, Math.min(count, 30));
      }
    });
  });
}

describe('ZRANK with a score', () => {
  const keys = new Evaluator();
  keys.run('ZADD', 'k', '1', 'a', '2.5', 'b');
  const wire = (resp: 2 | 3, ...command: [string, ...string[]]): string =>
    encodeReply(keys.run(...command), resp).toString();

  test('answers both', () => {
    assert.equal(wire(2, 'ZRANK', 'k', 'b', 'WITHSCORE'), '*2\r\n:1\r\n$3\r\n2.5\r\n');
    assert.equal(wire(3, 'ZREVRANK', 'k', 'b', 'withscore'), '*2\r\n:0\r\n,2.5\r\n');
  });

  test('answers no array when the member is not there', () => {
    assert.equal(wire(2, 'ZRANK', 'k', 'none', 'WITHSCORE'), '*-1\r\n');
    assert.equal(wire(3, 'ZRANK', 'none', 'a', 'WITHSCORE'), '_\r\n');
  });

  test('refuses other words and more of them', () => {
    assert.throws(() => keys.run('ZRANK', 'k', 'a', 'WITHSCORES'), /syntax error/);
    assert.throws(() => keys.run('ZREVRANK', 'k', 'a', 'WITHSCORE', 'x'), /number of arguments for 'zrevrank'/);
  });
});

describe('ZRANDMEMBER without end', () => {
  test('is refused', () => {
    const keys = new Evaluator();
    keys.run('ZADD', 'k', '1', 'a');
    assert.throws(() => keys.run('ZRANDMEMBER', 'k', '-1000001'), /out of range/);
  });
});
