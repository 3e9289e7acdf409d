/** What entries of transactions do, row by row of the table in docs/design/data-plane/transactions.md. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { statusName } from '../../../src/kv/apply/lock-rows.ts';
import { GroupStateMachine } from '../../../src/kv/apply/state-machine.ts';
import type { TxnStatus } from '../../../src/kv/contract/txn.ts';
import { ABSENT, encodeBatch, encodeSetGc } from '../../../src/kv/entry/entry.ts';
import { encodeSpan } from '../../../src/kv/entry/span-entries.ts';
import { encodePrepare } from '../../../src/kv/entry/txn-entries.ts';
import { groupId, SeededRandom } from '../../../src/platform/index.ts';
import { EntryKind } from '../../../src/raftengine/core/types.ts';
import type { GroupStore } from '../../../src/store/contract/types.ts';
import { openGroupStore } from '../../../src/store/group/open.ts';
import { SimulatedLevels } from '../../../src/store/level/simulated-level.ts';
import { ASSIGN_ALL, bytes, CONF } from '../../support/lone-group.ts';
import { MemoryDisk } from '../../support/memory-disk.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { del, entry, finish, put, putSince, range, read, request, ts, txn } from './entries.ts';

/** Whatever an entry answers. */
type Answer = { kind: string; count: number; get(unit: number): string | undefined };

class Machine {
  readonly store: GroupStore;
  readonly stateMachine: GroupStateMachine;

  constructor(store: GroupStore = new MemoryStore(), isNew = true) {
    this.store = store;
    this.stateMachine = new GroupStateMachine({ store, initialConf: CONF });
    if (isNew) this.apply(ASSIGN_ALL);
  }

  apply(payload: Buffer): Answer {
    const index = this.stateMachine.applied().index + 1;
    return this.stateMachine.apply([{ index, term: 1, kind: EntryKind.Normal, payload, conf: undefined }])[0] as Answer;
  }

  kind(payload: Buffer): string {
    return this.apply(payload).kind;
  }

  value(key: string): string | undefined {
    const latest = this.store.latest(bytes(key));
    return latest === undefined || latest.isTombstone ? undefined : latest.value.toString();
  }

  get locks(): number {
    return this.stateMachine.locks.size;
  }
}

const write = (at: bigint, key: string, value: string | undefined, expected?: bigint): Buffer =>
  encodeBatch(ts(at), 1, expected === undefined ? [] : [{ unit: 0, key: bytes(key), versionTs: ts(expected) }], [
    {
      unit: 0,
      key: bytes(key),
      value: value === undefined ? undefined : bytes(value),
      expireTs: ABSENT,
      end: undefined,
    },
  ]);
const deleteRange = (at: bigint, start: string, end: string): Buffer =>
  encodeBatch(ts(at), 1, [], [{ unit: 0, key: bytes(start), value: undefined, expireTs: ABSENT, end: bytes(end) }]);
const writeExpiring = (at: bigint, key: string, value: string, expireTs: bigint): Buffer =>
  encodeBatch(
    ts(at),
    1,
    [],
    [{ unit: 0, key: bytes(key), value: bytes(value), expireTs: ts(expireTs), end: undefined }],
  );
/** Of several locks that stand in the way, which of them is named does not matter. */
const told = (answer: Answer | undefined): unknown => (answer?.kind === 'locked' ? 'locked' : answer);
const t = txn('t');
const u = txn('u');

