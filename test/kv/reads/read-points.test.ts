/** Linearizable reads on a replica that asks its leader how far to come, guard by guard. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ForwardHandler, KvService } from '../../../src/kv/contract/service.ts';
import type { PointView } from '../../../src/kv/reads/point-view.ts';
import { type PointReplica, ReadPoints, serveReadPoints } from '../../../src/kv/reads/read-points.ts';
import { type GroupId, groupId } from '../../../src/platform/index.ts';
import { BusyError, NotLeaderError } from '../../../src/raftengine/errors.ts';
import { bytes, GROUP } from '../../support/lone-group.ts';
import { ManualClock, ManualScheduler } from '../../support/manual-time.ts';
import { captureOn, fence, Machine, put, ts } from '../span-machine.ts';
import { entry, put as intent, txn } from '../txn/entries.ts';

const CATCH_UP_MS = 50;
const REST_MS = 250;

/** A replica of a group that is led elsewhere, and the questions that it asks. */
class Asking {
  readonly clock = new ManualClock();
  readonly scheduler = new ManualScheduler(this.clock);
  readonly machine = new Machine(['a', 'z']);
  /** Questions that are under way, and how each is answered. */
  readonly questions: { readonly payload: Buffer; readonly answer: (error?: Error, reply?: Buffer) => void }[] = [];
  readonly appliedWaiters: (() => void)[] = [];
  isHere = true;
  isLed = true;
  readonly points: ReadPoints;

  constructor() {
    const { clock, scheduler } = this;
    const kv: Pick<KvService, 'forward'> = {
      forward: (_group, _service, payload, _deadlineMs, done) =>
        this.questions.push({ payload, answer: (error, reply) => done(error, reply) }),
    };
    this.points = new ReadPoints({ kv, replicaOf: () => (this.isHere ? this.replica() : undefined), clock, scheduler });
  }

  private replica(): PointReplica {
    const { machine, store } = this.machine;
    return {
      raft: {
        leader: () => (this.isLed ? { nodeId: 2 as never, term: 1 } : undefined),
        status: () => assert.fail('it does not lead'),
        waitApplied: (_index, signal) =>
          new Promise((resolve, reject) => {
            signal?.addEventListener('abort', () => reject(new Error('late')));
            this.appliedWaiters.push(resolve);
          }),
      },
      executor: { draw: () => assert.fail('it does not lead') },
      state: { stateMachine: machine, store },
    };
  }

  /** Reads keys. @returns what was read once it was; undefined stands for a read that the leader is to answer */
  read(...keys: readonly string[]): { outcome?: readonly (string | undefined)[] | 'leader' } {
    const result: { outcome?: readonly (string | undefined)[] | 'leader' } = {};
    this.points.readAtPoint(GROUP, (view) => {
      result.outcome = view === undefined ? 'leader' : valuesOf(view, keys);
    });
    return result;
  }

  /** The question that left last is answered. */
  answer(index: number, atTs = 1_000): void {
    const reply = Buffer.alloc(16);
    reply.writeBigUInt64BE(BigInt(index), 0);
    reply.writeBigUInt64BE(BigInt(atTs), 8);
    this.questions.pop()!.answer(undefined, reply);
  }

  async settle(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.scheduler.endTurn();
  }
}

function valuesOf(view: PointView, keys: readonly string[]): readonly (string | undefined)[] | 'leader' {
  view.begin();
  try {
    return keys.map((key) => view.get(bytes(key))?.value.toString());
  } catch (error) {
    if (!view.isStopped) throw error;
    return 'leader';
  }
}

