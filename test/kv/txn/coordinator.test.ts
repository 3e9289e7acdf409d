/** Single stories of coordinators: the traces that a design without one of the guards would get wrong. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConflictError } from '../../../src/kv/contract/errors.ts';
import type { TxnClient } from '../../../src/kv/contract/txn.ts';
import type { KeyView } from '../../../src/kv/contract/view.ts';
import {
  DEFAULT_TRANSACTION_LIMITS,
  type TransactionLimits,
  TransactionUnknownError,
} from '../../../src/kv/txn/coordinator-types.ts';
import { TransactionRunner } from '../../../src/kv/txn/transaction-runner.ts';
import { type HlcTimestamp, hlcTimestamp, NEVER } from '../../../src/platform/index.ts';
import { OutcomeUnknownError, TooLargeError } from '../../../src/raftengine/errors.ts';
import { finish, request } from './entries.ts';
import { ModelCluster, NO_FAULTS, type Removed, startProcess } from './model-cluster.ts';

/** Keys of different groups, the last one where there are four. */
const [A, B, C, D] = [Buffer.from('a'), Buffer.from('b'), Buffer.from('c'), Buffer.from('d')] as const;
const ID = Buffer.alloc(16, 7);

const put = (view: KeyView, key: Buffer, value: string): void => view.put(key, Buffer.from(value), NEVER);

interface CoordinatedCluster {
  readonly cluster: ModelCluster;
  readonly runner: TransactionRunner;
  /** Settles a promise in virtual time. */
  end<T>(promise: Promise<T>): Promise<T>;
  soon(ms?: number): number;
}

function bed(
  options: {
    readonly removed?: Removed;
    readonly wrap?: (client: TxnClient) => Partial<TxnClient>;
    readonly groups?: number;
    readonly limits?: Partial<TransactionLimits>;
  } = {},
): CoordinatedCluster {
  const cluster = new ModelCluster(1, NO_FAULTS, options.removed, options.groups);
  const parts = cluster.partsOf(startProcess('coordinator'));
  const client = { ...parts.client, ...options.wrap?.(parts.client) };
  const runner = new TransactionRunner({ ...parts, client, limits: options.limits ?? {} });
  return {
    cluster,
    runner,
    end: (promise) => cluster.simulation.runToEnd(promise),
    soon: (ms = 5_000) => cluster.simulation.nowMs() + ms,
  };
}

const putAll = (view: KeyView, keys: readonly Buffer[]): void => {
  for (const key of keys) put(view, key, 'x');
};

const writeBoth = (view: KeyView): void => {
  put(view, A, 'one');
  put(view, B, 'two');
};