describe('PREPARE', () => {
  test('locks all keys with its own timestamp, and says the same when it comes again', () => {
    const machine = new Machine();
    assert.deepEqual(machine.apply(entry.prepare(100n, t, [put('a', '1'), put('b', '2')])), {
      kind: 'prepared',
      minCommitTs: ts(100),
    });
    assert.deepEqual(machine.apply(entry.prepare(100n, t, [put('a', '1'), put('b', '2')])).kind, 'belowFloor');
    machine.apply(entry.prepare(200n, t, [put('a', '1'), put('b', '2')]));
    assert.equal(machine.locks, 2);
    assert.equal(machine.stateMachine.locks.own(bytes('a'), t.txnId)!.minCommitTs, ts(100));
    assert.equal(machine.value('a'), undefined);
  });

  test('keeps nothing of the memory that its entry lay in', () => {
    const machine = new Machine();
    const [prepare, commit] = [
      entry.prepare(100n, t, [put('a', '1'), put('b', '2')]),
      entry.commit(105n, 103n, finish(t, ['a', 'b'])),
    ];
    machine.apply(prepare);
    prepare.fill(0);
    assert.equal(machine.kind(entry.prepare(101n, u, [put('a', '3')])), 'locked');
    assert.deepEqual(machine.stateMachine.locks.own(bytes('b'), t.txnId)?.primary, t.primary);
    machine.apply(commit);
    commit.fill(0);
    assert.deepEqual([machine.value('a'), machine.value('b'), machine.locks], ['1', '2', 0]);
  });

  test('locks nothing when one key is not what was read', () => {
    const machine = new Machine();
    machine.apply(write(50n, 'b', 'x'));
    assert.equal(machine.kind(entry.prepare(100n, t, [put('a', '1', 0n), read('b', 49n)])), 'changed');
    assert.equal(machine.locks, 0);
    assert.equal(machine.kind(entry.prepare(101n, t, [put('a', '1', 0n), read('b', 50n)])), 'prepared');
  });

  test('is refused by a lock of another, except between two readers', () => {
    const machine = new Machine();
    machine.apply(entry.prepare(100n, t, [put('a', '1'), read('r')]));
    assert.equal(machine.kind(entry.prepare(101n, u, [put('a', '2')])), 'locked');
    assert.equal(machine.kind(entry.prepare(102n, u, [read('a')])), 'locked');
    assert.equal(machine.kind(entry.prepare(103n, u, [put('r', '2')])), 'locked');
    assert.equal(machine.kind(entry.prepare(104n, u, [read('r')])), 'prepared');
  });

  test('is refused by a range lock over its key, and a range by a write lock in it', () => {
    const machine = new Machine();
    machine.apply(entry.prepare(100n, t, [], [range('c', 'f')]));
    assert.equal(machine.kind(entry.prepare(101n, u, [put('d', '2')])), 'locked');
    assert.equal(machine.kind(entry.prepare(102n, u, [read('d'), put('f', '')])), 'prepared');
    assert.equal(machine.kind(entry.prepare(103n, t, [], [range('e', 'g')])), 'locked');
  });

  test('is refused for keys that the group does not own, that are fenced, for another authority and when it is too old', () => {
    const machine = new Machine();
    assert.equal(machine.kind(entry.prepare(100n, t, [put('a', '1')], [], 2)), 'wrongAuthority');
    assert.equal(machine.kind(entry.tooOld(101n, t, [put('a', '1')])), 'tooOld');
    machine.apply(
      encodeSpan(ts(102), {
        kind: 'captureOn',
        job: 1,
        start: bytes('a'),
        end: bytes('c'),
      }),
    );
    assert.equal(machine.kind(entry.prepare(103n, t, [put('a', '1')])), 'prepared');
    machine.apply(encodeSpan(ts(104), { kind: 'fence', job: 1, attempt: 1 }));
    assert.equal(machine.kind(entry.prepare(105n, u, [put('b', '1')])), 'notOwned');
    assert.equal(machine.kind(entry.commit(106n, 105n, finish(t, ['a']))), 'notOwned');
    assert.equal(machine.locks, 1);
  });
});

