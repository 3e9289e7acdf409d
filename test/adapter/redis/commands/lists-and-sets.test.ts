/** Lists, sets and SORT over rows in memory: chance, costs in rows, expiries, and keys that vanish with their last element. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BodyLimits } from '../../../../src/adapter/redis/bodies/index.ts';
import { Effects } from '../../../../src/adapter/redis/command/effects.ts';
import { EvaluationContext } from '../../../../src/adapter/redis/command/evaluation-context.ts';
import { dataCommands } from '../../../../src/adapter/redis/commands/index.ts';
import { type Reply, SetReply } from '../../../../src/adapter/redis/protocol/reply.ts';
import type { KeyView } from '../../../../src/kv/contract/view.ts';
import { SeededRandom } from '../../../../src/platform/index.ts';
import { MemoryRows, TINY_LIMITS } from '../bodies/memory-rows.ts';
import { Evaluator } from './evaluate.ts';

const numbers = (count: number, from = 0): string[] => Array.from({ length: count }, (_, nth) => String(from + nth));

type Line = readonly [string, ...string[]];

/** Runs commands over rows that are counted, with one source of chance. */
class CountedRows {
  readonly view = new MemoryRows();
  private readonly settings;

  constructor(bodyLimits?: BodyLimits) {
    this.settings = {
      random: new SeededRandom(3),
      maxStringBytes: 1e9,
      ...(bodyLimits === undefined ? {} : { bodyLimits }),
    };
  }

  run(name: string, ...args: string[]): Reply {
    const spec = dataCommands.find((command) => command.name === name.toLowerCase());
    if (spec?.handler?.kind !== 'data') throw new Error(`${name} is no data command`);
    const ctx = new EvaluationContext(this.view as unknown as KeyView, 0, 2, this.settings, new Effects());
    this.view.forget();
    return spec.handler.run(
      ctx,
      [name, ...args].map((argument) => Buffer.from(argument, 'latin1')),
    );
  }

  /** Members or values in a reply. */
  list(name: string, ...args: string[]): string[] {
    const reply = this.run(name, ...args);
    const members = reply instanceof SetReply ? reply.members : reply;
    return (members as Buffer[]).map((member) => member.toString('latin1'));
  }

  reads(name: string, ...args: string[]): number {
    this.run(name, ...args);
    return this.view.reads;
  }

  writes(name: string, ...args: string[]): number {
    this.run(name, ...args);
    return this.view.written.size;
  }
}

/** Whether counts that should be equal differ by more than chance explains, but once in a million times. */
function assertUniform(counts: ReadonlyMap<string, number>, kinds: number): void {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const expected = total / kinds;
  assert.equal(counts.size, kinds, 'everything was chosen');
  const sum = [...counts.values()].reduce((chi, count) => chi + (count - expected) ** 2 / expected, 0);
  const freedom = kinds - 1;
  // Wilson and Hilferty's approximation of the quantile; 4.75 standard deviations are one in a million.
  const limit = freedom * (1 - 2 / (9 * freedom) + 4.75 * Math.sqrt(2 / (9 * freedom))) ** 3;
  assert.ok(sum < limit, `chi-square ${sum.toFixed(1)} with ${freedom} degrees of freedom`);
}

const count = (counts: Map<string, number>, names: readonly string[]): void => {
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
};

/** A set of a hundred members that was larger, in both forms. */
function shrunkSet(limits: BodyLimits | undefined): CountedRows {
  const rows = new CountedRows(limits);
  rows.run('SADD', 's', ...numbers(160));
  rows.run('SREM', 's', ...numbers(60, 100));
  return rows;
}