describe('the traces of transactions across groups', () => {
  /** Somebody asks for the status of the transaction when its first PREPARE has not arrived. */
  const asked = (removed: Removed) => {
    const statuses: string[] = [];
    let isAsked = false;
    const made = bed({
      removed,
      wrap: (client) => ({
        prepare: async (group, request) => {
          if (!isAsked) {
            isAsked = true;
            statuses.push((await client.status(made.cluster.owner(request.primary), request)).kind);
          }
          return client.prepare(group, request);
        },
      }),
    });
    return { ...made, statuses };
  };

  test('T1: whose status was told before it was prepared cannot be prepared any more', async () => {
    const { runner, end, soon, statuses, cluster } = asked({});
    const running = runner.run({ keys: [], deadlineMs: soon(), txnId: ID }, writeBoth);
    await assert.rejects(end(running), { code: 'TXN_ABORTED' });
    assert.deepEqual(statuses, ['rolledBack']);
    assert.equal(cluster.peek(A), undefined);
    assert.equal(cluster.peek(B), undefined);
  });

  test('T1, without its guard: it is told to be rolled back, and is committed', async () => {
    const { runner, end, soon, statuses, cluster } = asked({ statusRecord: true });
    await end(runner.run({ keys: [], deadlineMs: soon(), txnId: ID }, writeBoth));
    assert.deepEqual(statuses, ['rolledBack']);
    assert.equal(cluster.peek(A), 'one');
  });

  test('T1: a lock that is met before the primary has its own ends the attempt and nothing more', async () => {
    const statuses: string[] = [];
    let meet = (): void => {};
    const met = new Promise<void>((resolve) => {
      meet = resolve;
    });
    const { cluster, runner, end, soon } = bed({
      wrap: (client) => ({
        prepare: async (group, request) => {
          const { key } = request.keys[0]!;
          // The question for the primary is on its way until somebody has met the lock of the other key.
          if (key.equals(A)) await met;
          const reply = await client.prepare(group, request);
          if (key.equals(B) && statuses.length === 0) {
            assert.deepEqual(cluster.locked(), ['b']);
            statuses.push((await client.status(cluster.owner(A), request)).kind);
            meet();
          }
          return reply;
        },
      }),
    });
    await end(runner.run({ keys: [], deadlineMs: soon() }, writeBoth));
    await end(runner.coordinator.idle());
    assert.deepEqual(statuses, ['rolledBack']);
    assert.deepEqual([cluster.peek(A), cluster.peek(B), cluster.locked()], ['one', 'two', []]);
  });

  test('T1: all groups are asked at once, and the primary before all others when an attempt was lost', async () => {
    const order: string[] = [];
    let isLost = false;
    const { runner, end, soon } = bed({
      wrap: (client) => ({
        prepare: async (group, request) => {
          const { key } = request.keys[0]!;
          order.push(`ask ${key}`);
          if (!isLost && key.equals(B)) {
            isLost = true;
            return { kind: 'changed', key };
          }
          const reply = await client.prepare(group, request);
          order.push(`got ${key}`);
          return reply;
        },
      }),
    });
    await end(runner.run({ keys: [], deadlineMs: soon() }, (view) => [C, B, A].map((key) => put(view, key, 'x'))));
    assert.deepEqual(order.slice(0, 3).toSorted(), ['ask a', 'ask b', 'ask c']);
    const again = order.slice(order.lastIndexOf('ask a'));
    assert.deepEqual(again.slice(0, 2), ['ask a', 'got a']);
    assert.deepEqual(again.slice(2, 4).sort(), ['ask b', 'ask c']);
  });

  test('T1: work with a key that was lost a moment ago locks the primary before all others', async () => {
    const order: string[] = [];
    let isLost = false;
    const { cluster, runner, end, soon } = bed({
      wrap: (client) => ({
        prepare: async (group, request) => {
          const { key } = request.keys[0]!;
          order.push(`ask ${key}`);
          if (!isLost && key.equals(C)) {
            isLost = true;
            const lock = {
              ...request,
              key,
              kind: 'put',
              end: undefined,
              minCommitTs: NEVER,
              deadlineTs: NEVER,
            } as const;
            return { kind: 'locked', lock };
          }
          const reply = await client.prepare(group, request);
          order.push(`got ${key}`);
          return reply;
        },
      }),
    });
    const write = async (...keys: Buffer[]): Promise<string[]> => {
      order.length = 0;
      await end(runner.run({ keys: [], deadlineMs: soon() }, (view) => putAll(view, keys)));
      await end(runner.coordinator.idle());
      return order.slice(0, 2);
    };
    assert.deepEqual(await write(A, C), ['ask a', 'ask c']);
    assert.deepEqual(await write(B, C), ['ask b', 'got b']);
    assert.deepEqual(await write(A, B), ['ask a', 'ask b']);
    await cluster.simulation.runFor(1_001);
    assert.deepEqual(await write(B, C), ['ask b', 'ask c']);
  });

  test('T2: a snapshot that was read is not written into afterwards', async () => {
    const { cluster, runner, end, soon } = bed();
    const readTs = (await end(runner.begin({ isolation: 'snapshot', deadlineMs: soon() }))).startTs;
    const later = hlcTimestamp(readTs + (400n << 16n));
    const parts = cluster.partsOf(startProcess('reader'));
    assert.deepEqual((await end(parts.client.read(cluster.owner(B), { keys: [B], readTs: later }))).rows, [undefined]);
    const { commitTs } = await end(runner.run({ keys: [], deadlineMs: soon() }, writeBoth));
    assert.ok(commitTs! > later);
    await end(runner.coordinator.idle());
    assert.deepEqual((await end(parts.client.read(cluster.owner(B), { keys: [B], readTs: later }))).rows, [undefined]);
  });

  test('T2: the commit timestamp is drawn after the last PREPARE was answered', async () => {
    const order: string[] = [];
    const cluster = new ModelCluster(2, NO_FAULTS);
    const parts = cluster.partsOf(startProcess('coordinator'));
    const runner = new TransactionRunner({
      ...parts,
      timestamps: {
        timestamp: (after) => {
          order.push(after === undefined ? 'begin' : 'commit');
          return parts.timestamps.timestamp(after);
        },
      },
      client: {
        ...parts.client,
        prepare: async (group, request) => {
          const reply = await parts.client.prepare(group, request);
          order.push('prepared');
          return reply;
        },
      },
    });
    await cluster.simulation.runToEnd(runner.run({ keys: [], deadlineMs: 5_000 }, writeBoth));
    assert.deepEqual(order, ['begin', 'prepared', 'prepared', 'commit']);
  });

  test('T3: a transaction that has read what another has changed does not commit', async () => {
    const { runner, end, soon, cluster } = bed();
    const reader = await end(runner.begin({ isolation: 'serializable', deadlineMs: soon() }));
    assert.equal(await end(reader.get(A)), undefined);
    await reader.put(B, Buffer.from('from the reader'), NEVER);
    await end(
      runner.run({ keys: [A, B], deadlineMs: soon() }, (view) => {
        assert.equal(view.get(B), undefined);
        put(view, A, 'changed');
      }),
    );
    await assert.rejects(end(reader.commit(soon())), ConflictError);
    assert.equal(cluster.peek(B), undefined);
  });

  test('T4: what begins after an acknowledgement has the larger timestamp, whatever the clocks of groups say', async () => {
    // Nothing that two transactions in a row have in common could bring their timestamps in order but the oracle.
    const { runner, end, soon } = bed({ groups: 4 });
    let last: HlcTimestamp = NEVER;
    for (let round = 0; round < 10; round++) {
      const keys = round % 2 === 0 ? [A, B] : [C, D];
      const { commitTs } = await end(
        runner.run({ keys: [], deadlineMs: soon() }, (view) => keys.map((key) => put(view, key, 'x'))),
      );
      assert.ok(commitTs! > last);
      last = commitTs!;
    }
  });

  test('T13: a repetition finds what the first attempt did, also after the keys have moved', async () => {
    let isLost = false;
    const { cluster, runner, end, soon } = bed({
      wrap: (client) => ({
        commitOnePhase: async (group, request) => {
          const reply = await client.commitOnePhase(group, request);
          if (isLost) return reply;
          isLost = true;
          cluster.move(A, cluster.groups[2]!);
          throw new OutcomeUnknownError(`lost: ${reply.kind}`);
        },
      }),
    });
    const count = (view: KeyView): number => {
      const next = Number(view.get(A)?.value.toString() ?? 0) + 1;
      put(view, A, String(next));
      return next;
    };
    const first = await end(runner.run({ keys: [A], deadlineMs: soon(), txnId: ID }, count));
    assert.equal(cluster.peek(A), '1');
    const again = await end(runner.run({ keys: [A], deadlineMs: soon(), txnId: ID, isRetry: true }, count));
    assert.equal(again.commitTs, first.commitTs);
    assert.equal(cluster.peek(A), '1');
  });

  test('T14: a question that comes late, after its repetition was answered, changes nothing', async () => {
    const late: (() => Promise<unknown>)[] = [];
    const { cluster, runner, end, soon } = bed({
      wrap: (client) => ({
        commitOnePhase: (group, request) => {
          late.push(() => client.commitOnePhase(group, request));
          return late.length === 1
            ? Promise.reject(new OutcomeUnknownError('paused'))
            : client.commitOnePhase(group, request);
        },
        prepare: (group, request) => {
          late.push(() => client.prepare(group, request));
          return client.prepare(group, request);
        },
        commit: (group, request) => {
          late.push(() => client.commit(group, request));
          return client.commit(group, request);
        },
      }),
    });
    await end(runner.run({ keys: [], deadlineMs: soon() }, (view) => put(view, A, 'first')));
    await end(runner.run({ keys: [], deadlineMs: soon() }, writeBoth));
    await end(runner.coordinator.idle());
    await end(runner.run({ keys: [], deadlineMs: soon() }, (view) => put(view, A, 'last')));
    for (const question of late) await end(question());
    assert.equal(cluster.peek(A), 'last');
    assert.equal(cluster.peek(B), 'two');
    assert.deepEqual(cluster.locked(), []);
  });
});