describe('the condition that nobody has written a key since', () => {
  const ways = { PREPARE: entry.prepare, ONE_PHASE: entry.onePhase };
  for (const [name, make] of Object.entries(ways)) {
    const isDone = /^(prepared|committed)$/;
    const late = txn('s', 60n);

    test(`holds in a ${name} for what was written before, or never`, () => {
      const machine = new Machine();
      machine.apply(write(50n, 'a', 'x'));
      machine.apply(write(60n, 'b', 'x'));
      machine.apply(write(60n, 'gone', undefined));
      const keys = [
        putSince('a', '1', 60n),
        putSince('b', '1', 60n),
        putSince('gone', '1', 60n),
        putSince('c', '1', 60n),
      ];
      assert.match(machine.kind(make(100n, late, keys)), isDone);
    });

    test(`fails in a ${name} for what was written since, also when it is absent again`, () => {
      const machine = new Machine();
      machine.apply(write(61n, 'put', 'x'));
      machine.apply(write(62n, 'deleted', 'x'));
      machine.apply(write(63n, 'deleted', undefined));
      machine.apply(write(64n, 'flushed', 'x'));
      machine.apply(deleteRange(65n, 'f', 'g'));
      machine.apply(writeExpiring(66n, 'expired', 'x', 70n));
      for (const key of ['put', 'deleted', 'flushed', 'expired']) {
        const at = machine.stateMachine.applied().index;
        const answer = machine.apply(make(100n + BigInt(at), txn(key[0]!, 60n), [putSince(key, '1', 60n)]));
        assert.deepEqual(answer, { kind: 'changed', key: bytes(key) });
      }
    });

    test(`does not hold in a ${name} against a value that has only expired since`, () => {
      const machine = new Machine();
      machine.apply(writeExpiring(50n, 'a', 'x', 70n));
      assert.match(machine.kind(make(100n, late, [putSince('a', '1', 60n)])), isDone);
    });

    test(`puts a ${name} above the moment that it names`, () => {
      const machine = new Machine();
      assert.deepEqual(machine.apply(make(60n, late, [putSince('a', '1', 60n)])), {
        kind: 'belowFloor',
        floorTs: ts(60),
      });
      assert.match(machine.kind(make(61n, late, [putSince('a', '1', 60n)])), isDone);
    });

    test(`makes a ${name} too old when deletes since then may be forgotten`, () => {
      const machine = new Machine();
      machine.apply(write(61n, 'a', 'x'));
      machine.apply(write(62n, 'a', undefined));
      machine.apply(encodeSetGc(ts(80)));
      assert.equal(machine.kind(make(100n, txn('s', 90n), [putSince('a', '1', 60n)])), 'tooOld');
      assert.match(machine.kind(make(101n, txn('s', 90n), [putSince('a', '1', 81n)])), isDone);
    });
  }
});

describe('an expectation of a value that expires', () => {
  const ways = { PREPARE: entry.prepare, ONE_PHASE: entry.onePhase };
  for (const [name, make] of Object.entries(ways)) {
    test(`holds in a ${name} before the moment at which it expires, and from then on "absent" does`, () => {
      const machine = new Machine();
      machine.apply(writeExpiring(50n, 'a', 'x', 200n));
      machine.apply(writeExpiring(51n, 'b', 'x', 200n));
      assert.equal(machine.kind(make(100n, t, [put('a', '1', 0n)])), 'changed');
      assert.match(machine.kind(make(101n, u, [put('b', '1', 51n)])), /^(prepared|committed)$/);
      assert.equal(machine.kind(make(200n, txn('v'), [put('a', '1', 50n)])), 'changed');
      assert.match(machine.kind(make(201n, txn('w'), [put('a', '1', 0n)])), /^(prepared|committed)$/);
    });
  }
});

