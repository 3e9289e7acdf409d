import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { statusOf as grpcStatusOf } from '../../../src/adapter/grpc/errors.ts';
import { errorText } from '../../../src/adapter/redis/protocol/errors.ts';
import { PLAIN_KEYS } from '../../../src/distribution/keyspaces.ts';
import { isHeldBack, KeyVersionPressureError, WriteBackpressureError } from '../../../src/kv/admission/errors.ts';
import { GroupAdmission } from '../../../src/kv/admission/group-admission.ts';
import { NodeAdmission } from '../../../src/kv/admission/node-admission.ts';
import { judgePressure, type PressureSignals } from '../../../src/kv/admission/pressure.ts';
import { errorOf, statusOf } from '../../../src/kv/forward/forward-errors.ts';
import { GroupExecutor } from '../../../src/kv/leader/executor.ts';
import { groupId, type NodeId, nodeId } from '../../../src/platform/index.ts';
import type { GroupStatus } from '../../../src/raftengine/contract/types.ts';
import type { GroupStore } from '../../../src/store/contract/types.ts';
import { bytes, LoneGroup, Outcome } from '../../support/lone-group.ts';
import { ManualClock, ManualScheduler } from '../../support/manual-time.ts';
import { put, txn, entry as txnEntry } from '../txn/entries.ts';

const CALM: PressureSignals = {
  freeBytes: 100,
  reserveBytes: 10,
  isOutOfSpace: false,
  bufferShare: 0,
  levelZeroFiles: 0,
  applyLag: 0,
  syncP99Ms: 1,
  longestStallMs: 0,
};

describe('pressure of a replica', () => {
  test('is what presses most, with its reason', () => {
    assert.deepEqual(judgePressure(CALM), { level: 'ok', reason: '' });
    assert.deepEqual(judgePressure({ ...CALM, isOutOfSpace: true }), { level: 'stop', reason: 'the disk is full' });
    assert.equal(judgePressure({ ...CALM, freeBytes: 15 }).level, 'slow');
    assert.match(judgePressure({ ...CALM, freeBytes: 10, bufferShare: 0.8 }).reason, /disk is nearly full/);
    assert.equal(judgePressure({ ...CALM, freeBytes: 9 }).level, 'stop');
    assert.equal(judgePressure({ ...CALM, bufferShare: 0.8 }).level, 'slow');
    assert.equal(judgePressure({ ...CALM, bufferShare: 1 }).level, 'stop');
    assert.equal(judgePressure({ ...CALM, applyLag: 6_000 }).level, 'slow');
    assert.equal(judgePressure({ ...CALM, syncP99Ms: 10_000 }).level, 'stop');
    assert.equal(judgePressure({ ...CALM, levelZeroFiles: 11 }).level, 'slow');
  });

  test('blames the disk only for what the process did not cause itself', () => {
    assert.match(judgePressure({ ...CALM, syncP99Ms: 3_000, longestStallMs: 500 }).reason, /the disk is slow/);
    assert.match(judgePressure({ ...CALM, syncP99Ms: 3_000, longestStallMs: 2_000 }).reason, /processor is overloaded/);
  });

  test('falls only when a signal is well below its mark, so that it does not flap', () => {
    assert.equal(judgePressure({ ...CALM, freeBytes: 11 }, 'stop').level, 'stop');
    assert.equal(judgePressure({ ...CALM, freeBytes: 13 }, 'stop').level, 'slow');
    assert.equal(judgePressure({ ...CALM, bufferShare: 0.7 }, 'slow').level, 'slow');
    assert.equal(judgePressure({ ...CALM, bufferShare: 0.5 }, 'slow').level, 'ok');
  });

  test('never falls when a signal gets worse', () => {
    const signals = fc.record({
      bufferShare: fc.double({ min: 0, max: 2, noNaN: true }),
      applyLag: fc.nat(100_000),
      freeBytes: fc.nat(200),
    });
    const rank = (level: string): number => ['ok', 'slow', 'stop'].indexOf(level);
    fc.assert(
      fc.property(signals, fc.nat(100), (some, more) => {
        const worse = { ...some, applyLag: some.applyLag + more, freeBytes: Math.max(0, some.freeBytes - more) };
        const [one, other] = [judgePressure({ ...CALM, ...some }), judgePressure({ ...CALM, ...worse })];
        assert.ok(rank(other.level) >= rank(one.level));
      }),
    );
  });

  test('does not press where nobody can measure', () => {
    const unknown = { ...CALM, freeBytes: undefined, levelZeroFiles: undefined, syncP99Ms: undefined };
    assert.equal(judgePressure(unknown).level, 'ok');
  });
});

