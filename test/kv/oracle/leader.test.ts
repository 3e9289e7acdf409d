import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { CeilingExpiredError, TimestampAheadError } from '../../../src/kv/contract/errors.ts';
import { encodeFence } from '../../../src/kv/entry/time-entries.ts';
import {
  decodeGrant,
  decodeOracleMessage,
  decodeOracleStatus,
  encodeGrant,
  encodeOracleMessage,
  encodeOracleStatus,
  type Grant,
} from '../../../src/kv/oracle/codec.ts';
import { type OracleGroup, OracleLeader } from '../../../src/kv/oracle/leader.ts';
import { FIRST_AUTHORITY, reachedTs } from '../../../src/kv/time/authority.ts';
import { groupId, type HlcTimestamp, hlcTimestamp, nodeId, timestampOfMs } from '../../../src/platform/index.ts';
import { NotLeaderError } from '../../../src/raftengine/errors.ts';
import { GROUP, LoneGroup } from '../../support/lone-group.ts';

const NONE = hlcTimestamp(0n);

interface Answer {
  error: Error | undefined;
  grant: Grant | undefined;
  isDone: boolean;
}

/** A group of one that is the oracle. */
class OracleOfOne extends LoneGroup {
  readonly oracle = new OracleLeader((group) => (group === GROUP ? this.executor : undefined));

  constructor() {
    super();
    this.fence({ kind: 'fence', mode: 'bridge', epoch: 1, oracle: GROUP });
    this.fence({ kind: 'open', epoch: 1, floor: NONE });
  }

  fence(command: Parameters<typeof encodeFence>[0]): void {
    this.raft.apply(encodeFence(command));
  }

  ask(count = 1, after: HlcTimestamp = NONE, isShadow = false): Answer {
    const answer: Answer = { error: undefined, grant: undefined, isDone: false };
    this.oracle.get({ kind: 'get', group: GROUP, count, after, isShadow }, (error, grant) => {
      assert.ok(!answer.isDone, 'a request is answered once');
      Object.assign(answer, { error, grant, isDone: true });
    });
    return answer;
  }
}