describe('ONE_PHASE', () => {
  test('that was refused is over: the same question, late or doubled, changes nothing', () => {
    const machine = new Machine();
    machine.apply(write(50n, 'a', 'x'));
    assert.equal(machine.kind(entry.onePhase(100n, t, [put('a', '1', 0n)])), 'changed');
    machine.apply(write(110n, 'a', undefined));
    assert.equal(machine.kind(entry.onePhase(120n, t, [put('a', '1', 0n)])), 'rolledBack');
    assert.equal(machine.value('a'), undefined);
    assert.equal(machine.kind(entry.onePhase(130n, txn('again'), [put('a', '1', 0n)])), 'committed');
  });

  test('that was refused by the authority is over too, and nothing is written down of one that may be forgotten', () => {
    const machine = new Machine();
    const question = { ...request(t, [put('a', '1')]), ranges: [], deadlineTs: ts(1n << 62n), isAnchored: false };
    const early = encodePrepare({ ...question, authorityEpoch: 2, ts: ts(100), oldestStartTs: ts(0) }, true);
    assert.equal(machine.kind(early), 'wrongAuthority');
    assert.equal(machine.kind(entry.onePhase(110n, t, [put('a', '1')])), 'rolledBack');
    const old = encodePrepare({ ...question, ...u, ts: ts(120), oldestStartTs: ts(1) }, true);
    assert.equal(machine.kind(old), 'tooOld');
    assert.equal(machine.store.side(u.primary, statusName(u.txnId)), undefined);
  });

  test('that meets a lock may come again: an older one waits for it', () => {
    const machine = new Machine();
    machine.apply(entry.prepare(100n, t, [put('a', '1')]));
    assert.equal(machine.kind(entry.onePhase(110n, u, [put('a', '2')])), 'locked');
    machine.apply(entry.abort(120n, finish(t, ['a'])));
    assert.equal(machine.kind(entry.onePhase(130n, u, [put('a', '2')])), 'committed');
  });
});

describe('COMMIT', () => {
  test('turns writes into versions at its timestamp, writes the record down and ends the locks, once', () => {
    const machine = new Machine();
    machine.apply(entry.prepare(100n, t, [put('a', '1'), del('b'), read('c')], [range('x', 'z')]));
    const ended = finish(t, ['a', 'b'], { reads: [bytes('c')], ranges: [range('x', 'z')] });
    assert.deepEqual(machine.apply(entry.commit(110n, 105n, ended)), { kind: 'committed', commitTs: ts(105) });
    assert.equal(machine.locks, 0);
    assert.equal(machine.store.latest(bytes('a'))!.commitTs, ts(105));
    machine.apply(write(120n, 'a', 'later'));
    assert.equal(machine.kind(entry.commit(130n, 105n, ended)), 'committed');
    assert.equal(machine.value('a'), 'later');
    assert.equal(machine.kind(entry.prepare(140n, t, [put('a', '1')])), 'committed');
    assert.equal(machine.kind(entry.abort(150n, finish(t, ['a']))), 'committed');
  });

  test('is refused below what a lock promises, and without a lock or a trace of the transaction', () => {
    const machine = new Machine();
    assert.equal(machine.kind(entry.commit(90n, 80n, finish(t, ['a']))), 'notFound');
    machine.apply(entry.prepare(100n, t, [put('a', '1')]));
    assert.deepEqual(machine.apply(entry.commit(110n, 99n, finish(t, ['a']))), {
      kind: 'tsTooLow',
      minCommitTs: ts(100),
    });
    assert.equal(machine.locks, 1);
  });

  test('is refused whole when a key or a range that was only read is not its own any more', () => {
    const machine = new Machine();
    machine.apply(entry.prepare(100n, t, [put('a', '1'), read('k')], [range('m', 'p')]));
    const commit = (at: bigint, rest: object) => entry.commit(at, 105n, finish(t, ['a'], rest));
    const move = (at: bigint, job: number, start: string, end: string): void => {
      const captured = { kind: 'captureOn', job, start: bytes(start), end: bytes(end) } as const;
      machine.apply(encodeSpan(ts(at), captured));
      machine.apply(encodeSpan(ts(at + 1n), { kind: 'fence', job, attempt: 1 }));
    };
    move(110n, 1, 'k', 'l');
    assert.equal(machine.kind(commit(120n, { reads: [bytes('k')] })), 'notOwned');
    move(130n, 2, 'n', 'o');
    assert.equal(machine.kind(commit(140n, { ranges: [range('m', 'p')] })), 'notOwned');
    assert.equal(machine.value('a'), undefined);
    // Nothing but the write is asked for: what was read is released by whoever asks its owner.
    assert.equal(machine.kind(commit(150n, {})), 'committed');
  });

  test('below newer commits of the group leaves every key in order', () => {
    const machine = new Machine();
    machine.apply(entry.prepare(100n, t, [put('a', '1')]));
    machine.apply(write(500n, 'b', 'x'));
    assert.equal(machine.kind(entry.commit(510n, 120n, finish(t, ['a']))), 'committed');
    assert.equal(machine.apply(write(520n, 'a', '2', 120n)), undefined);
  });
});

