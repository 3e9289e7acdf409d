/** The leader's side: who waits for locks, who gives way, what a snapshot sees, and that locks travel with their range. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { statusName } from '../../../src/kv/apply/lock-rows.ts';
import { LockedError } from '../../../src/kv/contract/errors.ts';
import type { TxnIdentity } from '../../../src/kv/contract/txn.ts';
import { encodeSetGc } from '../../../src/kv/entry/entry.ts';
import { encodeLease } from '../../../src/kv/entry/time-entries.ts';
import { StatusGc } from '../../../src/kv/leader/status-gc.ts';
import { KEEP_STATUSES_MS } from '../../../src/kv/leader/txn-participant.ts';
import { ReadValues } from '../../../src/kv/txn/transaction-reads.ts';
import { BufferedView } from '../../../src/kv/txn/transaction-view.ts';
import { groupId, type HlcTimestamp, hlcTimestamp, laterBy, NEVER } from '../../../src/platform/index.ts';
import { bytes, LoneGroup } from '../../support/lone-group.ts';
import { finish, put, putSince, read, request, ts, txn } from './entries.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Lets everything happen that does not wait for time. */
async function run<T>(bed: LoneGroup, promise: Promise<T>): Promise<T> {
  let isDone = false;
  const done = promise.finally(() => {
    isDone = true;
  });
  done.catch(() => undefined);
  for (let round = 0; round < 50 && !isDone; round++) {
    bed.settle();
    await turn();
  }
  return done;
}

const now = (bed: LoneGroup): HlcTimestamp => bed.hlc.next();
const at = (bed: LoneGroup, name: string, primary = 'a'): TxnIdentity => ({
  ...txn(name, 1n, primary),
  startTs: now(bed),
});