describe('random members', () => {
  for (const [form, limits] of [
    ['a usual set', undefined],
    ['a set in tiny pages', TINY_LIMITS],
  ] as const) {
    test(`of ${form} are drawn by SRANDMEMBER with the same chance`, () => {
      const rows = shrunkSet(limits);
      const [one, several, half, repeated] = [new Map(), new Map(), new Map(), new Map<string, number>()];
      for (let draw = 0; draw < 6_000; draw++) {
        count(one, [String(rows.run('SRANDMEMBER', 's'))]);
        if (draw % 10 !== 0) continue;
        const distinct = rows.list('SRANDMEMBER', 's', '10');
        assert.equal(new Set(distinct).size, 10);
        count(several, distinct);
        count(half, rows.list('SRANDMEMBER', 's', '50'));
        const drawn = rows.list('SRANDMEMBER', 's', '-10');
        assert.equal(drawn.length, 10);
        count(repeated, drawn);
      }
      for (const counts of [one, several, half, repeated]) assertUniform(counts, 100);
      assert.deepEqual(rows.list('SRANDMEMBER', 's', '1000').sort(), numbers(100).sort());
    });

    test(`of ${form} are taken by SPOP with the same chance, and are gone then`, () => {
      const rows = shrunkSet(limits);
      const [one, few, most] = [new Map(), new Map(), new Map<string, number>()];
      for (let draw = 0; draw < 2_000; draw++) {
        const single = String(rows.run('SPOP', 's'));
        assert.equal(rows.run('SISMEMBER', 's', single), 0);
        count(one, [single]);
        rows.run('SADD', 's', single);
        if (draw % 6 !== 0) continue;
        for (const [counts, size] of [
          [few, 7],
          [most, 80],
        ] as const) {
          const taken = rows.list('SPOP', 's', String(size));
          assert.equal(new Set(taken).size, size);
          assert.equal(rows.run('SCARD', 's'), 100 - size);
          count(counts, taken);
          rows.run('SADD', 's', ...taken);
        }
      }
      for (const counts of [one, few, most]) assertUniform(counts, 100);
    });
  }
});

describe('rows that commands read and write', () => {
  test('follow the smallest set, and the pages of the others where those are fewer', () => {
    const rows = new CountedRows();
    rows.run('SADD', 'large', ...numbers(20_000));
    rows.run('SADD', 'other', ...numbers(20_000, 10_000));
    rows.run('SADD', 'few', ...numbers(10, 5));
    assert.ok(rows.reads('SINTER', 'large', 'few') <= 2 + 10 + 1);
    assert.ok(rows.reads('SDIFF', 'few', 'large') <= 2 + 10 + 1);
    const pages = rows.reads('SMEMBERS', 'large');
    assert.ok(pages < 20_000 / 15);
    assert.ok(rows.reads('SINTER', 'large', 'other') <= 2 * pages + 10);
    assert.ok(rows.reads('SDIFF', 'large', 'other') <= 2 * pages + 10);
    assert.ok(rows.reads('SUNION', 'large', 'other') <= 2 * pages + 10);
    assert.ok(rows.reads('SINTERCARD', '2', 'large', 'large', 'LIMIT', '5') <= 100);
    // Those of `large` that are in the other set come last: looks are given up for pages on the way.
    assert.ok(rows.reads('SINTERCARD', '2', 'large', 'other', 'LIMIT', '5') <= 20_000 / 8 + 1_024 + 2 * pages);
  });

  test('are those of what stays when nearly everything is removed', () => {
    const rows = new CountedRows();
    rows.run('SADD', 's', ...numbers(10_000));
    rows.run('RPUSH', 'l', ...numbers(10_000));
    assert.ok(rows.writes('SPOP', 's', '9990') <= 2);
    assert.ok(rows.view.reads <= 10_000 / 15, 'members that were drawn are not looked for');
    assert.ok(rows.writes('LTRIM', 'l', '5000', '5009') <= 2);
    rows.run('RPUSH', 'l', ...numbers(10_000));
    assert.ok(rows.writes('LREM', 'l', '0', '7') <= 6);
    assert.ok(rows.writes('RPOP', 'l', '9000') <= 100);
    assert.ok(rows.writes('SPOP', 's', '10') <= 1);
  });

  test('are few at the ends and at positions of a list', () => {
    const rows = new CountedRows();
    rows.run('RPUSH', 'l', ...numbers(20_000));
    for (const [name, ...args] of [
      ['LPUSH', 'l', 'x'],
      ['RPOP', 'l'],
      ['LMOVE', 'l', 'l', 'LEFT', 'RIGHT'],
    ] as const)
      assert.ok(rows.writes(name, ...args) <= 4, name);
    assert.ok(rows.reads('LINDEX', 'l', '9000') <= 8);
    assert.ok(rows.writes('LSET', 'l', '9000', 'y') <= 2);
    assert.ok(rows.reads('LRANGE', 'l', '9000', '9009') <= 10);
  });
});