describe('ABORT', () => {
  test('ends the locks, and a PREPARE that is still on its way is refused, at the primary and elsewhere', () => {
    const machine = new Machine();
    machine.apply(entry.prepare(100n, t, [put('a', '1'), put('b', '2')]));
    assert.equal(machine.kind(entry.abort(110n, finish(t, ['a', 'b']))), 'rolledBack');
    assert.equal(machine.locks, 0);
    assert.equal(machine.kind(entry.commit(120n, 115n, finish(t, ['a']))), 'rolledBack');
    assert.equal(machine.kind(entry.prepare(130n, t, [put('b', '2')])), 'rolledBack');
  });

  test('of a transaction that nobody has seen is written down too', () => {
    const machine = new Machine();
    machine.apply(entry.abort(100n, finish(u, ['a'])));
    assert.equal(machine.kind(entry.prepare(110n, u, [put('a', '1')])), 'rolledBack');
  });
});

describe('one status a part', () => {
  const keys = [put('a', '1'), put('b', '2'), del('c')];
  const ended = finish(t, ['a', 'b', 'c']);
  const statuses = (machine: Machine): string[] =>
    ['a', 'b', 'c'].filter((key) => machine.store.side(bytes(key), statusName(t.txnId)) !== undefined);
  const resolved = (at: bigint, key: string, status: TxnStatus): Buffer =>
    entry.resolve(at, [{ txnId: t.txnId, key: bytes(key), end: undefined, status }]);
  const committed = { kind: 'committed', commitTs: ts(105) } as const;

  test('is at the smallest key that is written, and refuses a PREPARE of the part that comes late', () => {
    const machine = new Machine();
    machine.apply(entry.anchored(100n, t, keys));
    assert.deepEqual(machine.apply(entry.commitAnchored(110n, 105n, ended)), committed);
    assert.deepEqual([statuses(machine), machine.locks], [['a'], 0]);
    machine.apply(write(120n, 'b', 'later'));
    assert.deepEqual(machine.apply(entry.anchored(130n, t, keys)), committed);
    assert.deepEqual(machine.apply(entry.prepare(140n, t, keys)), committed, 'one of an older leader too');
    assert.deepEqual(machine.apply(entry.commitAnchored(150n, 105n, ended)), committed);
    assert.deepEqual([machine.locks, machine.value('b')], [0, 'later']);
  });

  test('is at every key of one that is rolled back', () => {
    const machine = new Machine();
    machine.apply(entry.anchored(100n, t, keys));
    machine.apply(entry.abort(110n, ended));
    assert.deepEqual(statuses(machine), ['a', 'b', 'c']);
    assert.equal(machine.kind(entry.anchored(120n, t, keys)), 'rolledBack');
  });

  test('is not asked alone while locks of the part are left: what others have resolved is not locked again', () => {
    const machine = new Machine();
    machine.apply(entry.anchored(100n, u, [put('b', '1'), put('c', '2'), put('d', '3')]));
    machine.apply(entry.resolve(110n, [{ txnId: u.txnId, key: bytes('c'), end: undefined, status: committed }]));
    machine.apply(write(120n, 'c', 'later'));
    const again = [put('b', '1'), put('c', '2'), put('d', '3')];
    assert.deepEqual(machine.apply(entry.anchored(130n, u, again)), committed);
    assert.deepEqual([machine.locks, machine.value('c')], [2, 'later']);
    // The rest of the part follows, whatever became of the one.
    const rest = { ...finish(u, ['b', 'c', 'd']), isPrimary: false };
    assert.deepEqual(machine.apply(entry.commitAnchored(140n, 105n, rest)), committed);
    assert.deepEqual([machine.locks, machine.value('b'), machine.value('c')], [0, '1', 'later']);
    assert.deepEqual(machine.apply(entry.anchored(150n, u, again)), committed);
  });

  test('is the only proof at the primary; elsewhere a COMMIT that comes again finds what it has written', () => {
    const machine = new Machine();
    assert.equal(machine.kind(entry.commitAnchored(100n, 95n, ended)), 'notFound');
    machine.apply(write(110n, 'a', 'of others'));
    assert.equal(machine.kind(entry.commitAnchored(120n, 95n, finish(t, ['a']))), 'notFound');
    const elsewhere = { ...finish(t, ['b', 'c']), isPrimary: false };
    assert.deepEqual(machine.apply(entry.commitAnchored(130n, 95n, elsewhere)), { kind: 'notFound', key: bytes('b') });
    machine.apply(entry.anchored(140n, t, [put('b', '1'), put('c', '2')]));
    machine.apply(entry.commitAnchored(150n, 145n, elsewhere));
    assert.equal(machine.kind(entry.commitAnchored(155n, 145n, elsewhere)), 'committed');
    // A move has divided the part meanwhile.
    const rest = { ...finish(t, ['c']), isPrimary: false };
    assert.equal(machine.kind(entry.commitAnchored(160n, 145n, rest)), 'committed');
    assert.equal(machine.kind(entry.commit(170n, 145n, rest)), 'notFound', 'an older leader asks for a status');
    machine.apply(resolved(180n, 'c', committed));
    assert.equal(machine.locks, 0);
    // A delete below the threshold: replicas that have collected it answer as those that have not.
    const deleted = { ...finish(t, ['d']), isPrimary: false };
    assert.equal(machine.kind(entry.commitAnchored(190n, 145n, deleted)), 'notFound');
    machine.apply(encodeSetGc(ts(145)));
    assert.equal(machine.kind(entry.commitAnchored(200n, 145n, deleted)), 'committed');
    assert.equal(machine.kind(entry.commitAnchored(210n, 146n, deleted)), 'notFound');
  });
});