describe('a group that lets writes in', () => {
  test('refuses all of them at stop, some at slow, and those of a heavy key', () => {
    const clock = new ManualClock();
    const admission = new GroupAdmission(clock);
    assert.equal(admission.refuse(bytes('user'), 10), undefined);
    admission.update({ level: 'stop', reason: 'the disk is full' });
    const refused = admission.refuse(bytes('user'), 10) as WriteBackpressureError;
    assert.equal(refused.code, 'WRITE_BACKPRESSURE');
    assert.match(refused.message, /disk is full.*nothing was changed/);
    assert.ok(refused.retryAfterMs > 0);
    admission.update({ level: 'slow', reason: 'the disk is slow' });
    let passed = 0;
    while (admission.refuse(bytes('user'), 100_000) === undefined) passed++;
    assert.ok(passed > 5 && passed < 15, `${passed} of a burst`);
    clock.advance(1_000);
    assert.equal(admission.refuse(bytes('user'), 100_000), undefined, 'tokens come back');
    admission.update({ level: 'ok', reason: '' }, new Set(['hot']));
    assert.equal(admission.refuse(bytes('hot'), 1)?.code, 'KEY_VERSION_PRESSURE');
    assert.equal(admission.refuse(bytes('cold'), 1), undefined);
    admission.update({ level: 'ok', reason: '' });
    assert.equal(admission.isPressed, false);
  });

  test('lets a command in whole at slow, and makes the next ones wait for it, not for ever', () => {
    const clock = new ManualClock();
    const admission = new GroupAdmission(clock);
    admission.update({ level: 'slow', reason: 'the disk is slow' });
    const command = (writes: number, bytesEach: number): number | undefined => {
      for (let at = 0; at < writes; at++) {
        const refusal = admission.refuse(bytes(`k${at}`), bytesEach, at === 0) as WriteBackpressureError | undefined;
        if (refusal !== undefined) return refusal.retryAfterMs;
      }
      return undefined;
    };
    assert.equal(command(100_000, 10), undefined, 'some 27 MB');
    const waitMs = command(1, 10)!;
    assert.ok(waitMs > 900 && waitMs <= 1_000, `${waitMs} ms`);
    clock.advance(waitMs / 2);
    assert.ok(command(1, 10)! < waitMs);
    clock.advance(waitMs / 2 + 1);
    assert.equal(command(1, 64 << 20), undefined, 'a large one needs no more luck than a small one');
    assert.ok(command(1, 10)! <= 1_000);
  });

  test("never refuses the cluster's own rows", () => {
    const admission = new GroupAdmission(new ManualClock());
    admission.update({ level: 'stop', reason: 'the disk is full' });
    assert.equal(admission.refuse(Buffer.from([0, 0x63, 1]), 10), undefined);
  });
});

/** A group of one whose admission the test decides. */
class AdmittedGroup extends LoneGroup {
  readonly admission = new GroupAdmission(this.clock);
  readonly gated: GroupExecutor;

  constructor() {
    super();
    // The listener of the bed's own executor is taken: this one is told by hand.
    const { raft, stateMachine, hlc, scheduler, store } = this;
    const listen = stateMachine.listenToLeadership;
    stateMachine.listenToLeadership = (listener) => {
      listener({ kind: 'serving', term: raft.term });
    };
    this.gated = new GroupExecutor({
      nodeId: nodeId(1),
      raft,
      stateMachine,
      store,
      hlc,
      scheduler,
      limits: { gatherTurns: 0 },
      admission: this.admission,
    });
    stateMachine.listenToLeadership = listen;
    this.raft.commit();
  }

  write(key: string): Outcome<string> {
    const outcome = new Outcome<string>();
    this.gated.submit({
      evaluate: (view) => {
        view.put(bytes(key), bytes('value'), 0n as typeof view.ts);
        return 'OK';
      },
      complete: (error, reply) => outcome.calls.push({ error, reply: reply as string }),
    });
    return outcome;
  }

  read(key: string): Outcome<string | undefined> {
    const outcome = new Outcome<string | undefined>();
    this.gated.submit({
      evaluate: (view) => view.get(bytes(key))?.value.toString(),
      complete: (error, reply) => outcome.calls.push({ error, reply: reply as string }),
    });
    return outcome;
  }
}

