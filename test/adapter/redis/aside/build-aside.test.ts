/** Values that are built aside, step by step, over keys in memory. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { InlineAside } from '../../../../src/adapter/redis/aside/aside-evaluation.ts';
import { type AsideCommand, type AsideParts, buildAside } from '../../../../src/adapter/redis/aside/build-aside.ts';
import type { FreshRow } from '../../../../src/adapter/redis/aside/captured-rows.ts';
import { WholeValueView } from '../../../../src/adapter/redis/aside/whole-value-view.ts';
import { DEFAULT_BODY_LIMITS } from '../../../../src/adapter/redis/bodies/index.ts';
import { RowKind } from '../../../../src/adapter/redis/bodies/rows/index.ts';
import { checkBody } from '../../../../src/adapter/redis/bodies/whole/whole-body.ts';
import { Effects } from '../../../../src/adapter/redis/command/effects.ts';
import { EvaluationContext } from '../../../../src/adapter/redis/command/evaluation-context.ts';
import { dataCommands } from '../../../../src/adapter/redis/commands/index.ts';
import { KEYSPACES } from '../../../../src/adapter/redis/keys/keyspace.ts';
import { bodyOf, incarnationIn } from '../../../../src/adapter/redis/keys/sub-rows.ts';
import { OK, type Reply } from '../../../../src/adapter/redis/protocol/reply.ts';
import { SnapshotUncoveredError } from '../../../../src/kv/contract/errors.ts';
import type { KvTransaction } from '../../../../src/kv/contract/transactions.ts';
import type { KeyView } from '../../../../src/kv/contract/view.ts';
import { type HlcTimestamp, SeededRandom } from '../../../../src/platform/index.ts';
import { FakeState, FakeView, momentOf } from '../../../support/fake-kv.ts';
import { ManualClock } from '../../../support/manual-time.ts';

const headOf = (name: string): Buffer => KEYSPACES[0]!.storageKey(Buffer.from(name));

type Argument = string | Buffer;

/** Keys of one database, and what a build asks of them. */
class Keys {
  readonly state = new FakeState();
  readonly slices: (readonly FreshRow[])[] = [];
  /** Called before each slice is written; may throw. */
  beforeSlice: (nth: number) => void = () => {};
  /** Called before each moment is drawn. */
  beforeMoment: () => void = () => {};
  /** Moments that were begun and not ended. */
  openMoments = 0;
  attempts = 0;
  /** Whether there is a thread that evaluates what takes long here, and how often it was asked. */
  hasOtherThread = false;
  /** Of a command that adds to one value. */
  isFilled: Pick<AsideCommand, 'isFill'> = {};
  begunElsewhere = 0;
  /** Heads that were read as of a moment. */
  headReads = 0;
  readonly clock = new ManualClock();
  private readonly random = new SeededRandom(3);

  private evaluate(view: KeyView, args: readonly Argument[], copyRows?: EvaluationContext['copyRows']): Reply {
    const spec = dataCommands.find(({ name }) => name === args[0]!.toString().toLowerCase())!;
    assert.ok(spec.handler?.kind === 'data');
    const settings = { random: this.random, maxStringBytes: 1 << 20, bodyLimits: DEFAULT_BODY_LIMITS };
    const ctx = new EvaluationContext(view, 0, 2, settings, new Effects(), undefined, undefined, copyRows);
    return spec.handler.run(
      ctx,
      args.map((argument) => (typeof argument === 'string' ? Buffer.from(argument) : argument)),
    );
  }

  /** Runs a command at once. */
  run(...args: Argument[]): Reply {
    const view = new FakeView(this.state);
    const reply = this.evaluate(view, args);
    view.apply();
    return reply;
  }