describe('other entries of transactions', () => {
  test('push the primary lock on, or tell its status', () => {
    const machine = new Machine();
    assert.equal(machine.kind(entry.push(90n, t, 1n)), 'notFound');
    machine.apply(entry.prepare(100n, t, [put('a', '1')]));
    const later = (1n << 62n) + 5n;
    assert.deepEqual(machine.apply(entry.push(110n, t, later)), { kind: 'pushed', deadlineTs: ts(later) });
    machine.apply(entry.abort(120n, finish(t, ['a'])));
    assert.equal(machine.kind(entry.push(130n, t, later)), 'rolledBack');
  });

  test('resolve locks of the transaction alone, never a primary', () => {
    const machine = new Machine();
    machine.apply(entry.prepare(100n, t, [put('a', '1'), put('b', '2')]));
    const status = { kind: 'committed', commitTs: ts(150) } as const;
    const verdict = (who: typeof t, key: string) => ({ txnId: who.txnId, key: bytes(key), end: undefined, status });
    assert.equal(machine.apply(entry.resolve(110n, [verdict(u, 'b'), verdict(t, 'a'), verdict(t, 'b')])).count, 1);
    assert.equal(machine.value('b'), '2');
    assert.equal(machine.locks, 1);
  });

  test('forget statuses that are old enough, and no others', () => {
    const machine = new Machine();
    machine.apply(entry.onePhase(100n, t, [put('a', '1')]));
    assert.equal(machine.apply(entry.forget(110n, 1n, t, ['a'])).count, 0);
    assert.equal(machine.kind(entry.onePhase(120n, t, [put('a', '9')])), 'committed');
    assert.equal(machine.apply(entry.forget(130n, 2n, t, ['a'])).count, 1);
    assert.equal(machine.value('a'), '1');
  });
});