describe('the leader of a group under pressure', () => {
  test('refuses writes before anything is proposed, goes on reading, and takes writes again', () => {
    const bed = new AdmittedGroup();
    const first = bed.write('k');
    bed.settle();
    assert.equal(first.reply, 'OK');
    bed.admission.update({ level: 'stop', reason: 'the disk is full' });
    const proposed = bed.raft.log.length;
    const refused = bed.write('k');
    bed.settle();
    assert.equal((refused.error as WriteBackpressureError).code, 'WRITE_BACKPRESSURE');
    assert.equal(bed.raft.log.length, proposed, 'nothing reached the log');
    const read = bed.read('k');
    bed.settle();
    assert.equal(read.reply, 'value');
    bed.admission.update({ level: 'ok', reason: '' });
    const later = bed.write('k');
    bed.settle();
    assert.equal(later.reply, 'OK');
  });

  test('lets a command that writes many keys in as a whole, not key by key until it is refused', () => {
    const bed = new AdmittedGroup();
    bed.admission.update({ level: 'slow', reason: 'the disk is slow' });
    const outcome = new Outcome<string>();
    bed.gated.submit({
      evaluate: (view) => {
        for (let at = 0; at < 4_000; at++) view.put(bytes(`k${at}`), bytes('value'), 0n as typeof view.ts);
        return 'OK';
      },
      complete: (error, reply) => outcome.calls.push({ error, reply: reply as string }),
    });
    bed.settle();
    assert.equal(outcome.reply, 'OK');
    const next = bed.write('k');
    bed.settle();
    assert.equal((next.error as WriteBackpressureError).code, 'WRITE_BACKPRESSURE', 'the next one waits for it');
  });

  test('deletes whole ranges whatever presses', () => {
    const bed = new AdmittedGroup();
    bed.admission.update({ level: 'stop', reason: 'the disk is full' });
    const outcome = new Outcome<string>();
    bed.gated.submit({
      evaluate: (view) => {
        view.deleteRange(bytes('a'), bytes('z'));
        return 'OK';
      },
      complete: (error, reply) => outcome.calls.push({ error, reply: reply as string }),
    });
    bed.settle();
    assert.equal(outcome.reply, 'OK');
  });

  test('refuses new locks, and lets transactions that have theirs end', async () => {
    const bed = new AdmittedGroup();
    const who = txn('open', bed.hlc.peek(), 'x');
    bed.raft.apply(txnEntry.prepare(bed.hlc.peek() + 5n, who, [put('x', '1')]));
    bed.admission.update({ level: 'stop', reason: 'the disk is full' });
    const request = { ...txn('late', bed.hlc.peek(), 'y'), participants: [], authorityEpoch: 0 };
    await assert.rejects(bed.gated.txns.prepare({ ...request, lockTtlMs: 1000, keys: [put('y', '1')] }), {
      code: 'WRITE_BACKPRESSURE',
    });
    const aborted = bed.gated.txns.abort({
      ...who,
      isPrimary: true,
      participants: [],
      writes: [bytes('x')],
      reads: [],
      ranges: [],
    });
    for (let round = 0; round < 50; round++) {
      await Promise.resolve();
      bed.settle();
    }
    assert.deepEqual(await aborted, { kind: 'rolledBack' });
  });
});

/** Nodes whose disks are as full as the test says. */
class FilledNodes {
  readonly clock = new ManualClock();
  readonly scheduler = new ManualScheduler(this.clock);
  readonly free = new Map<number, number>([1, 2, 3].map((id) => [id, 1_000]));
  readonly nodes = new Map<number, NodeAdmission>();
  private readonly handlers = new Map<number, (from: NodeId, header: Buffer) => void>();
  topKeys: { key: Buffer; versions: number; bytes: number }[] = [];
  overhangBytes = 0;

  constructor() {
    for (const id of [1, 2, 3]) this.add(nodeId(id));
  }