describe('collections', () => {
  test('keep their expiry when they are changed, and lose it when they are made anew', () => {
    const keys = new Evaluator();
    const expiring = (make: Line): void => {
      keys.run(...make);
      keys.run('EXPIRE', make[1]!, '100');
    };
    expiring(['RPUSH', 'l', 'a', 'b', 'c', 'a']);
    for (const change of [
      ['LPUSH', 'l', 'x'],
      ['LPOP', 'l'],
      ['LSET', 'l', '0', 'y'],
      ['LINSERT', 'l', 'BEFORE', 'y', 'z'],
      ['LREM', 'l', '1', 'a'],
      ['LTRIM', 'l', '0', '1'],
      ['LMOVE', 'l', 'l', 'LEFT', 'RIGHT'],
    ] as readonly Line[]) {
      keys.run(...change);
      assert.equal(keys.run('TTL', 'l'), 100, change[0]);
    }
    expiring(['SADD', 's', '1', '2', '3', '4']);
    for (const change of [
      ['SADD', 's', '5'],
      ['SREM', 's', '5'],
      ['SPOP', 's'],
    ] as readonly Line[]) {
      keys.run(...change);
      assert.equal(keys.run('TTL', 's'), 100, change[0]);
    }
    for (const anew of [
      ['SINTERSTORE', 's', 's'],
      ['SUNIONSTORE', 's', 's'],
      ['SDIFFSTORE', 's', 's', 'none'],
      ['SORT', 's', 'STORE', 's'],
    ] as readonly Line[]) {
      keys.run('EXPIRE', 's', '100');
      keys.run(...anew);
      assert.equal(keys.run('TTL', 's'), -1, anew[0]);
    }
  });

  test('vanish with their last element', () => {
    const keys = new Evaluator();
    for (const [make, empty] of [
      [
        ['RPUSH', 'k', 'a'],
        ['LPOP', 'k'],
      ],
      [
        ['RPUSH', 'k', 'a', 'b'],
        ['RPOP', 'k', '5'],
      ],
      [
        ['RPUSH', 'k', 'a', 'a'],
        ['LREM', 'k', '0', 'a'],
      ],
      [
        ['RPUSH', 'k', 'a', 'b'],
        ['LTRIM', 'k', '5', '9'],
      ],
      [
        ['RPUSH', 'k', 'a'],
        ['LMOVE', 'k', 'other', 'LEFT', 'LEFT'],
      ],
      [
        ['RPUSH', 'k', 'a'],
        ['LMPOP', '1', 'k', 'LEFT'],
      ],
      [
        ['SADD', 'k', 'a'],
        ['SREM', 'k', 'a'],
      ],
      [
        ['SADD', 'k', 'a'],
        ['SPOP', 'k'],
      ],
      [
        ['SADD', 'k', 'a'],
        ['SMOVE', 'k', 'moved', 'a'],
      ],
      [
        ['SADD', 'k', 'a'],
        ['SINTERSTORE', 'k', 'k', 'none'],
      ],
      [
        ['SADD', 'k', 'a'],
        ['SORT', 'none', 'STORE', 'k'],
      ],
    ] as readonly (readonly [Line, Line])[]) {
      keys.run(...make);
      assert.equal(keys.run('EXISTS', 'k'), 1);
      keys.run(...empty);
      assert.equal(keys.run('EXISTS', 'k'), 0, empty.join(' '));
    }
  });

  test('do not draw more than fits into a reply', () => {
    const keys = new Evaluator();
    keys.run('SADD', 's', 'a');
    assert.throws(() => keys.run('SRANDMEMBER', 's', '-1000001'), /ERR value is out of range/);
  });
});