const lastOf = (answer: Answer): bigint => {
  assert.equal(answer.error, undefined);
  assert.equal(answer.grant?.kind, 'granted');
  return (answer.grant as Grant & { kind: 'granted' }).last;
};

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the oracle', () => {
  test('grants consecutive timestamps above everything it was told, with the epoch they are drawn under', () => {
    const bed = new OracleOfOne();
    const first = lastOf(bed.ask(100));
    const second = lastOf(bed.ask(1));
    assert.ok(second > first);
    const after = hlcTimestamp(timestampOfMs(bed.clock.wallMs + 400) | 5n);
    const third = lastOf(bed.ask(10, after));
    assert.ok(third - 9n > after);
    assert.equal((bed.ask().grant as { epoch?: number }).epoch, 1);
  });

  test('refuses what leads its clock too far, batches that are too large, and groups that it does not lead', () => {
    const bed = new OracleOfOne();
    assert.ok(bed.ask(1, timestampOfMs(bed.clock.wallMs + 3501)).error instanceof TimestampAheadError);
    assert.equal(bed.ask(65_537).error?.constructor.name, 'TooLargeError');
    assert.equal(bed.ask(65_536).error, undefined);
    bed.raft.stepDown();
    assert.ok(bed.ask().error instanceof NotLeaderError);
    assert.throws(() => bed.oracle.status(groupId(9)), NotLeaderError);
  });

  test('answers only as long as its group names it, and names the one who does', async () => {
    const bed = new OracleOfOne();
    bed.raft.hasLease = false;
    const asked = bed.ask();
    bed.fence({ kind: 'fence', mode: 'tso', epoch: 2, oracle: groupId(9) });
    bed.scheduler.endTurn();
    for (const barrier of bed.raft.barriers) barrier.resolve();
    await settled();
    assert.equal(asked.grant?.kind, 'refused', 'fenced between the draw and the answer');
    const later = bed.ask();
    assert.ok(later.grant?.kind === 'refused' && later.grant.authority.oracle === 9);
    bed.raft.hasLease = true;
    assert.equal(bed.ask(1, NONE, true).grant?.kind, 'granted', 'a shadow may ask anybody');
  });

  test('is not open before it was told how far the others had come, and then begins above that', () => {
    const bed = new LoneGroup();
    const oracle = new OracleLeader(() => bed.executor);
    bed.raft.apply(encodeFence({ kind: 'fence', mode: 'tso', epoch: 4, oracle: GROUP }));
    let grant: Grant | undefined;
    const ask = (): void =>
      oracle.get({ kind: 'get', group: GROUP, count: 1, after: NONE, isShadow: false }, (_error, answer) => {
        grant = answer;
      });
    ask();
    assert.equal((grant as Grant | undefined)?.kind, 'refused');
    const floor = hlcTimestamp(timestampOfMs(bed.clock.wallMs + 500) | 77n);
    bed.raft.apply(encodeFence({ kind: 'open', epoch: 4, floor }));
    ask();
    const opened = grant as Grant | undefined;
    assert.ok(opened?.kind === 'granted' && opened.last > floor);
    assert.ok(bed.stateMachine.maxTs >= floor, 'so that the next leader begins above it too');
  });

  test('T15: an old leader that wakes with an unexpired window answers nothing', async () => {
    const bed = new OracleOfOne();
    const early = lastOf(bed.ask());
    // It slept; its lease is over, its window is not. Another one leads and serves meanwhile.
    bed.raft.hasLease = false;
    assert.ok(bed.executor.clock.hasRoom());
    const late = bed.ask();
    assert.ok(!late.isDone, 'it is asked whether it leads');
    bed.scheduler.endTurn();
    for (const barrier of bed.raft.barriers) barrier.reject(new NotLeaderError(nodeId(2)));
    await settled();
    assert.ok(late.error instanceof NotLeaderError);
    assert.ok(early > 0n);
  });

  test('never answers, once another leader has served, with less than that one said', async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('ask' as const), node: fc.nat(1) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('depose' as const), node: fc.constant(0) }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('turn' as const), node: fc.nat(1) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('skew' as const), node: fc.nat(1) }) },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60 }),
        fc.integer({ min: -9000, max: 9000 }),
        async (steps, skewMs) => {
          const beds = [new OracleOfOne(), new OracleOfOne()];
          beds[1]!.raft.stepDown();
          let leading = 0;
          // Both have the same log; only what `leading` proposes gets into it, and only it has its barriers confirmed.
          let served = 0n;
          const open: { answer: Answer; node: number; servedBefore: bigint }[] = [];
          const look = (): void => {
            for (const { answer, servedBefore } of open) {
              if (answer.grant?.kind !== 'granted') continue;
              assert.ok(answer.grant.last > servedBefore, 'above everything that was answered before it was asked for');
            }
            for (const { answer } of open.filter((one) => one.answer.isDone)) {
              if (answer.grant?.kind === 'granted' && answer.grant.last > served) served = answer.grant.last;
            }
            open.splice(0, open.length, ...open.filter((one) => !one.answer.isDone));
          };
          for (const { kind, node } of steps) {
            const bed = beds[node]!;
            if (kind === 'ask') {
              open.push({ answer: bed.ask(3), node, servedBefore: served });
            } else if (kind === 'skew') {
              bed.clock.wallMs += skewMs;
            } else if (kind === 'turn') {
              bed.scheduler.endTurn();
              if (node === leading) bed.raft.commit();
              for (const barrier of bed.raft.barriers.splice(0)) {
                if (node === leading) barrier.resolve();
                else barrier.reject(new NotLeaderError(nodeId(2)));
              }
              await settled();
            } else {
              // The old one does not hear of it; its lease has run out by then, or it would have been waited for.
              beds[leading]!.raft.hasLease = false;
              const { ceilingMs } = beds[leading]!.stateMachine;
              const { maxTs } = beds[leading]!.stateMachine;
              leading = 1 - leading;
              const next = beds[leading]!;
              if (next.executor.isServing) next.raft.stepDown();
              next.raft.barriers.splice(0);
              next.fence({ kind: 'open', epoch: 1, floor: reachedTs({ maxTs, ceilingMs }) });
              next.raft.hasLease = true;
              next.raft.leaderId = nodeId(1);
              next.raft.commitsFirstCeiling = false;
              next.raft.lead();
            }
            look();
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  test('waits for its ceiling instead of failing, and tells where it stands', async () => {
    const bed = new OracleOfOne();
    bed.scheduler.advance(10_000);
    const asked = bed.ask();
    assert.ok(!asked.isDone);
    bed.raft.commit(1);
    await settled();
    lastOf(asked);
    const status = bed.oracle.status(GROUP);
    assert.equal(status.boundMs, bed.executor.clock.bound);
    assert.equal(status.leadMs, 0);
    assert.deepEqual(status.authority, { mode: 'bridge', epoch: 1, oracle: GROUP, isOpen: true });
  });

  test('takes steps of a change through the log, and refuses those of an older one', async () => {
    const bed = new OracleOfOne();
    const fenced = bed.oracle.fence(GROUP, { kind: 'fence', mode: 'tso', epoch: 5, oracle: groupId(9) });
    bed.settle();
    const status = await fenced;
    assert.ok(status.isDone && status.authority.epoch === 5);
    assert.ok(reachedTs(status) >= bed.hlc.last, 'everything that was issued is below what the fence says');
    assert.ok(bed.stateMachine.checkAuthority(5) && !bed.stateMachine.checkAuthority(1));
    for (const command of [
      { kind: 'fence', mode: 'bridge', epoch: 4, oracle: GROUP },
      { kind: 'fence', mode: 'bridge', epoch: 5, oracle: GROUP },
      { kind: 'fence', mode: 'tso', epoch: 4, oracle: groupId(9) },
      { kind: 'open', epoch: 4, floor: NONE },
    ] as const) {
      const refused = bed.oracle.fence(GROUP, command);
      bed.settle();
      assert.equal((await refused).isDone, false, JSON.stringify(command.kind));
    }
    await assert.rejects(
      bed.oracle.fence(GROUP, { kind: 'open', epoch: 5, floor: timestampOfMs(bed.clock.wallMs + 31_000) }),
      TimestampAheadError,
    );
  });

  test('grants nothing between the log and the apply of a fence that the fence would not know of', async () => {
    const bed = new OracleOfOne();
    const fenced = bed.oracle.fence(GROUP, { kind: 'fence', mode: 'tso', epoch: 5, oracle: groupId(9) });
    bed.scheduler.advance(10_000);
    const asked = bed.ask();
    bed.scheduler.endTurn();
    bed.raft.commitOnly();
    await settled();
    assert.ok(!asked.isDone, 'its ceiling is behind the fence');
    bed.settle();
    await settled();
    assert.equal(asked.grant?.kind, 'refused');
    assert.ok((await fenced).isDone);
    bed.scheduler.advance(10_000);
    const write = bed.set('a', '1');
    bed.scheduler.endTurn();
    bed.raft.commitOnly();
    bed.scheduler.endTurn();
    bed.settle();
    assert.equal(write.reply, 'OK');
  });

  test('keeps the authority over a restart', () => {
    const bed = new OracleOfOne();
    const { store } = bed;
    assert.deepEqual(new LoneGroup({}, store).stateMachine.authority, bed.stateMachine.authority);
    assert.deepEqual(new LoneGroup().stateMachine.authority, FIRST_AUTHORITY);
  });

  test('asks an executor that may fail to draw', () => {
    const failing: OracleGroup = new LoneGroup().executor;
    const oracle = new OracleLeader(() => ({
      ...failing,
      isServing: true,
      authority: { ...FIRST_AUTHORITY, oracle: GROUP },
      clock: failing.clock,
      timeState: () => failing.timeState(),
      fence: (command) => failing.fence(command),
      draw: (_count, done) => done(new CeilingExpiredError('reached'), undefined),
    }));
    let failure: Error | undefined;
    oracle.get({ kind: 'get', group: GROUP, count: 1, after: NONE, isShadow: false }, (error) => {
      failure = error;
    });
    assert.ok(failure instanceof CeilingExpiredError);
  });
});