describe('a lock of a transaction', () => {
  test('keeps readers and writers of its key waiting until it is gone, and nobody else', async () => {
    const bed = new LoneGroup();
    const t = at(bed, 't');
    const prepared = await run(bed, bed.executor.txns.prepare(request(t, [put('a', '1')])));
    assert.equal(prepared.kind, 'prepared');
    const reader = bed.get('a');
    const writer = bed.set('a', '2');
    const other = bed.get('b');
    bed.settle();
    assert.deepEqual([reader.isDone, writer.isDone, other.isDone], [false, false, true]);
    const commitTs = now(bed);
    await run(bed, bed.executor.txns.commit({ ...finish(t, ['a']), commitTs }));
    bed.settle();
    assert.equal(reader.reply, '1');
    assert.equal(writer.reply, 'OK');
  });

  test('has its status at one key of those that are locked with it, as soon as every node knows that', async () => {
    let isKnown = false;
    const bed = new LoneGroup({}, undefined, { anchorsStatuses: () => isKnown });
    const { txns } = bed.executor;
    const commit = async (t: TxnIdentity): Promise<number[]> => {
      const before = bed.raft.log.length;
      await run(bed, txns.prepare(request(t, [put('a', '1'), put('b', '2')])));
      await run(bed, txns.commit({ ...finish(t, ['a', 'b']), commitTs: now(bed) }));
      const entries = bed.raft.log.slice(before).filter(([opcode]) => opcode === 0x11 || opcode === 0x13);
      return entries.map((payload) => payload[1]!);
    };
    const statuses = (t: TxnIdentity): string[] =>
      ['a', 'b'].filter((key) => bed.store.side(bytes(key), statusName(t.txnId)) !== undefined);
    const [t, u] = [at(bed, 't'), at(bed, 'u')];
    assert.deepEqual(
      [await commit(t), statuses(t)],
      [
        [1, 1],
        ['a', 'b'],
      ],
      'older replicas can apply these',
    );
    isKnown = true;
    assert.deepEqual([await commit(u), statuses(u)], [[3, 3], ['a']]);
  });

  test('is asked about after 20 ms, once, and given up waiting for after a second', async () => {
    const bed = new LoneGroup();
    const met: string[] = [];
    bed.executor.txns.onLockMet(({ key }) => met.push(key.toString()));
    const t = at(bed, 't');
    await run(bed, bed.executor.txns.prepare(request(t, [put('a', '1')])));
    const reader = bed.get('a');
    bed.scheduler.advance(19);
    assert.deepEqual(met, []);
    bed.scheduler.advance(900);
    assert.deepEqual(met, ['a']);
    assert.equal(reader.isDone, false);
    bed.scheduler.advance(100);
    assert.ok(reader.error instanceof LockedError && reader.error.lock.txnId.equals(t.txnId));
  });

  test('makes a younger transaction give way at once and an older one wait', async () => {
    const bed = new LoneGroup();
    const { txns } = bed.executor;
    const [older, holder, younger] = [at(bed, 'o'), at(bed, 'h'), at(bed, 'y')];
    await run(bed, txns.prepare(request(holder, [put('a', '1')])));
    assert.equal((await run(bed, txns.prepare(request(younger, [put('a', '2')])))).kind, 'locked');
    const waiting = txns.prepare(request(older, [put('a', '3')]));
    bed.settle();
    await run(bed, txns.abort(finish(holder, ['a'])));
    assert.equal((await run(bed, waiting)).kind, 'prepared');
  });

  test('on its way is waited for by who asks when a key that is not there was written last', async () => {
    const bed = new LoneGroup();
    const { txns } = bed.executor;
    const t = at(bed, 't');
    const preparing = txns.prepare(request(t, [put('a', '1')]));
    // Proposed, and not applied yet.
    for (let round = 0; round < 5 && bed.raft.proposals.length === 0; round++) {
      bed.scheduler.endTurn();
      await turn();
    }
    assert.equal(bed.raft.proposals.length, 1);
    // Answered now, it would say that nothing was written up to a moment at or above the one that this may be committed at.
    const reading = txns.read({ keys: [bytes('a')], withAbsences: true });
    const prepared = await run(bed, preparing);
    assert.equal(prepared.kind, 'prepared');
    await run(bed, txns.commit({ ...finish(t, ['a']), commitTs: now(bed) }));
    assert.equal((await run(bed, reading)).rows[0]?.value.toString(), '1');
  });

  test('keeps a command waiting no longer than it is held, however many transactions wait for it', async () => {
    const bed = new LoneGroup();
    const { txns } = bed.executor;
    const [first, second, holder] = [at(bed, 'f'), at(bed, 's'), at(bed, 'h')];
    await run(bed, txns.prepare(request(holder, [put('a', '1')])));
    const waiting = [first, second].map((older) => txns.prepare(request(older, [put('a', '2')])));
    bed.settle();
    const writer = bed.set('a', '3');
    await run(bed, txns.abort(finish(holder, ['a'])));
    bed.settle();
    assert.equal(writer.reply, 'OK');
    assert.equal((await run(bed, Promise.race(waiting))).kind, 'prepared');
    assert.equal(bed.stateMachine.locks.size, 1);
  });

  test('that is read only lets readers pass and keeps writers waiting', async () => {
    const bed = new LoneGroup();
    await run(bed, bed.executor.txns.prepare(request(at(bed, 't'), [read('a')])));
    const [reader, writer] = [bed.get('a'), bed.set('a', '2')];
    bed.settle();
    assert.deepEqual([reader.isDone, writer.isDone], [true, false]);
    bed.raft.stepDown();
    assert.equal(writer.error?.name, 'NotLeaderError');
  });
});