describe('commands of others', () => {
  test('neither write a locked key or range, nor rely on one that is about to change, nor run over a lock', () => {
    const machine = new Machine();
    machine.apply(entry.prepare(100n, t, [put('a', '1'), read('b')], [range('m', 'p')]));
    for (const refused of [
      write(101n, 'a', 'x'),
      write(102n, 'b', 'x'),
      write(103n, 'n', 'x'),
      deleteRange(104n, 'a', 'c'),
    ]) {
      assert.equal(machine.apply(refused)?.get(0), 'locked');
    }
    const relying = encodeBatch(ts(105), 1, [{ unit: 0, key: bytes('a'), versionTs: ABSENT }], []);
    assert.equal(machine.apply(relying)?.get(0), 'locked');
    assert.equal(machine.apply(write(106n, 'z', 'x')), undefined);
  });

  test('do not raise the threshold over what a lock may still commit', () => {
    const machine = new Machine();
    machine.apply(entry.prepare(100n, t, [put('a', '1')]));
    machine.apply(encodeSetGc(ts(100)));
    assert.equal(machine.store.gcThreshold, 0n);
    machine.apply(encodeSetGc(ts(99)));
    assert.equal(machine.store.gcThreshold, 99n);
  });
});

describe('replicas', () => {
  test('give equal answers and states, also one that was restored from a copy half-way', async () => {
    const open = (): Promise<GroupStore> => {
      const levels = new SimulatedLevels();
      return openGroupStore({
        location: 'group',
        openLevel: levels.openLevel,
        folders: levels,
        disk: new MemoryDisk(),
      });
    };
    for (let seed = 1; seed <= 12; seed++) {
      const random = new SeededRandom(seed);
      const stores = [await open(), await open()];
      const machines = stores.map((store) => new Machine(store));
      const names = ['a', 'b', 'c', 'd'];
      const pick = (): string => names[random.int(names.length)]!;
      const history: Buffer[] = [];
      for (let step = 1; step <= 120; step++) {
        const at = BigInt(step * 10);
        const who = txn(String.fromCharCode(112 + random.int(5)), 1n, pick());
        const key = pick();
        const kinds = [
          () => entry.prepare(at, who, [put(key, `${step}`)]),
          () => entry.prepare(at, who, [read(key)], random.int(3) === 0 ? [range('b', 'd')] : []),
          () => entry.commit(at, at, finish(who, [key])),
          () => entry.anchored(at, who, [put(pick(), `${step}`), read('d')]),
          () => entry.anchored(at, who, [put('a', `${step}`), put('b', `${step}`), put('c', `${step}`)]),
          () => entry.commitAnchored(at, at, finish(who, ['c', 'a', 'b'])),
          () => entry.abort(at, finish(who, [key], { ranges: [range('a', 'z')] })),
          () => entry.push(at, who, 1n << 61n),
          () => write(at, key, `${step}`),
          () => deleteRange(at, 'a', 'c'),
          () =>
            entry.resolve(at, [{ txnId: who.txnId, key: bytes(key), end: undefined, status: { kind: 'rolledBack' } }]),
          () => entry.forget(at, 2n, who, [key]),
        ];
        const payload =
          random.int(6) === 0 && history.length > 0
            ? history[random.int(history.length)]!
            : kinds[random.int(kinds.length)]!();
        history.push(payload);
        const [first, ...others] = machines.map((machine) => machine.apply(payload));
        for (const other of others) assert.deepEqual(told(other), told(first), `seed ${seed}, step ${step}`);
        if (random.int(20) === 0) await stores[0]!.flush();
        if (step !== 60) continue;
        const third = await open();
        const source = await machines[0]!.stateMachine.openSnapshot(groupId(1));
        const stage = await new Machine(third, false).stateMachine.stageSnapshot(groupId(1), source.manifest);
        for (const at of stage.missing) await stage.receive(at, source.frames(at));
        await source.close();
        await stage.finish();
        await stage.install();
        stores.push(third);
        machines.push(new Machine(third, false));
        assert.equal(machines[2]!.locks, machines[0]!.locks);
      }
      const [digest, ...digests] = await Promise.all(stores.map((store) => store.digest()));
      for (const other of digests) assert.equal(other, digest, `seed ${seed}`);
      for (const store of stores) await store.close();
    }
  });
});