describe('a coordinator', () => {
  test('says that it does not know, and with which id to ask', async () => {
    const { runner, end, soon } = bed({
      wrap: (client) => ({
        commit: async (group, request) => {
          await client.commit(group, request);
          throw new OutcomeUnknownError('lost');
        },
      }),
    });
    const error: unknown = await end(runner.run({ keys: [], deadlineMs: soon(300), txnId: ID }, writeBoth)).catch(
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof TransactionUnknownError);
    assert.ok(error.txnId.equals(ID));
    const status = await end(runner.statusOf(ID, error.primary, NEVER, soon()));
    assert.equal(status.kind, 'committed');
  });

  test('takes what is in one group there in one step, without locks', async () => {
    const asked: string[] = [];
    const { runner, end, soon } = bed({
      wrap: (client) => ({
        commitOnePhase: (group, request) => {
          asked.push('one');
          return client.commitOnePhase(group, request);
        },
        prepare: (group, request) => {
          asked.push('prepare');
          return client.prepare(group, request);
        },
      }),
    });
    await end(
      runner.run({ keys: [], deadlineMs: soon() }, (view) => [A, Buffer.from('d')].map((key) => put(view, key, 'x'))),
    );
    assert.deepEqual(asked, ['one']);
  });

  /** `first` happens before the first question of a commit in one group, which comes once more when all is over. */
  const inOne = (first: (cluster: ModelCluster) => Promise<void>, removed: Removed = {}) => {
    let late: (() => Promise<unknown>) | undefined;
    const made = bed({
      removed,
      wrap: (client) => ({
        commitOnePhase: async (group, request) => {
          const ask = () => client.commitOnePhase(group, request);
          if (late === undefined) {
            late = ask;
            await first(made.cluster);
          }
          return ask();
        },
      }),
    });
    return { ...made, again: () => made.end(late!().catch(() => undefined)) };
  };
  /** What an append leaves whose first question meets a lock that is rolled back, and comes again after the second. */
  const metLock = async (removed: Removed): Promise<string | undefined> => {
    const other = request({ txnId: Buffer.alloc(16, 9), primary: A, startTs: NEVER }, [
      { key: A, kind: 'put', value: Buffer.from('o'), expireTs: NEVER, expected: undefined },
    ]);
    const { runner, end, soon, again, cluster } = inOne(async (model) => {
      const parts = model.partsOf(startProcess('other'));
      await parts.client.prepare(model.owner(A), other);
      model.simulation.schedule(50, 'rolled back', () => {
        parts.client.abort(model.owner(A), finish(other, ['a']));
      });
    }, removed);
    await end(runner.run({ keys: [], deadlineMs: soon() }, (view) => put(view, A, 'x')));
    await end(runner.run({ keys: [], deadlineMs: soon() }, (view) => put(view, A, 'later')));
    await again();
    return cluster.peek(A);
  };

  test('takes place once when its first question meets a lock and comes again after the second', async () => {
    assert.equal(await metLock({}), 'later');
  });

  test('without the record of what was refused takes place twice', async () => {
    assert.equal(await metLock({ refusalRecord: true }), 'x');
  });

  test('takes place once when its key was elsewhere at the first question, which comes again when it is back', async () => {
    const { runner, end, soon, again, cluster } = inOne(async (model) => {
      const home = model.owner(A);
      model.move(A, model.owner(B));
      model.simulation.schedule(400, 'back', () => model.move(A, home));
    });
    const running = runner.run({ keys: [], deadlineMs: soon(), txnId: ID }, (view) => put(view, A, 'x'));
    await assert.rejects(end(running), { code: 'TXN_ABORTED' });
    await end(cluster.simulation.delay(1_000, 'it moves back'));
    await again();
    assert.equal(cluster.peek(A), undefined);
  });

  test('keeps the primary lock of a long commit alive', async () => {
    let pushes = 0;
    const { cluster, runner, end, soon } = bed({
      wrap: (client) => ({
        push: (group, txn, lockTtlMs) => {
          pushes++;
          return client.push(group, txn, lockTtlMs);
        },
        commit: async (group, request) => {
          await cluster.simulation.delay(request.isPrimary ? 25_000 : 0, 'a long pause');
          return client.commit(group, request);
        },
      }),
    });
    const { commitTs } = await end(runner.run({ keys: [], deadlineMs: soon(60_000) }, writeBoth));
    assert.ok(commitTs !== undefined);
    assert.ok(pushes >= 7 && pushes <= 9, `${pushes} heartbeats`);
  });

  test('is rolled back by others when it falls silent, and hears of it', async () => {
    const { cluster, runner, end, soon } = bed({
      wrap: (client) => ({
        push: () => Promise.reject(new OutcomeUnknownError('cut off')),
        commit: async (group, request) => {
          await cluster.simulation.delay(request.isPrimary ? 25_000 : 0, 'a long pause');
          return client.commit(group, request);
        },
      }),
    });
    await assert.rejects(end(runner.run({ keys: [], deadlineMs: soon(60_000), txnId: ID }, writeBoth)), {
      code: 'TXN_ABORTED',
    });
    assert.equal(cluster.peek(A), undefined);
  });

  test('does not believe that a read was consistent when its locks have run out meanwhile', async () => {
    let attempts = 0;
    const { cluster, runner, end, soon } = bed({
      wrap: (client) => ({
        // Nothing is known of keys that are not there, so they have to be locked.
        read: (group, request) => client.read(group, { ...request, withAbsences: false }),
        prepare: async (group, request) => {
          const isLast = !request.keys[0]!.key.equals(A);
          if (isLast && attempts++ === 0) {
            // The first lock runs out and somebody changes what it protected.
            await cluster.simulation.delay(15_000, 'a long pause');
            const other = new TransactionRunner(cluster.partsOf(startProcess('other')));
            await other.run({ keys: [], deadlineMs: soon(60_000) }, (view) => put(view, A, 'changed'));
          }
          return client.prepare(group, request);
        },
        push: (group, txn, lockTtlMs) =>
          attempts > 0 && cluster.peek(A) === undefined
            ? Promise.reject(new OutcomeUnknownError('cut off'))
            : client.push(group, txn, lockTtlMs),
      }),
    });
    const { reply } = await end(
      runner.run({ keys: [A, B], deadlineMs: soon(60_000), isReadOnly: true }, (view) =>
        [A, B].map((key) => view.get(key)?.value.toString()),
      ),
    );
    assert.deepEqual(reply, ['changed', undefined]);
    assert.equal(attempts, 2);
  });

  test('reads several groups without locks, unless what came and went could have been collected', async () => {
    let locks = 0;
    let collects = false;
    const { runner, end, soon } = bed({
      wrap: (client) => ({
        read: async (group, request) => {
          const reply = await client.read(group, request);
          if (reply.absences === undefined || !collects) return reply;
          return { ...reply, absences: { ...reply.absences, collectedTs: reply.seenTs } };
        },
        prepare: (group, request) => {
          locks++;
          return client.prepare(group, request);
        },
      }),
    });
    await end(runner.run({ keys: [], deadlineMs: soon() }, writeBoth));
    await end(runner.coordinator.idle());
    locks = 0;
    const read = (keys: readonly Buffer[]) =>
      end(
        runner.run({ keys, deadlineMs: soon(), isReadOnly: true }, (view) =>
          keys.map((key) => view.get(key)?.value.toString()),
        ),
      );
    assert.deepEqual((await read([A, B])).reply, ['one', 'two']);
    assert.deepEqual((await read([A, B, C])).reply, ['one', 'two', undefined]);
    const absent = [Buffer.from('n'), Buffer.from('o')];
    assert.deepEqual((await read(absent)).reply, [undefined, undefined]);
    assert.equal(locks, 0);
    collects = true;
    assert.deepEqual((await read(absent)).reply, [undefined, undefined]);
    assert.ok(locks > 0);
  });

  test('asks for many keys a piece at a time, two of each group, the primary first', async () => {
    // The primary, which is the smallest, comes last.
    const names = Array.from({ length: 7_000 }, (_, at) => Buffer.from(`${'cba'[at % 3]}${7_000 - at}`));
    const asked: string[] = [];
    const underWay = new Map<number, number>();
    let most = 0;
    const piece = async <T>(
      kind: string,
      group: number,
      keys: readonly unknown[],
      ask: () => Promise<T>,
    ): Promise<T> => {
      asked.push(kind);
      assert.ok(keys.length <= 1_000, `${keys.length} keys of ${kind}`);
      const count = (underWay.get(group) ?? 0) + 1;
      underWay.set(group, count);
      most = Math.max(most, count);
      try {
        return await ask();
      } finally {
        underWay.set(group, underWay.get(group)! - 1);
      }
    };
    const { cluster, runner, end, soon } = bed({
      wrap: (client) => ({
        read: (group, request) => piece('read', group, request.keys, () => client.read(group, request)),
        prepare: (group, request) =>
          piece(
            request.keys.some(({ key }) => key.equals(request.primary)) ? 'primary' : 'prepare',
            group,
            request.keys,
            () => client.prepare(group, request),
          ),
        commit: (group, request) =>
          piece(request.isPrimary ? 'commit' : 'follow', group, request.writes, () => client.commit(group, request)),
      }),
    });
    await end(runner.run({ keys: [], deadlineMs: soon() }, (view) => putAll(view, names)));
    assert.deepEqual(cluster.locked(), [], 'nobody meets what is left of it');
    assert.deepEqual(asked.slice(0, 2), ['primary', 'prepare']);
    assert.deepEqual(
      asked.filter((kind) => kind !== 'prepare' && kind !== 'follow'),
      ['primary', 'commit'],
    );
    assert.equal(most, 2);
    const removed = await end(
      runner.run({ keys: names, deadlineMs: soon(20_000) }, (view) => {
        const there = names.filter((key) => view.get(key) !== undefined);
        for (const key of there) view.delete(key);
        return there.length;
      }),
    );
    assert.equal(removed.reply, names.length);
    await end(runner.coordinator.idle());
    assert.equal(names.filter((key) => cluster.peek(key) !== undefined).length, 0);
    assert.deepEqual(cluster.locked(), []);
  });

  test('reads many keys of one group as of one moment', async () => {
    const names = Array.from({ length: 1_500 }, (_, at) => Buffer.from(`a${at}`));
    let reads = 0;
    const { cluster, runner, end, soon } = bed({
      wrap: (client) => ({
        read: async (group, request) => {
          const reply = await client.read(group, request);
          if (reads++ === 0) {
            const other = new TransactionRunner(cluster.partsOf(startProcess('other')));
            await other.run({ keys: [], deadlineMs: soon() }, (view) => putAll(view, [names[0]!, names[1_400]!]));
          }
          return reply;
        },
      }),
    });
    const { reply } = await end(
      runner.run({ keys: names, deadlineMs: soon(), isReadOnly: true }, (view) =>
        names.filter((key) => view.get(key) !== undefined).map(String),
      ),
    );
    assert.deepEqual(reply, ['a0', 'a1400']);
  });

  test('lets go of the pieces that it has locked when one cannot be, and asks for no more', async () => {
    const names = Array.from({ length: 12_000 }, (_, at) =>
      Buffer.from(`${'abc'[at % 3]}${String(at).padStart(5, '0')}`),
    );
    let prepares = 0;
    const aborted: string[] = [];
    const { cluster, runner, end, soon } = bed({
      wrap: (client) => ({
        prepare: (group, request) => {
          if (++prepares === 3) return Promise.resolve({ kind: 'tooOld' });
          return client.prepare(group, request);
        },
        abort: (group, request) => {
          for (const key of request.writes) aborted.push(key.toString());
          return client.abort(group, request);
        },
      }),
    });
    const running = runner.run({ keys: [], deadlineMs: soon() }, (view) => putAll(view, names));
    await assert.rejects(end(running), { code: 'RETRY_TOO_OLD' });
    await end(runner.coordinator.idle());
    assert.deepEqual(cluster.locked(), []);
    assert.ok(prepares < 10, `${prepares} pieces`);
    assert.ok(aborted.length <= prepares * 1_000, `${aborted.length} aborted`);
  });

  test('refuses more keys than a transaction may have before it reads any, and reads as many as it likes', async () => {
    let asked = 0;
    const { runner, end, soon } = bed({
      limits: { maxKeys: 2_500 },
      wrap: (client) => ({
        read: (group, request) => {
          asked++;
          return client.read(group, request);
        },
      }),
    });
    const names = Array.from({ length: 2_501 }, (_, at) => Buffer.from(`${'abc'[at % 3]}${at}`));
    const body = (view: KeyView): number => names.filter((key) => view.get(key) !== undefined).length;
    await assert.rejects(end(runner.run({ keys: names, deadlineMs: soon() }, body)), {
      code: 'TOO_LARGE',
      message: /2501 keys .* 2500/,
    });
    assert.equal(asked, 0);
    assert.equal((await end(runner.run({ keys: names, deadlineMs: soon(60_000), isReadOnly: true }, body))).reply, 0);
  });

  test('refuses what is too large before anything is locked', async () => {
    const { runner, end, soon, cluster } = bed();
    const large = Buffer.alloc(DEFAULT_TRANSACTION_LIMITS.maxBytes / 2);
    const running = runner.run({ keys: [], deadlineMs: soon() }, (view) => {
      view.put(A, large, NEVER);
      view.put(B, large, NEVER);
    });
    await assert.rejects(end(running), TooLargeError);
    assert.deepEqual(cluster.locked(), []);
  });

  test('reads what a function says that it will read in one round, and a path through many rows a row at a time', async () => {
    const rounds: number[] = [];
    const { cluster, runner, end, soon } = bed({
      wrap: (client) => ({
        read: (group, request) => {
          rounds.push(request.keys.length);
          return client.read(group, request);
        },
      }),
    });
    const pages = Array.from({ length: 40 }, (_, at) => Buffer.from(`a page ${at}`));
    const sum = (view: KeyView): number => {
      view.get(A);
      view.prefetch?.(pages);
      return pages.filter((page) => view.get(page) !== undefined).length;
    };
    await end(runner.run({ keys: [], deadlineMs: soon() }, (view) => putAll(view, [A, B, ...pages])));
    rounds.length = 0;
    const { reply } = await end(
      runner.run({ keys: [A], deadlineMs: soon() }, (view) => {
        put(view, B, String(sum(view)));
        return sum(view);
      }),
    );
    assert.deepEqual([reply, cluster.peek(B)?.toString()], [40, '40']);
    assert.deepEqual(rounds, [1, 40]);
    // A chain of rows, each of which says where the next is.
    const chain = Array.from({ length: 100 }, (_, at) => Buffer.from(`a link ${at}`));
    await end(
      runner.run({ keys: [], deadlineMs: soon() }, (view) => {
        for (const [at, link] of chain.entries()) put(view, link, chain[at + 1]?.toString() ?? '');
      }),
    );
    const walked = await end(
      runner.run({ keys: [A, B], deadlineMs: soon(60_000) }, (view) => {
        let links = 0;
        for (let at: Buffer = chain[0]!; at.length > 0; at = view.get(at)!.value) links++;
        put(view, B, 'walked');
        return links;
      }),
    );
    assert.equal(walked.reply, 100);
  });

  test('locks nothing that was only asked for beforehand', async () => {
    const locked = new Set<string>();
    const { runner, end, soon } = bed({
      wrap: (client) => ({
        prepare: (group, request) => {
          for (const { key } of request.keys) locked.add(key.toString());
          return client.prepare(group, request);
        },
      }),
    });
    await end(
      runner.run({ keys: [], deadlineMs: soon() }, (view) => {
        view.prefetch?.([A, C]);
        view.get(A);
        put(view, B, 'x');
      }),
    );
    assert.deepEqual([...locked].sort(), ['a', 'b']);
  });

  test('answers a function that asks for more than it reads, as of one moment', async () => {
    let reads = 0;
    const { runner, end, soon } = bed({
      wrap: (client) => ({
        read: (group, request) => {
          reads++;
          return client.read(group, request);
        },
      }),
    });
    const { reply } = await end(
      runner.run({ keys: [A], deadlineMs: soon(), isReadOnly: true }, (view) => {
        view.prefetch?.([A, B, C]);
        return [A, B].map((key) => view.get(key));
      }),
    );
    assert.deepEqual(reply, [undefined, undefined]);
    assert.ok(reads < 12, `${reads} reads`);
  });

  test('refuses to read more beforehand than a transaction may have', async () => {
    let read = 0;
    const { runner, end, soon } = bed({
      limits: { maxKeys: 100 },
      wrap: (client) => ({
        read: (group, request) => {
          read += request.keys.length;
          return client.read(group, request);
        },
      }),
    });
    const names = Array.from({ length: 101 }, (_, at) => Buffer.from(`${'abc'[at % 3]}${at}`));
    const running = runner.run({ keys: [], deadlineMs: soon() }, (view) => {
      view.prefetch?.(names);
      put(view, A, 'x');
    });
    await assert.rejects(end(running), { code: 'TOO_LARGE' });
    assert.equal(read, 0);
  });

  test('refuses to find more than one evaluation is for, however many are named, and before it reads them', async () => {
    let read = 0;
    const { runner, end, soon } = bed({
      limits: { maxFoundKeys: 50 },
      wrap: (client) => ({
        read: (group, request) => {
          read += request.keys.length;
          return client.read(group, request);
        },
      }),
    });
    const named = Array.from({ length: 90 }, (_, at) => Buffer.from(`${'abc'[at % 3]}${at}`));
    const found = Array.from({ length: 51 }, (_, at) => Buffer.from(`${'abc'[at % 3]}found ${at}`));
    const run = (isReadOnly: boolean, count: number) =>
      end(
        runner.run({ keys: named, deadlineMs: soon(), isReadOnly }, (view) => {
          for (const key of named) view.get(key);
          view.prefetch?.(found.slice(0, count));
          for (const key of found.slice(0, count)) view.get(key);
          return 'read';
        }),
      );
    assert.equal((await run(true, 50)).reply, 'read');
    for (const isReadOnly of [true, false]) {
      read = 0;
      await assert.rejects(run(isReadOnly, 51), { code: 'TOO_LARGE', message: /more than 50 rows of collections/ });
      assert.ok(read <= 3 * named.length, 'what is too much is not read');
    }
  });

  test('leaves no effects of a function that fails, and says what it said', async () => {
    const { runner, end, soon, cluster } = bed();
    const failing = runner.run({ keys: [A], deadlineMs: soon() }, (view) => {
      view.get(A);
      put(view, B, 'x');
      throw new RangeError('no');
    });
    await assert.rejects(end(failing), RangeError);
    assert.equal(cluster.peek(B), undefined);
  });
});