describe('a snapshot', () => {
  test('is committed above its moment with one entry, and not at all when that is far ahead of the group', async () => {
    const bed = new LoneGroup();
    const { txns } = bed.executor;
    const proposed = bed.raft.log.length;
    // As a group meets it whose clock is behind that of others.
    const moment = laterBy(now(bed), 100);
    const t = { ...at(bed, 't'), startTs: moment };
    const reply = await run(bed, txns.commitOnePhase(request(t, [putSince('a', '1', moment)])));
    assert.ok(reply.kind === 'committed' && reply.commitTs > moment);
    assert.equal(bed.raft.log.length, proposed + 1);
    const absurd = laterBy(now(bed), 24 * 3_600_000);
    const wrong = txns.prepare(request({ ...at(bed, 'u'), startTs: absurd }, [putSince('b', '1', absurd)]));
    await assert.rejects(run(bed, wrong), { code: 'TIMESTAMP_AHEAD' });
    assert.ok(now(bed) < absurd);
  });

  test('that was read is never committed below by a later PREPARE', async () => {
    const bed = new LoneGroup();
    const { txns } = bed.executor;
    const readTs = now(bed);
    assert.deepEqual(await run(bed, txns.read({ keys: [bytes('k')], readTs })), { rows: [undefined], seenTs: readTs });
    const prepared = await run(bed, txns.prepare(request(at(bed, 'w', 'k'), [put('k', '1')])));
    assert.ok(prepared.kind === 'prepared' && prepared.minCommitTs > readTs);
  });

  test('waits for a lock that may commit below it, and not for one that cannot', async () => {
    const bed = new LoneGroup();
    const { txns } = bed.executor;
    const early = now(bed);
    const t = at(bed, 't');
    await run(bed, txns.prepare(request(t, [put('a', '1')])));
    const scan = { start: bytes('a'), end: bytes('b'), limit: 10 };
    assert.equal((await run(bed, txns.scan(scan, early))).rows.length, 0);
    const commitTs = now(bed);
    const late = txns.scan(scan, now(bed));
    late.catch(() => undefined);
    for (let round = 0; round < 5; round++) {
      bed.settle();
      await turn();
    }
    await run(bed, txns.commit({ ...finish(t, ['a']), commitTs }));
    assert.equal((await run(bed, late)).rows.length, 1);
  });

  test('of a range that has changed since is refused by the lock of the range', async () => {
    const bed = new LoneGroup();
    const { txns } = bed.executor;
    bed.set('c', '1');
    bed.settle();
    const readTs = now(bed);
    const ask = (name: string) => {
      const { participants: _, keys: __, ...who } = request(at(bed, name), []);
      return run(bed, txns.lockRange({ ...who, start: bytes('b'), end: bytes('e'), readTs }));
    };
    assert.equal((await ask('s')).kind, 'prepared');
    const phantom = bed.set('d', '2');
    bed.settle();
    assert.equal(phantom.isDone, false);
    const abort = { ...finish(txn('s'), []), ranges: [{ start: bytes('b'), end: bytes('e') }] };
    await run(bed, txns.abort(abort));
    bed.settle();
    assert.equal(phantom.reply, 'OK');
    assert.equal((await ask('u')).kind, 'changed');
  });
});

describe('the status of a transaction', () => {
  test('that nobody prepared is decided by asking, and its late PREPARE is refused', async () => {
    const bed = new LoneGroup();
    const { txns } = bed.executor;
    const t = at(bed, 't');
    assert.equal((await run(bed, txns.status(t))).kind, 'rolledBack');
    assert.equal((await run(bed, txns.prepare(request(t, [put('a', '1')])))).kind, 'rolledBack');
  });

  test('is pending while its lock lives, and rolled back when that has expired', async () => {
    const bed = new LoneGroup();
    const { txns } = bed.executor;
    const t = at(bed, 't');
    await run(bed, txns.prepare(request(t, [put('a', '1')], 10_000)));
    assert.equal((await run(bed, txns.status(t))).kind, 'pending');
    bed.clock.advance(10_001);
    assert.equal(txns.expiredLocks(10).length, 1);
    assert.equal((await run(bed, txns.status(t))).kind, 'rolledBack');
  });

  test('is decided in time by the clock of its group, however far that is ahead of those that the transaction came from', async () => {
    const bed = new LoneGroup();
    const { txns } = bed.executor;
    const t = at(bed, 't');
    bed.raft.apply(encodeLease(bed.clock.wallMs + 600_000));
    bed.raft.stepDown();
    bed.raft.lead();
    await run(bed, txns.prepare(request(t, [put('a', '1')], 10_000)));
    bed.clock.advance(9_000);
    assert.equal((await run(bed, txns.status(t))).kind, 'pending', 'not before its time');
    bed.clock.advance(3_000);
    assert.equal(txns.expiredLocks(10).length, 1);
    assert.equal((await run(bed, txns.status(t))).kind, 'rolledBack');
  });

  test('outlives no minute, whatever somebody asks for', async () => {
    const bed = new LoneGroup();
    const { txns } = bed.executor;
    await run(bed, txns.prepare(request(at(bed, 't'), [put('a', '1')], 1e15)));
    bed.clock.advance(60_001);
    assert.equal(txns.expiredLocks(10).length, 1);
  });

  test('is not told by a group whose key has moved while the others were asked who leads', async () => {
    const bed = new LoneGroup();
    const { txns, spans } = bed.executor;
    const old = { ...txn('t'), startTs: hlcTimestamp(now(bed) - ((BigInt(KEEP_STATUSES_MS) * 2n) << 16n)) };
    bed.raft.hasLease = false;
    const asked = txns.status(old);
    asked.catch(() => undefined);
    const barriers = async (): Promise<void> => {
      for (const { resolve } of bed.raft.barriers.splice(0)) resolve();
      for (let turns = 0; turns < 5; turns++) await turn();
    };
    bed.settle();
    await barriers();
    assert.equal(bed.raft.barriers.length, 1, 'it looks whether it still leads');
    const [{ resolve }] = bed.raft.barriers.splice(0) as [(typeof bed.raft.barriers)[number]];
    bed.raft.hasLease = true;
    const range = { start: bytes('a'), end: bytes('m') };
    await run(bed, spans.command({ kind: 'captureOn', job: 1, ...range }));
    await run(bed, spans.command({ kind: 'fence', job: 1, attempt: 1 }));
    await run(bed, spans.command({ kind: 'release', job: 1, attempt: 1, dst: groupId(3) }));
    resolve();
    await assert.rejects(asked, { code: 'NOT_OWNER' });
  });

  test('is found by a repetition of the same request, whose effect comes once', async () => {
    const bed = new LoneGroup();
    const { txns } = bed.executor;
    const again = request(at(bed, 't'), [put('a', '1', 0n)]);
    const [first, second] = [txns.commitOnePhase(again), txns.commitOnePhase(again)];
    const replies = [await run(bed, first), await run(bed, second)];
    assert.equal(replies[0]!.kind, 'committed');
    assert.deepEqual(replies[1], replies[0]);
  });
});