describe('a read of a replica at a read point', () => {
  test('is answered from what is applied when the replica has come there', () => {
    const asking = new Asking();
    asking.machine.batch(90, [put(0, 'k', 'v')]);
    const read = asking.read('k', 'l');
    assert.equal(asking.questions.length, 0, 'the turn is not over');
    asking.scheduler.endTurn();
    assert.equal(asking.questions[0]!.payload.readUInt32BE(0), GROUP);
    asking.answer(asking.machine.index);
    assert.deepEqual(read.outcome, ['v', undefined]);
  });

  test('waits for a replica that is behind, and not for long', async () => {
    const asking = new Asking();
    const read = asking.read('k');
    asking.scheduler.endTurn();
    asking.answer(asking.machine.index + 1);
    assert.equal(read.outcome, undefined);
    asking.machine.batch(90, [put(0, 'k', 'v')]);
    asking.appliedWaiters.pop()!();
    await asking.settle();
    assert.deepEqual(read.outcome, ['v']);

    const late = asking.read('k');
    asking.scheduler.endTurn();
    asking.answer(asking.machine.index + 1);
    asking.scheduler.advance(CATCH_UP_MS);
    await asking.settle();
    assert.equal(late.outcome, 'leader');
  });

  test('that came after a question had left waits for the next one', () => {
    const asking = new Asking();
    const first = asking.read('k');
    asking.scheduler.endTurn();
    const second = [asking.read('k'), asking.read('k')];
    asking.scheduler.endTurn();
    assert.equal(asking.questions.length, 1, 'one at a time');
    asking.answer(asking.machine.index);
    assert.deepEqual(first.outcome, [undefined]);
    assert.deepEqual(second[0]!.outcome, undefined);
    asking.machine.batch(90, [put(0, 'k', 'v')]);
    asking.scheduler.endTurn();
    asking.answer(asking.machine.index);
    assert.deepEqual(
      second.map(({ outcome }) => outcome),
      [['v'], ['v']],
    );
  });

  test('is left to the leader where a key is not owned, is locked, or too much is read', () => {
    const asking = new Asking();
    asking.machine.apply(entry.prepare(50n, txn('t'), [intent('k', 'v')]));
    const reads = [asking.read('zz'), asking.read('k'), asking.read('l'), asking.read(...new Array(1025).fill('l'))];
    asking.scheduler.endTurn();
    asking.answer(asking.machine.index);
    assert.deepEqual(
      reads.map(({ outcome }) => outcome),
      ['leader', 'leader', [undefined], 'leader'],
    );
  });

  test('sees a range that is fenced, and not one that was given away', () => {
    const asking = new Asking();
    const { machine } = asking;
    machine.batch(20, [put(0, 'g', 'v')]);
    machine.done(captureOn);
    machine.done(fence);
    const fenced = asking.read('g');
    asking.scheduler.endTurn();
    asking.answer(machine.index);
    assert.deepEqual(fenced.outcome, ['v']);
    machine.span({ kind: 'release', job: 1 as never, attempt: 1, dst: groupId(9), fenceTs: ts(70) });
    const gone = asking.read('g');
    asking.scheduler.endTurn();
    asking.answer(machine.index);
    assert.equal(gone.outcome, 'leader');
  });

  test('judges what expires by the leader, and by everything that it sees', () => {
    const asking = new Asking();
    asking.machine.batch(90, [put(0, 'k', 'v', 200)]);
    const at = (askedTs: number) => {
      const read = asking.read('k');
      asking.scheduler.endTurn();
      asking.answer(asking.machine.index, askedTs);
      return read.outcome;
    };
    assert.deepEqual(at(199), ['v']);
    assert.deepEqual(at(200), [undefined]);
    // What is seen was written after the key had expired.
    asking.machine.batch(300, [put(0, 'l', 'later')]);
    assert.deepEqual(at(199), [undefined]);
  });

  test('is left to the leader while a snapshot is swapped in, and where the replica has gone', () => {
    const asking = new Asking();
    const swapped = asking.read('k');
    asking.scheduler.endTurn();
    const { store } = asking.machine;
    const index = asking.machine.index;
    Object.defineProperty(store, 'appliedIndex', { value: index + 5, configurable: true });
    asking.answer(index);
    assert.equal(swapped.outcome, 'leader');
    asking.clock.advance(REST_MS);
    const gone = asking.read('k');
    asking.scheduler.endTurn();
    asking.isHere = false;
    asking.answer(index);
    assert.equal(gone.outcome, 'leader');
    asking.clock.advance(REST_MS);
    assert.equal(asking.points.mayReadAtPoint(GROUP), false);
  });

  test('is not tried for a while after a question in vain, nor where no leader is known', () => {
    const asking = new Asking();
    assert.equal(asking.points.mayReadAtPoint(GROUP), true);
    const read = asking.read('k');
    asking.scheduler.endTurn();
    const later = asking.read('k');
    asking.questions.pop()!.answer(new BusyError('no'), undefined);
    assert.deepEqual([read.outcome, later.outcome], ['leader', 'leader']);
    assert.equal(asking.points.mayReadAtPoint(GROUP), false);
    asking.clock.advance(REST_MS);
    assert.equal(asking.points.mayReadAtPoint(GROUP), true);
    asking.isLed = false;
    assert.equal(asking.points.mayReadAtPoint(GROUP), false);
  });
});

describe('the leader of a group', () => {
  /** @param draw how the leader draws a timestamp */
  const asked = (draw: (done: (error: Error | undefined, ts: unknown) => void) => void, committed: () => number) => {
    let handler: ForwardHandler | undefined;
    const replica = {
      raft: { status: () => ({ commitIndex: committed() }) },
      executor: { draw: (_count: number, done: never) => draw(done) },
    } as unknown as PointReplica;
    const onForward = (_service: string, given: ForwardHandler): void => {
      handler = given;
    };
    serveReadPoints({ onForward }, (group: GroupId) => (group === GROUP ? replica : undefined));
    const answers: unknown[] = [];
    const ask = (payload: Buffer) =>
      handler!(payload, (error, reply) => answers.push(error ?? (reply as Buffer).toString('hex')));
    const question = Buffer.alloc(4);
    question.writeUInt32BE(GROUP);
    ask(question);
    return { ask, answers };
  };

  test('says how far it is committed once it is certain that it leads, in these bytes', () => {
    let certain: (() => void) | undefined;
    let committed = 17;
    const { answers } = asked(
      (done) => (certain = () => done(undefined, ts(258))),
      () => committed,
    );
    committed = 18;
    assert.deepEqual(answers, []);
    certain!();
    assert.deepEqual(answers, ['00000000000000120000000000000102']);
  });

  test('says nothing when it does not lead, or has no replica', () => {
    const { ask, answers } = asked(
      (done) => done(new NotLeaderError(undefined), undefined),
      () => 1,
    );
    ask(Buffer.from([0, 0, 0xff, 0xff]));
    assert.deepEqual(
      answers.map((answer) => (answer as Error).name),
      ['NotLeaderError', 'NotLeaderError'],
    );
    assert.throws(() => ask(Buffer.alloc(3)), /damaged/);
  });
});