  private add(self: NodeId): void {
    const conf = {
      voters: [1, 2, 3].map(nodeId),
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    };
    let applied = 0;
    const store = {
      get appliedIndex() {
        return ++applied;
      },
      pressures: () => ({
        bufferedBytes: 0,
        bufferLimitBytes: 1,
        isOutOfSpace: false,
        overhangBytes: this.overhangBytes,
        lastPass: { topKeys: this.topKeys },
      }),
    } as unknown as GroupStore;
    const node = new NodeAdmission({
      keys: { ...PLAIN_KEYS, align: (key) => bytes(key.toString().split(':')[0]!) },
      network: {
        self,
        onStream: (_kind, handler) => {
          this.handlers.set(self, (from, header) => void handler(from, header, (async function* () {})()));
        },
        stream: async (to, _kind, header) => {
          this.handlers.get(to)!(self, header);
          return Buffer.alloc(0);
        },
      },
      groups: () => [
        {
          groupId: groupId(7),
          store,
          status: () => ({ conf, commitIndex: 0, appliedIndex: 0 }) as unknown as GroupStatus,
        },
      ],
      machine: { space: async () => ({ freeBytes: this.free.get(self)!, totalBytes: 10_000 }) },
      clock: this.clock,
      scheduler: this.scheduler,
      reserveBytes: 100,
      overhangBytes: 1_000,
    });
    this.nodes.set(self, node);
    node.start();
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 100) {
      this.scheduler.advance(100);
      for (let round = 0; round < 10; round++) await Promise.resolve();
    }
  }

  level(id: number): string {
    return this.nodes.get(id)!.of(groupId(7)).level;
  }
}

describe('nodes under pressure', () => {
  test('a leader goes on while a majority has room, and stops when it has not', async () => {
    const cluster = new FilledNodes();
    await cluster.pass(1_000);
    assert.deepEqual(
      [1, 2, 3].map((id) => cluster.level(id)),
      ['ok', 'ok', 'ok'],
    );
    cluster.free.set(2, 50);
    await cluster.pass(2_000);
    assert.deepEqual(
      [1, 2, 3].map((id) => cluster.level(id)),
      ['ok', 'stop', 'ok'],
      'a minority is left behind',
    );
    cluster.free.set(3, 50);
    await cluster.pass(2_000);
    assert.deepEqual(
      [1, 2, 3].map((id) => cluster.level(id)),
      ['stop', 'stop', 'stop'],
    );
    assert.match(cluster.nodes.get(1)!.of(groupId(7)).reason, /node 2, 3 can take no more \(the disk is nearly full\)/);
    cluster.free.set(2, 1_000);
    cluster.free.set(3, 1_000);
    await cluster.pass(4_000);
    assert.deepEqual(
      [1, 2, 3].map((id) => cluster.level(id)),
      ['ok', 'ok', 'ok'],
      'by itself',
    );
  });

  test('history beyond the budget is collected at once, and then its keys are throttled and no others', async () => {
    const cluster = new FilledNodes();
    const node = cluster.nodes.get(1)!;
    cluster.overhangBytes = 850;
    await cluster.pass(11_000);
    assert.equal(node.isOverhangUrgent, true);
    assert.equal(node.of(groupId(7)).isPressed, false);
    cluster.overhangBytes = 2_000;
    cluster.topKeys = [{ key: bytes('hot'), versions: 100_000, bytes: 1_900 }];
    await cluster.pass(11_000);
    assert.equal(node.of(groupId(7)).refuse(bytes('hot'), 1)?.code, 'KEY_VERSION_PRESSURE');
    assert.equal(node.of(groupId(7)).refuse(bytes('hot:row'), 1)?.code, 'KEY_VERSION_PRESSURE', 'a row behind it');
    assert.equal(node.of(groupId(7)).refuse(bytes('other'), 1), undefined);
    cluster.overhangBytes = 100;
    await cluster.pass(11_000);
    assert.equal(node.of(groupId(7)).refuse(bytes('hot'), 1), undefined);
  });
});

describe('errors of held-back writes', () => {
  test('keep code, text and hint on their way from the leader to a client', () => {
    for (const error of [new WriteBackpressureError('the disk is full', 750), new KeyVersionPressureError(5_000)]) {
      const arrived = errorOf({ kind: 'reply', epoch: 1, id: 1, ...statusOf(error) });
      assert.ok(isHeldBack(arrived));
      assert.equal(arrived.code, error.code);
      assert.equal(arrived.message, error.message);
      assert.equal(arrived.retryAfterMs, error.retryAfterMs);
      assert.equal(grpcStatusOf(arrived).metadata!.get('kvorum-retry-ms')[0], String(error.retryAfterMs));
      assert.match(errorText(arrived, true), /^BACKPRESSURE .*nothing was changed/);
    }
  });
});