describe('a read that asks for absences', () => {
  test('says when a key was deleted, and what relies on that is refused when the key has come and gone since', async () => {
    const bed = new LoneGroup();
    const { txns } = bed.executor;
    const change = async (): Promise<void> => {
      const changes = [bed.set('a', '1'), bed.delete('a')];
      await run(bed, Promise.resolve());
      bed.settle();
      assert.ok(changes.every(({ reply }) => reply !== undefined));
    };
    const keys = [bytes('a'), bytes('b')];
    const look = async (): Promise<BufferedView> => {
      const values = new ReadValues();
      values.take(keys, await run(bed, txns.read({ keys, withAbsences: true })));
      return new BufferedView(now(bed), values);
    };
    const seen = (view: BufferedView): boolean[] =>
      keys.map((key) => view.get(key) === undefined && view.deletedAt(key) !== 0n);
    await change();
    const views = [await look(), await look()];
    assert.deepEqual(seen(views[0]!), [true, false]);
    const plain = await run(bed, txns.read({ keys }));
    assert.equal(plain.absences, undefined);
    await change();
    assert.equal(views[1]!.get(keys[0]!), undefined);
    const [strict, lax] = views.map((view) => view.intents());
    assert.equal((await run(bed, txns.prepare(request(at(bed, 's'), strict!)))).kind, 'changed');
    assert.equal((await run(bed, txns.prepare(request(at(bed, 'l'), lax!)))).kind, 'prepared');
    const again = await look();
    assert.notEqual(again.deletedAt(keys[0]!), views[0]!.deletedAt(keys[0]!));
  });
});

describe('a commit in one phase', () => {
  test('that gave way to a lock is over: the same question, late or doubled, changes nothing', async () => {
    const bed = new LoneGroup();
    const { txns } = bed.executor;
    const [holder, younger] = [at(bed, 'h'), at(bed, 'y')];
    await run(bed, txns.prepare(request(holder, [put('a', '1')])));
    const question = request(younger, [put('a', '2')]);
    assert.equal((await run(bed, txns.commitOnePhase(question))).kind, 'locked');
    await run(bed, txns.abort(finish(holder, ['a'])));
    assert.equal((await run(bed, txns.commitOnePhase(question))).kind, 'rolledBack');
  });

  test('that meets a lock so late that its record may be forgotten is not called rolled back', async () => {
    const bed = new LoneGroup();
    const { txns } = bed.executor;
    const old = at(bed, 'o');
    await run(bed, txns.commitOnePhase(request(old, [put('a', '1')])));
    bed.clock.advance(KEEP_STATUSES_MS);
    await run(bed, txns.prepare(request(at(bed, 'h'), [put('a', '2')])));
    const late = txns.commitOnePhase(request({ ...old, txnId: Buffer.alloc(16, 'f') }, [put('a', '1')]));
    bed.settle();
    bed.scheduler.advance(1_000);
    assert.equal((await run(bed, late)).kind, 'tooOld');
  });

  test('that has waited for a lock in vain is over, and one whose lock ends in time takes place', async () => {
    const bed = new LoneGroup();
    const { txns } = bed.executor;
    const [older, holder] = [at(bed, 'o'), at(bed, 'h')];
    await run(bed, txns.prepare(request(holder, [put('a', '1')])));
    const question = request(older, [put('a', '2')]);
    const waiting = txns.commitOnePhase(question);
    bed.settle();
    bed.scheduler.advance(1_000);
    assert.equal((await run(bed, waiting)).kind, 'locked');
    const inTime = txns.commitOnePhase(request({ ...older, txnId: Buffer.alloc(16, 'n') }, [put('a', '3')]));
    bed.settle();
    await run(bed, txns.abort(finish(holder, ['a'])));
    assert.equal((await run(bed, inTime)).kind, 'committed');
    assert.equal((await run(bed, txns.commitOnePhase(question))).kind, 'rolledBack');
  });
});