describe('a transaction under snapshot isolation', () => {
  test('reads as of its beginning, and loses when somebody else wrote its keys', async () => {
    const { runner, end, soon, cluster } = bed();
    await end(runner.run({ keys: [], deadlineMs: soon() }, writeBoth));
    await end(runner.coordinator.idle());
    const one = await end(runner.begin({ isolation: 'snapshot', deadlineMs: soon() }));
    await end(runner.run({ keys: [], deadlineMs: soon() }, (view) => put(view, A, 'newer')));
    assert.equal((await end(one.get(A)))?.value.toString(), 'one');
    await one.put(A, Buffer.from('lost'), NEVER);
    await assert.rejects(end(one.commit(soon())), ConflictError);
    assert.equal(cluster.peek(A), 'newer');
  });

  test('loses also when it has not read what it writes', async () => {
    const { runner, end, soon, cluster } = bed();
    const one = await end(runner.begin({ isolation: 'snapshot', deadlineMs: soon() }));
    await end(runner.run({ keys: [], deadlineMs: soon() }, writeBoth));
    await one.put(A, Buffer.from('lost'), NEVER);
    await assert.rejects(end(one.commit(soon())), ConflictError);
    assert.equal(cluster.peek(A), 'one');
  });

  test('may read what others are about to change', async () => {
    const { runner, end, soon, cluster } = bed();
    const one = await end(runner.begin({ isolation: 'snapshot', deadlineMs: soon() }));
    const other = await end(runner.begin({ isolation: 'snapshot', deadlineMs: soon() }));
    assert.equal(await end(one.get(B)), undefined);
    assert.equal(await end(other.get(A)), undefined);
    await one.put(A, Buffer.from('x'), NEVER);
    await other.put(B, Buffer.from('y'), NEVER);
    await end(one.commit(soon()));
    await end(other.commit(soon()));
    assert.deepEqual([cluster.peek(A), cluster.peek(B)], ['x', 'y']);
  });
});