  /** Runs a command aside, as the node of its client does. */
  aside(...args: Argument[]): Promise<Reply> {
    const { state } = this;
    const parts: AsideParts = {
      clock: this.clock,
      stepTimeoutMs: 1_000,
      scheduler: {
        // Pauses pass at once, pins are not renewed.
        after: (delayMs, callback) => {
          this.clock.advance(delayMs < 1_000 ? delayMs : 0);
          if (delayMs < 1_000) queueMicrotask(callback);
          return () => {};
        },
      },
      transactions: {
        run: async (_request, body) => {
          const view = new FakeView(state);
          const reply = body(view);
          view.apply();
          return { reply, commitTs: view.ts, seenTs: view.ts };
        },
        begin: async () => this.moment(),
      } as AsideParts['transactions'],
      writeRows: async (rows) => {
        this.beforeSlice(this.slices.length);
        this.slices.push(rows);
        const view = new FakeView(state);
        for (const { key, value, expireTs } of rows) view.put(key, value, expireTs);
        view.apply();
      },
    };
    const names = args[0] === 'SUNIONSTORE' ? args.slice(1) : args.slice(1, args[0] === 'HSET' ? 2 : 3);
    const evaluate = (view: KeyView, copyRows: EvaluationContext['copyRows']) => this.evaluate(view, args, copyRows);
    const begin = (ts: HlcTimestamp): InlineAside => {
      this.begunElsewhere++;
      // Its clock stands still: nobody waits for it.
      return new InlineAside(ts, () => 0, 1, evaluate);
    };
    return buildAside(parts, {
      heads: names.map((name) => headOf(name.toString())),
      evaluate,
      ...this.isFilled,
      ...(this.hasOtherThread ? { begin } : {}),
    });
  }

  private moment(): KvTransaction {
    this.beforeMoment();
    this.openMoments++;
    this.attempts++;
    const moment = momentOf(this.state, () => {
      this.openMoments--;
    });
    const get = (key: Buffer) => {
      this.headReads++;
      return moment.get(key);
    };
    return { ...moment, get };
  }

  /** Rows behind heads that no head names. */
  get lostRows(): number {
    let lost = 0;
    for (const { key } of this.state.values.values()) {
      const body = bodyOf(key);
      if (body === undefined) continue;
      const head = this.state.values.get(key.toString('latin1', 0, body.headLength));
      if (head === undefined || incarnationIn(head.value)?.equals(body.incarnation) !== true) lost++;
    }
    return lost;
  }

  check(name: string): void {
    checkBody(new FakeView(this.state), headOf(name), DEFAULT_BODY_LIMITS);
  }

  /** A hash of so many fields. */
  fill(name: string, fields: number): void {
    this.run('HSET', name, ...Array.from({ length: fields }, (_, nth) => [`f${nth}`, `${nth}`]).flat());
  }
}