describe('messages of the oracle', () => {
  const ts = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }).map(hlcTimestamp);
  const number = fc.maxSafeNat();
  const authority = fc.record(
    {
      mode: fc.constantFrom('local', 'bridge', 'tso'),
      epoch: number,
      oracle: fc.nat(0xffff).map(groupId),
      isOpen: fc.boolean(),
    },
    { noNullPrototype: true },
  );

  test('come back from their bytes as they were', () => {
    fc.assert(
      fc.property(ts, number, authority, fc.integer(), (stamp, count, who, leadMs) => {
        const group = groupId(count % 0xffff);
        for (const message of [
          { kind: 'get', group, count: count % 65_536, after: stamp, isShadow: count % 2 === 0 },
          { kind: 'status', group },
          { kind: 'fence', group, command: { kind: 'open', epoch: count, floor: stamp } },
        ] as const) {
          assert.deepEqual(decodeOracleMessage(encodeOracleMessage(message)), message);
        }
        for (const grant of [
          { kind: 'granted', last: stamp, epoch: count },
          { kind: 'refused', authority: who },
        ] as const) {
          assert.deepEqual(decodeGrant(encodeGrant(grant)), grant);
        }
        const status = { isDone: true, authority: who, maxTs: stamp, ceilingMs: count, boundMs: count, leadMs };
        assert.deepEqual(decodeOracleStatus(encodeOracleStatus(status)), status);
      }),
    );
  });

  test('are refused when they are cut or of another version', () => {
    const whole = encodeOracleMessage({ kind: 'get', group: GROUP, count: 1, after: NONE, isShadow: false });
    for (let length = 0; length < whole.length; length++)
      assert.throws(() => decodeOracleMessage(whole.subarray(0, length)));
    assert.throws(() => decodeOracleMessage(Buffer.concat([Buffer.from([9]), whole.subarray(1)])));
  });
});