describe('a move', () => {
  test('takes locks and records along, those that changed while it copied too', async () => {
    const [source, target] = [new LoneGroup(), new LoneGroup({}, undefined, { ownsEverything: false })];
    const range = { start: bytes('a'), end: bytes('m') };
    const [t, u, done] = [at(source, 't'), at(source, 'u', 'b'), at(source, 'd', 'c')];
    await run(source, source.executor.txns.prepare(request(t, [put('a', '1')])));
    const record = await run(source, source.executor.txns.commitOnePhase(request(done, [put('c', '3')])));
    const ask = (bed: LoneGroup, command: Parameters<typeof bed.executor.spans.command>[0]) =>
      run(bed, bed.executor.spans.command(command));
    await ask(target, { kind: 'incoming', job: 1, attempt: 1, ...range });
    await ask(source, { kind: 'captureOn', job: 1, ...range });
    const page = await run(
      source,
      source.executor.spans.backfill({ job: 1, start: range.start, after: undefined, maxBytes: 1 << 20 }),
    );
    await run(source, source.executor.txns.prepare(request(u, [put('b', '2')])));
    await run(source, source.executor.txns.abort(finish(t, ['a'])));
    const captured = await run(source, source.executor.spans.captured(1, { index: 0, position: 0 }, 1 << 20));
    const head = { job: 1, attempt: 1, bookmark: Buffer.alloc(0) };
    await run(target, target.executor.spans.import({ ...head, ...page, seq: 1 }));
    await run(target, target.executor.spans.import({ ...head, ...captured, seq: 2 }));
    await ask(source, { kind: 'fence', job: 1, attempt: 1 });
    const { outcome } = await ask(source, { kind: 'release', job: 1, attempt: 1, dst: groupId(3) });
    assert.equal(outcome.kind, 'done');
    const floor = hlcTimestamp(source.hlc.peek() + 10n);
    await ask(target, { kind: 'activate', job: 1, floor, epoch: 2, gcThreshold: NEVER, imports: 2 });
    const { txns } = target.executor;
    assert.equal(target.stateMachine.locks.size, 1);
    assert.equal((await run(target, txns.commit({ ...finish(u, ['b']), commitTs: now(source) }))).kind, 'committed');
    assert.equal((await run(target, txns.prepare(request(t, [put('a', '1')])))).kind, 'rolledBack');
    assert.deepEqual(await run(target, txns.commitOnePhase(request(done, [put('c', '3')]))), record);
    const value = target.get('b');
    target.settle();
    assert.equal(value.reply, '2');
  });
});

describe('statuses', () => {
  test('are forgotten through the log an hour after their transaction began, once no group can hold a lock of it', async () => {
    const bed = new LoneGroup();
    const old = at(bed, 't');
    await run(bed, bed.executor.txns.commitOnePhase(request(old, [put('a', '1')])));
    const forgetting = new StatusGc(bed.store, (build) => bed.executor.proposeMaintenance(build));
    const row = () => bed.store.side(bytes('a'), statusName(old.txnId));
    bed.clock.advance(KEEP_STATUSES_MS - 1000);
    await run(bed, forgetting.run(bed.hlc.peek()));
    assert.notEqual(row(), undefined);
    const { exportSides } = bed.store;
    let walks = 0;
    bed.store.exportSides = (wanted) => {
      walks++;
      return exportSides.call(bed.store, wanted);
    };
    await run(bed, forgetting.run(bed.hlc.peek()));
    assert.equal(walks, 0, 'nothing is due, so nothing is looked through');
    bed.clock.advance(2000);
    await run(bed, forgetting.run(bed.hlc.peek()));
    assert.notEqual(row(), undefined, 'some group may still have to ask');
    bed.raft.apply(encodeSetGc(ts(old.startTs + 1n)));
    await run(bed, forgetting.run(bed.hlc.peek()));
    assert.equal(row(), undefined);
    assert.equal((await run(bed, bed.executor.txns.commitOnePhase(request(old, [put('a', '1')])))).kind, 'tooOld');
    assert.equal((await run(bed, bed.executor.txns.status(old))).kind, 'forgotten');
  });
});