describe('a value that is built aside', () => {
  test('goes out in slices of at most a thousand rows, and is seen with its head and not before', async () => {
    const keys = new Keys();
    keys.fill('a', 3_000);
    keys.beforeSlice = () => {
      assert.equal(keys.run('EXISTS', 'b'), 0);
      assert.equal(keys.run('HLEN', 'a'), 3_000);
    };
    assert.equal(await keys.aside('RENAME', 'a', 'b'), OK);
    assert.ok(keys.slices.length >= 3);
    for (const rows of keys.slices) assert.ok(rows.length > 0 && rows.length <= 1_000);
    assert.deepEqual([keys.run('EXISTS', 'a'), keys.run('HLEN', 'b')], [0, 3_000]);
    keys.check('b');
    assert.equal(keys.openMoments, 0);
    assert.equal(keys.attempts, 1);
  });

  test('of a computed set has the rows of the result only', async () => {
    const keys = new Keys();
    for (const [name, from] of [
      ['a', 0],
      ['b', 1_000],
    ] as const) {
      keys.run('SADD', name, ...Array.from({ length: 2_000 }, (_, nth) => `m${from + nth}`));
    }
    keys.fill('target', 1_000);
    assert.equal(await keys.aside('SUNIONSTORE', 'target', 'a', 'b'), 3_000);
    assert.equal(keys.run('SCARD', 'target'), 3_000);
    keys.check('target');
  });

  for (const [what, change] of Object.entries({
    'in place': ['HSET', 'a', 'f7', 'changed'],
    'by another element': ['HSET', 'a', 'another', '1'],
    'of its expiry': ['EXPIRE', 'a', '1000'],
  })) {
    test(`is built again when there is a change meanwhile: ${what}`, async () => {
      const keys = new Keys();
      keys.fill('a', 2_500);
      keys.beforeSlice = (nth) => {
        if (nth === 1) keys.run(...change);
      };
      assert.equal(await keys.aside('COPY', 'a', 'b', 'REPLACE'), 1);
      assert.equal(keys.attempts, 2, 'the change was noticed');
      assert.deepEqual(await keys.run('HGETALL', 'b'), await keys.run('HGETALL', 'a'));
      assert.equal(keys.run('TTL', 'b'), keys.run('TTL', 'a'));
      keys.check('b');
      assert.ok(keys.lostRows > 0, 'rows of the first build are left to be collected');
    });
  }

  test('is built again when its source was changed in place right before the moment, so that the next change cannot be seen', async () => {
    const keys = new Keys();
    keys.fill('a', 2_500);
    let changes = 0;
    keys.beforeMoment = () => {
      if (changes++ === 0) keys.run('HSET', 'a', 'f7', 'before');
    };
    keys.beforeSlice = (nth) => {
      if (nth === 0) keys.run('HSET', 'a', 'f7', 'after');
    };
    assert.equal(await keys.aside('COPY', 'a', 'b'), 1);
    assert.equal(keys.run('HGET', 'b', 'f7')?.toString(), 'after');
  });

  test('is not written when the target has come to be meanwhile and must not be replaced', async () => {
    const keys = new Keys();
    keys.fill('a', 2_500);
    keys.beforeSlice = () => keys.run('SET', 'b', '1');
    assert.equal(await keys.aside('COPY', 'a', 'b'), 0);
    assert.equal(keys.run('GET', 'b')?.toString(), '1');
  });

  test('is given up after four builds, and nothing has happened then', async () => {
    const keys = new Keys();
    keys.fill('a', 1_500);
    keys.beforeSlice = (nth) => keys.run('HSET', 'a', 'f1', `${nth}`);
    await assert.rejects(keys.aside('RENAME', 'a', 'b'), /^RedisError: TRYAGAIN /);
    assert.equal(keys.attempts, 4);
    assert.deepEqual([keys.run('HLEN', 'a'), keys.run('EXISTS', 'b')], [1_500, 0]);
    assert.equal(keys.openMoments, 0);
  });

  test('is given up when a slice cannot be written, and nothing has happened then', async () => {
    const keys = new Keys();
    keys.fill('a', 2_500);
    keys.beforeSlice = (nth) => {
      if (nth === 1) throw new Error('no leader');
    };
    await assert.rejects(keys.aside('RENAME', 'a', 'b'), /no leader/);
    assert.deepEqual([keys.run('HLEN', 'a'), keys.run('EXISTS', 'b')], [2_500, 0]);
    assert.equal(keys.openMoments, 0);
    // What was written of it harms nobody.
    keys.beforeSlice = () => {};
    assert.equal(await keys.aside('RENAME', 'a', 'b'), OK);
    keys.check('b');
  });

  test('is computed elsewhere as soon as rows of a body are needed, and here when they are only copied', async () => {
    const keys = new Keys();
    keys.hasOtherThread = true;
    keys.fill('a', 300);
    for (const set of ['s', 't']) keys.run('SADD', set, ...Array.from({ length: 300 }, (_, nth) => `${set}${nth}`));
    assert.equal(await keys.aside('RENAME', 'a', 'b'), OK);
    assert.equal(keys.begunElsewhere, 0);
    keys.headReads = 0;
    assert.equal(await keys.aside('SUNIONSTORE', 'u', 's', 't'), 600);
    // Those of both sets, and one more with the slice, for the pin.
    assert.equal(keys.headReads, 3);
    assert.deepEqual([keys.begunElsewhere, keys.run('SCARD', 'u')], [1, 600]);
    keys.check('u');
  });

  test('is computed elsewhere when it takes too long here, and refused when there is nobody else', async () => {
    const keys = new Keys();
    keys.fill('a', 3_000);
    const payload = keys.run('DUMP', 'a') as Buffer;
    const { clock } = keys;
    // Time passes with each look at the clock.
    clock.monotonicMs = () => {
      clock.advance(300);
      return clock.monotonic;
    };
    await assert.rejects(keys.aside('RESTORE', 'r', '0', payload), /for more than 400 ms/);
    assert.equal(keys.run('EXISTS', 'r'), 0);
    keys.hasOtherThread = true;
    assert.equal(await keys.aside('RESTORE', 'r', '0', payload), OK);
    assert.deepEqual([keys.begunElsewhere, keys.run('HLEN', 'r')], [1, 3_000]);
    keys.check('r');
  });

  test('is begun elsewhere when it is long for certain, and is refused when the value it adds to has rows by now', async () => {
    const keys = new Keys();
    keys.hasOtherThread = true;
    keys.isFilled = { isFill: true };
    const fields = Array.from({ length: 2_000 }, (_, nth) => [`f${nth}`, `v${nth}`]).flat();
    assert.equal(await keys.aside('HSET', 'a', ...fields), 2_000);
    assert.deepEqual([keys.begunElsewhere, keys.run('HLEN', 'a')], [1, 2_000]);
    keys.check('a');
    await assert.rejects(keys.aside('HSET', 'a', ...fields), /^RedisError: TRYAGAIN the value has become large/);
    assert.equal(keys.openMoments, 0);
  });

  test('is begun again while its group is too busy to say how far it is, and given up after a time', async () => {
    const keys = new Keys();
    keys.fill('a', 100);
    let busy = 3;
    keys.beforeMoment = () => {
      if (busy-- > 0) throw new SnapshotUncoveredError('busy');
    };
    assert.equal(await keys.aside('RENAME', 'a', 'b'), OK);
    keys.check('b');
    busy = 100;
    await assert.rejects(keys.aside('RENAME', 'b', 'c'), SnapshotUncoveredError);
    assert.ok(busy > 90, `${100 - busy} attempts`);
  });

  test('has the alarm of its source, also when that has rung and was not heard', async () => {
    const keys = new Keys();
    keys.fill('a', 300);
    keys.run('HPEXPIRE', 'a', '1', 'FIELDS', '2', 'f1', 'f2');
    keys.run('HPEXPIRE', 'a', '9000000', 'FIELDS', '1', 'f3');
    keys.state.skewMs = 120_000;
    assert.equal(await keys.aside('COPY', 'a', 'b'), 1);
    assert.equal(keys.run('HLEN', 'b'), 298);
    const alarms = [...keys.state.values.values()].filter(({ key }) => key[headOf('b').length] === RowKind.Alarm);
    assert.equal(alarms.filter(({ key }) => key.subarray(0, headOf('b').length).equals(headOf('b'))).length, 1);
    keys.check('b');
  });

  test('answers what the command answers when it writes nothing', async () => {
    const keys = new Keys();
    keys.fill('a', 300);
    keys.run('SET', 'b', '1');
    assert.equal(await keys.aside('COPY', 'a', 'b'), 0);
    await assert.rejects(keys.aside('RENAME', 'nothing', 'b'), /no such key/);
    await assert.rejects(keys.aside('SUNIONSTORE', 'c', 'a'), /WRONGTYPE/);
    assert.equal(keys.slices.length, 0);
  });
});

describe('a command that writes a whole value', () => {
  test('is stopped when that is more than one entry takes, and before when each row would come from afar', () => {
    const keys = new Keys();
    keys.fill('a', 4_097);
    keys.fill('small', 1_100);
    const rename = (name: string, isSpanning: boolean): void => {
      const view: KeyView = new FakeView(keys.state);
      const spanning = Object.assign(view, isSpanning ? { prefetch: () => {} } : {});
      const spec = dataCommands.find((command) => command.name === 'rename')!;
      assert.ok(spec.handler?.kind === 'data');
      const settings = { random: new SeededRandom(1), maxStringBytes: 1 << 20 };
      const ctx = new EvaluationContext(new WholeValueView(spanning), 0, 2, settings, new Effects());
      spec.handler.run(
        ctx,
        ['rename', name, 'b'].map((argument) => Buffer.from(argument)),
      );
    };
    assert.throws(() => rename('a', false), { code: 'BUILD_ASIDE' });
    rename('small', false);
    assert.throws(() => rename('small', true), { code: 'EVALUATION_TOO_LONG' });
  });
});
