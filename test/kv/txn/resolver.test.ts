/** What the resolver asks, how much of it at a time, and what it leaves alone. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { NotOwnerError } from '../../../src/kv/contract/errors.ts';
import type { LockFacts, StatusReply, TxnIdentity, Verdict } from '../../../src/kv/contract/txn.ts';
import { ForgottenStatusError, LockResolver } from '../../../src/kv/txn/resolver.ts';
import { TxnStatusCache } from '../../../src/kv/txn/status-cache.ts';
import { type GroupId, groupId, hlcTimestamp, SeededRandom } from '../../../src/platform/index.ts';
import { OutcomeUnknownError } from '../../../src/raftengine/errors.ts';
import { ManualClock, ManualScheduler } from '../../support/manual-time.ts';

const HERE = groupId(2);
const THERE = groupId(3);
const COMMITTED: StatusReply = { kind: 'committed', commitTs: hlcTimestamp(9n) };

const idOf = (number: number): Buffer => {
  const id = Buffer.alloc(16);
  id.writeUInt32BE(number);
  return id;
};

const lockOf = (txn: number, key = `k${txn}`): LockFacts => ({
  txnId: idOf(txn),
  primary: Buffer.from(`p${txn}`),
  startTs: hlcTimestamp(1n),
  key: Buffer.from(key),
  kind: 'put',
  end: undefined,
  minCommitTs: hlcTimestamp(2n),
  deadlineTs: hlcTimestamp(3n),
});

class ResolverHarness {
  readonly clock = new ManualClock();
  readonly scheduler = new ManualScheduler(this.clock);
  readonly asked: {
    readonly txn: TxnIdentity;
    readonly group: GroupId;
    readonly answer: (reply: StatusReply | Error) => void;
  }[] = [];
  readonly resolved: Verdict[][] = [];
  readonly errors: unknown[] = [];
  expired: LockFacts[] = [];
  looks: number[] = [];
  readonly resolver = new LockResolver({
    client: {
      status: (group, txn) =>
        new Promise((resolve, reject) => {
          const answer = (reply: StatusReply | Error) => (reply instanceof Error ? reject(reply) : resolve(reply));
          this.asked.push({ txn, group, answer });
        }),
    },
    kv: { groupOf: () => THERE },
    led: () => [
      {
        group: HERE,
        txns: {
          expiredLocks: (limit) => {
            this.looks.push(limit);
            return this.expired.slice(0, limit);
          },
          resolve: async (verdicts) => {
            this.resolved.push([...verdicts]);
            return verdicts.length;
          },
        },
      },
    ],
    clock: this.clock,
    scheduler: this.scheduler,
    random: new SeededRandom(1),
    onError: (error) => this.errors.push(error),
  });

  async pass(ms = 0): Promise<void> {
    for (let turn = 0; turn < 3; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      this.scheduler.passTurn();
    }
    if (ms === 0) return;
    this.scheduler.advance(ms);
    await this.pass();
  }
}

describe('the resolver', () => {
  test('asks the group of the primary and has the group of the lock carry the status out', async () => {
    const bed = new ResolverHarness();
    bed.resolver.onLockMet(HERE, lockOf(1));
    assert.deepEqual(
      bed.asked.map(({ group, txn }) => [group, txn.primary.toString()]),
      [[THERE, 'p1']],
    );
    bed.asked[0]!.answer(COMMITTED);
    await bed.pass();
    assert.deepEqual(bed.resolved, [[{ txnId: idOf(1), key: Buffer.from('k1'), end: undefined, status: COMMITTED }]]);
  });

  test('asks once for all locks of a transaction, and never again when it knows', async () => {
    const bed = new ResolverHarness();
    for (const key of ['a', 'b', 'a']) bed.resolver.onLockMet(HERE, lockOf(1, key));
    bed.asked[0]!.answer({ kind: 'rolledBack' });
    await bed.pass();
    bed.resolver.onLockMet(HERE, lockOf(1, 'c'));
    await bed.pass();
    assert.equal(bed.asked.length, 1);
    assert.deepEqual(
      bed.resolved.map((verdicts) => verdicts.map(({ key }) => key.toString())),
      [['a', 'b'], ['c']],
    );
  });

  test('leaves a transaction alone that may still be committed, and asks again a little later', async () => {
    const bed = new ResolverHarness();
    bed.resolver.onLockMet(HERE, lockOf(1));
    bed.asked[0]!.answer({ kind: 'pending', deadlineTs: hlcTimestamp(99n) });
    await bed.pass();
    assert.deepEqual(bed.resolved, []);
    await bed.pass(200);
    assert.equal(bed.asked.length, 2);
    bed.asked[1]!.answer(COMMITTED);
    await bed.pass();
    assert.equal(bed.resolved.length, 1);
  });

  test('reports a lock whose transaction is forgotten, and does not touch it', async () => {
    const bed = new ResolverHarness();
    bed.resolver.onLockMet(HERE, lockOf(1));
    bed.asked[0]!.answer({ kind: 'forgotten' });
    await bed.pass();
    assert.ok(bed.errors[0] instanceof ForgottenStatusError);
    assert.deepEqual(bed.resolved, []);
  });

  test('asks again when an answer was lost, and where the primary has gone', async () => {
    const bed = new ResolverHarness();
    bed.resolver.onLockMet(HERE, lockOf(1));
    bed.asked[0]!.answer(new OutcomeUnknownError('lost'));
    await bed.pass(200);
    bed.asked[1]!.answer(new NotOwnerError(HERE));
    await bed.pass(200);
    assert.equal(bed.asked[2]!.group, HERE);
    bed.asked[2]!.answer(COMMITTED);
    await bed.pass();
    assert.equal(bed.resolved.length, 1);
  });

  test('asks for 16 statuses at a time, and carries 100 out in one entry', async () => {
    const bed = new ResolverHarness();
    for (let txn = 1; txn <= 250; txn++) bed.resolver.onLockMet(HERE, lockOf(txn));
    let answered = 0;
    while (answered < 250) {
      assert.ok(bed.asked.length - answered <= 16);
      for (const { answer } of bed.asked.slice(answered)) {
        answered++;
        answer(COMMITTED);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    await bed.pass();
    assert.deepEqual(
      bed.resolved.map(({ length }) => length),
      [100, 100, 50],
    );
  });

  test('looks every second at locks that have run out, a batch at a time', async () => {
    const bed = new ResolverHarness();
    bed.expired = Array.from({ length: 150 }, (_, at) => lockOf(at));
    bed.resolver.start();
    await bed.pass(1_000);
    assert.deepEqual(bed.looks, [100]);
    await bed.pass(2_000);
    assert.deepEqual(bed.looks, [100, 100, 100]);
    bed.resolver.stop();
    await bed.pass(5_000);
    assert.equal(bed.looks.length, 3);
  });
});

describe('the cache of statuses', () => {
  test('forgets what was not asked for the longest', () => {
    const cache = new TxnStatusCache(2);
    const status = { kind: 'rolledBack' } as const;
    cache.set(idOf(1), status);
    cache.set(idOf(2), status);
    assert.equal(cache.get(idOf(1)), status);
    cache.set(idOf(3), status);
    assert.equal(cache.get(idOf(2)), undefined);
    assert.equal(cache.get(idOf(1)), status);
    assert.equal(cache.size, 2);
  });
});
