import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { certify, raise } from '../../../src/cluster/gc/group-gc.ts';
import { ReadPins } from '../../../src/kv/time/pins.ts';
import { type HlcTimestamp, hlcTimestamp } from '../../../src/platform/index.ts';
import { entry, put, ts, txn } from '../../kv/txn/entries.ts';
import { GROUP, LoneGroup } from '../../support/lone-group.ts';
import { ManualClock } from '../../support/manual-time.ts';

/** A group whose leader is here. */
class CollectedGroup extends LoneGroup {
  get group() {
    const { executor, store } = this;
    return { groupId: GROUP, executor, stateMachine: this.raft.stateMachine, store };
  }

  /** Lets promises and proposals run until it is settled. */
  async settled<T>(promise: Promise<T>): Promise<T> {
    let isDone = false;
    promise.then(
      () => (isDone = true),
      () => (isDone = true),
    );
    for (let round = 0; round < 100 && !isDone; round++) {
      await Promise.resolve();
      this.settle();
    }
    return promise;
  }

  apply(payload: Buffer): unknown {
    return this.raft.apply(payload);
  }
}

const now = (bed: CollectedGroup) => bed.hlc.peek();

describe('a group that certifies for collection', () => {
  test('answers the candidate when nothing stands against it, and refuses older transactions from then on', async () => {
    const bed = new CollectedGroup();
    bed.set('k', 'v');
    bed.settle();
    const candidate = hlcTimestamp(now(bed) - 1000n);
    const certificate = await bed.settled(certify(bed.group, candidate));
    assert.deepEqual(certificate, { group: GROUP, ts: candidate, heldBy: '', thresholdTs: 0n });
    const late = entry.prepare(now(bed) + (1n << 30n), txn('old', candidate), [put('x', '1')]);
    assert.deepEqual(bed.apply(late), { kind: 'tooOld' });
    const young = entry.prepare(now(bed) + (1n << 31n), txn('new', candidate + 1n), [put('x', '1')]);
    assert.equal((bed.apply(young) as { kind: string }).kind, 'prepared');
  });

  test('answers below the oldest lock that a transaction still holds', async () => {
    const bed = new CollectedGroup();
    bed.set('k', 'v');
    bed.settle();
    const start = now(bed) - 5000n;
    bed.apply(entry.prepare(now(bed) + 10n, txn('open', start), [put('x', '1')]));
    const { ts: answered, heldBy } = await bed.settled(certify(bed.group, hlcTimestamp(start + 10n)));
    assert.equal(answered, start - 1n);
    assert.match(heldBy, /lock/);
    assert.equal(
      (await bed.settled(certify(bed.group, hlcTimestamp(start - 1n)))).heldBy,
      '',
      'younger locks do not matter',
    );
  });

  test('answers below the oldest read that is under way', async () => {
    const bed = new CollectedGroup();
    bed.set('k', 'v');
    bed.settle();
    const at = now(bed);
    const executor = {
      proposeMaintenance: (build: (entryTs: HlcTimestamp) => Buffer) => bed.executor.proposeMaintenance(build),
      reads: { oldestUnderWay: () => hlcTimestamp(at - 10n) },
    };
    const answered = await bed.settled(certify({ ...bed.group, executor }, hlcTimestamp(at - 5n)));
    assert.equal(answered.ts, at - 11n);
    assert.match(answered.heldBy, /read/);
    assert.equal((await bed.settled(certify({ ...bed.group, executor }, hlcTimestamp(at - 11n)))).heldBy, '');
  });

  test('certifies nothing above its own clock', async () => {
    const bed = new CollectedGroup();
    bed.set('k', 'v');
    bed.settle();
    const ahead = hlcTimestamp(now(bed) + (1n << 40n));
    const { ts: answered } = await bed.settled(certify(bed.group, ahead));
    assert.ok(answered < ahead);
    bed.set('k', 'later');
    bed.settle();
    assert.ok(bed.store.latest(Buffer.from('k'))!.commitTs > answered, 'nothing is committed at or below it any more');
  });

  test('certifies nothing when its log cannot be written', async () => {
    const bed = new CollectedGroup();
    bed.set('k', 'v');
    bed.settle();
    bed.raft.stepDown();
    const { ts: answered, heldBy } = await bed.settled(certify(bed.group, hlcTimestamp(5n)));
    assert.equal(answered, 0n);
    assert.match(heldBy, /log/);
  });

  test('takes its threshold to what was published, once', async () => {
    const bed = new CollectedGroup();
    bed.set('k', 'v');
    bed.settle();
    const published = hlcTimestamp(now(bed) - 10n);
    assert.deepEqual(await bed.settled(raise(bed.group, published)), {
      group: GROUP,
      thresholdTs: published,
      heldBy: '',
    });
    const entries = bed.raft.log.length;
    await bed.settled(raise(bed.group, published));
    assert.equal(bed.raft.log.length, entries, 'nothing is written again');
  });

  test('keeps its threshold while a lock could still commit below it', async () => {
    const bed = new CollectedGroup();
    bed.apply(entry.prepare(ts(now(bed)), txn('open', now(bed) - 5n), [put('x', '1')]));
    const { thresholdTs, heldBy } = await bed.settled(raise(bed.group, hlcTimestamp(now(bed) + 100n)));
    assert.equal(thresholdTs, 0n);
    assert.notEqual(heldBy, '');
  });
});

describe('pins of a node', () => {
  test('say which is the oldest, and run out by themselves', () => {
    const clock = new ManualClock();
    const pins = new ReadPins(clock);
    const backup = pins.pin(ts(10), 'backup', 1000);
    pins.pin(ts(20), 'transaction', 5000);
    assert.deepEqual(pins.oldest(), { ts: 10n, purpose: 'backup' });
    clock.advance(900);
    backup.renew();
    clock.advance(900);
    assert.equal(pins.oldest()?.ts, 10n);
    clock.advance(200);
    assert.equal(pins.oldest()?.ts, 20n);
    clock.advance(5000);
    assert.equal(pins.oldest(), undefined);
  });

  test('are released once, and have a limit', () => {
    const pins = new ReadPins(new ManualClock());
    const pin = pins.pin(ts(10), 'read');
    pin.release();
    pin.release();
    assert.equal(pins.oldest(), undefined);
    for (let at = 0; at < 10_000; at++) pins.pin(ts(at + 2), 'read');
    assert.throws(() => pins.pin(ts(1), 'read'), { code: 'PIN_LIMIT' });
    pins.hold(ts(1), 'work that is under way');
    assert.deepEqual(pins.oldest(), { ts: 1n, purpose: 'work that is under way' });
  });

  test('are lowered to what is read besides, and last a while for whoever was cut off', () => {
    const clock = new ManualClock();
    const pins = new ReadPins(clock);
    const pin = pins.hold(ts(20), 'snapshot');
    pin.lower(ts(30));
    assert.equal(pins.oldest()?.ts, 20n);
    pin.lower(ts(10));
    assert.equal(pins.oldest()?.ts, 10n);
    pin.release(500);
    clock.advance(499);
    assert.equal(pins.oldest()?.ts, 10n);
    clock.advance(1);
    assert.equal(pins.oldest(), undefined);
  });
});
