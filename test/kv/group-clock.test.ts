import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { GroupStateMachine } from '../../src/kv/apply/state-machine.ts';
import { CeilingExpiredError, TimestampAheadError } from '../../src/kv/contract/errors.ts';
import type { SpanRequest } from '../../src/kv/contract/range-transfer.ts';
import { Opcode } from '../../src/kv/entry/entry.ts';
import { decodeAppliedMeta, encodeAppliedMeta, MetaName } from '../../src/kv/entry/group-meta.ts';
import { encodeSpan } from '../../src/kv/entry/span-entries.ts';
import { encodeLease } from '../../src/kv/entry/time-entries.ts';
import { GroupClock, type RenewalOutcome } from '../../src/kv/time/group-clock.ts';
import { Hlc } from '../../src/kv/time/hlc.ts';
import { type HlcTimestamp, hlcTimestamp, physicalMs, timestampOfMs } from '../../src/platform/index.ts';
import { EntryKind } from '../../src/raftengine/core/types.ts';
import { NotLeaderError } from '../../src/raftengine/errors.ts';
import { bytes, CONF, FakeRaft, LoneGroup } from '../support/lone-group.ts';
import { ManualClock } from '../support/manual-time.ts';
import { MemoryStore } from '../support/memory-store.ts';

const WINDOW_MS = 1000;
const NODES = 3;

/** One node that may lead the group: its wall clock, and what it has applied of the group's log. */
class Candidate {
  readonly clock = new ManualClock();
  hlc = new Hlc(this.clock);
  readonly replicated = { ceilingMs: 0, maxTs: hlcTimestamp(0n) };
  readonly proposals: { ceilingMs: number; done: (outcome: RenewalOutcome) => void }[] = [];
  /** Of `proposals`, how many are committed and not applied. */
  committedCount = 0;
  term = 0;
  groupClock = this.make();

  private make(): GroupClock {
    return new GroupClock({
      hlc: this.hlc,
      replicated: this.replicated,
      propose: (ceilingMs, done) => {
        const reachMs = Math.max(this.clock.nowMs(), this.hlc.lastPhysicalMs);
        assert.ok(
          ceilingMs <= reachMs + WINDOW_MS,
          'no ceiling is further ahead of clock and timestamps than a window',
        );
        this.proposals.push({ ceilingMs, done });
      },
      onRenewed: () => undefined,
      notLeader: () => new NotLeaderError(undefined),
    });
  }

  stop(): void {
    this.groupClock.end();
    for (const { done } of this.proposals.splice(0)) done({ kind: 'failed', error: new Error('lost') });
    this.committedCount = 0;
    this.term = 0;
  }

  /** Forgets what is only in memory. */
  restart(): void {
    this.stop();
    this.hlc = new Hlc(this.clock);
    this.groupClock = this.make();
  }
}

describe('timestamps of a group', () => {
  test('rise across terms, also those that were handed out and never written, whatever clocks and renewals do', () => {
    const node = fc.nat(NODES - 1);
    const step = fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({ kind: fc.constant('take' as const), node, count: fc.integer({ min: 1, max: 65_536 }) }),
      },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('elect' as const), node, hearsOfIt: fc.boolean() }) },
      { weight: 12, arbitrary: fc.record({ kind: fc.constant('commit' as const), node }) },
      { weight: 8, arbitrary: fc.record({ kind: fc.constant('apply' as const), node }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('refuse' as const), node }) },
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constant('skew' as const),
          node,
          offsetMs: fc.integer({ min: -10_000, max: 10_000 }),
        }),
      },
      {
        weight: 3,
        arbitrary: fc.record({ kind: fc.constant('pause' as const), forMs: fc.integer({ min: 1, max: 8_000 }) }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('write' as const), node }) },
      {
        weight: 1,
        arbitrary: fc.record({
          kind: fc.constant('adopt' as const),
          node,
          aheadMs: fc.integer({ min: -100, max: 20_000 }),
        }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const), node }) },
    );
    let issuedInAll = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 120, size: 'max' }), (steps) => {
        const nodes = Array.from({ length: NODES }, () => new Candidate());
        const committed = { ceilingMs: 0, maxTs: hlcTimestamp(0n) };
        let trueMs = nodes[0]!.clock.wallMs;
        const offsets = [0, 0, 0];
        let terms = 0;
        let leader: Candidate | undefined;
        const issued = new Map<number, { first: bigint; last: bigint }>();
        const setClocks = (): void => {
          for (const [at, one] of nodes.entries()) one.clock.wallMs = trueMs + offsets[at]!;
        };
        const commit = (change: { ceilingMs?: number; maxTs?: HlcTimestamp }): void => {
          committed.ceilingMs = Math.max(committed.ceilingMs, change.ceilingMs ?? 0);
          if ((change.maxTs ?? 0n) > committed.maxTs) committed.maxTs = change.maxTs!;
        };
        const applyAll = (one: Candidate): void => {
          Object.assign(one.replicated, committed);
          for (const { done } of one.proposals.splice(0, one.committedCount)) done({ kind: 'raised' });
          one.committedCount = 0;
        };
        for (const one of steps) {
          if (one.kind === 'pause') {
            trueMs += one.forMs;
            setClocks();
            continue;
          }
          const here = nodes[one.node]!;
          if (one.kind === 'skew') {
            offsets[one.node] = one.offsetMs;
            setClocks();
          } else if (one.kind === 'restart') {
            here.restart();
            if (leader === here) leader = undefined;
          } else if (one.kind === 'elect') {
            // The one before may not hear of it for long: it goes on issuing, and commits nothing any more.
            if (leader !== undefined && (one.hearsOfIt || leader === here)) leader.stop();
            here.stop();
            Object.assign(here.replicated, committed);
            leader = here;
            here.term = ++terms;
            here.groupClock.begin();
          } else if (one.kind === 'commit') {
            if (here !== leader) continue;
            const proposal = here.proposals[here.committedCount];
            if (proposal === undefined) continue;
            here.committedCount++;
            commit({ ceilingMs: proposal.ceilingMs });
            here.groupClock.committed(proposal.ceilingMs);
          } else if (one.kind === 'apply') {
            if (here === leader) applyAll(here);
          } else if (one.kind === 'refuse') {
            const [refused] = here.proposals.splice(here.committedCount, 1);
            refused?.done({ kind: 'failed', error: new Error('refused') });
          } else if (one.kind === 'adopt') {
            if (here !== leader) continue;
            const floor = hlcTimestamp(timestampOfMs(here.clock.wallMs + one.aheadMs) | 7n);
            commit({ maxTs: floor, ceilingMs: physicalMs(floor) + 1 });
            applyAll(here);
            here.hlc.observe(floor);
          } else {
            if (here.term === 0) continue;
            const count = one.kind === 'take' ? one.count : 2;
            let last: bigint;
            try {
              last = here.groupClock.take(count);
            } catch (error) {
              assert.ok(error instanceof CeilingExpiredError);
              here.groupClock.request();
              continue;
            }
            issuedInAll++;
            assert.ok(physicalMs(hlcTimestamp(last)) < here.groupClock.bound, 'no batch straddles the bound');
            const first = last - BigInt(count - 1);
            const before = issued.get(here.term);
            assert.ok(before === undefined || first > before.last, 'they rise inside a term');
            issued.set(here.term, { first: before?.first ?? first, last });
            if (one.kind === 'write' && here === leader) commit({ maxTs: hlcTimestamp(last) });
            here.groupClock.keepOpen();
          }
        }
        let end = 0n;
        for (const [, { first, last }] of [...issued].sort(([a], [b]) => a - b)) {
          assert.ok(first > end, 'every timestamp of a term is above those of the terms before');
          end = last;
        }
      }),
      { numRuns: 1000 },
    );
    assert.ok(issuedInAll > 1000, `the random life must issue something: ${issuedInAll}`);
  });

  test('are not issued before the ceiling of the term is committed, nor after leadership', () => {
    const one = new Candidate();
    one.groupClock.begin();
    assert.throws(() => one.groupClock.take(1), CeilingExpiredError);
    const { ceilingMs, done } = one.proposals.shift()!;
    one.replicated.ceilingMs = ceilingMs;
    done({ kind: 'raised' });
    one.groupClock.take(1);
    one.groupClock.end();
    assert.equal(one.groupClock.bound, 0);
    assert.throws(() => one.groupClock.take(1), CeilingExpiredError);
  });

  test('begin above the largest that was applied, where the log knows of no ceiling yet', () => {
    const one = new Candidate();
    one.replicated.maxTs = hlcTimestamp(timestampOfMs(one.clock.wallMs + 5000) | 7n);
    one.groupClock.begin();
    const { ceilingMs, done } = one.proposals.shift()!;
    one.replicated.ceilingMs = ceilingMs;
    done({ kind: 'raised' });
    assert.ok(one.groupClock.take(1) > one.replicated.maxTs);
  });

  test('come in batches that lie below the bound as a whole or are not issued', () => {
    const hlc = new Hlc(new ManualClock());
    const boundMs = hlc.wallMs() + 2;
    hlc.observe(hlcTimestamp(timestampOfMs(boundMs - 1) | 0xfff0n));
    assert.equal(hlc.take(16, boundMs), false);
    assert.equal(hlc.last, timestampOfMs(boundMs - 1) | 0xfff0n, 'nothing was issued');
    assert.equal(hlc.take(15, boundMs), true);
    assert.equal(hlc.last, timestampOfMs(boundMs - 1) | 0xffffn);
    assert.equal(hlc.take(1, boundMs), false);
    assert.equal(hlc.take(1, boundMs + 1), true);
    assert.equal(hlc.last, timestampOfMs(boundMs), 'consecutive across a millisecond');
  });

  test('do not depend on how often the leader changes: a clock that is ahead is not pushed by a whole window each time', () => {
    const nodes = [new Candidate(), new Candidate()];
    const committed = { ceilingMs: 0, maxTs: hlcTimestamp(0n) };
    for (let change = 0; change < 40; change++) {
      const one = nodes[change % 2]!;
      Object.assign(one.replicated, committed);
      one.groupClock.begin();
      const proposal = one.proposals.shift()!;
      committed.ceilingMs = proposal.ceilingMs;
      Object.assign(one.replicated, committed);
      proposal.done({ kind: 'raised' });
      one.groupClock.take(1);
      one.groupClock.end();
    }
    const leadMs = committed.ceilingMs - nodes[0]!.clock.wallMs;
    assert.ok(leadMs < 18 * WINDOW_MS, `${leadMs} ms after forty changes at one instant`);
  });
});

describe('time after an election', () => {
  test('is ahead of the wall clock by no more than the window is longer than the election timeout', () => {
    const ELECTION_MS = 600;
    fc.assert(
      fc.property(
        fc.nat(5_000),
        fc.integer({ min: 0, max: 2_000 }),
        fc.integer({ min: 1, max: 40 }),
        (busyMs, laterMs, stepMs) => {
          const [old, next] = [new Candidate(), new Candidate()];
          const committed = { ceilingMs: 0 };
          const now = (ms: number): void => {
            for (const one of [old, next]) one.clock.wallMs = ms;
          };
          const startMs = old.clock.wallMs;
          /** When what was committed last was proposed: a voter has heard of the leader then or later. */
          let heardMs = startMs;
          const commitAll = (one: Candidate): void => {
            for (const { ceilingMs, done } of one.proposals.splice(0)) {
              committed.ceilingMs = Math.max(committed.ceilingMs, ceilingMs);
              Object.assign(one.replicated, committed);
              done({ kind: 'raised' });
            }
          };
          old.groupClock.begin();
          commitAll(old);
          for (let ms = 0; ms < busyMs; ms += stepMs) {
            now(startMs + ms);
            heardMs = startMs + ms;
            if (!old.groupClock.hasRoom()) old.groupClock.request();
            else old.groupClock.take(2);
            old.groupClock.keepOpen();
            commitAll(old);
          }
          now(heardMs + ELECTION_MS + laterMs);
          Object.assign(next.replicated, committed);
          next.groupClock.begin();
          commitAll(next);
          next.groupClock.take(1);
          const leadMs = next.groupClock.leadMs;
          assert.ok(leadMs <= Math.max(0, WINDOW_MS - ELECTION_MS - laterMs), `${leadMs} ms ahead`);
        },
      ),
      { numRuns: 300 },
    );
  });
});

const isLease = (payload: Buffer): boolean => payload[0] === Opcode.HlcLease;
const leasesOf = (bed: LoneGroup): number => bed.raft.log.filter(isLease).length;

describe('the ceiling of a group', () => {
  test('is not renewed while nobody asks, and whoever comes then waits for one commit instead of failing', () => {
    const bed = new LoneGroup();
    bed.set('a', '1');
    bed.settle();
    bed.scheduler.advance(60_000);
    assert.equal(leasesOf(bed), 0);
    const read = bed.get('a');
    const write = bed.set('a', '2');
    assert.ok(!read.isDone && !write.isDone);
    bed.scheduler.endTurn();
    bed.raft.commit(1);
    assert.equal(read.reply, '1');
    bed.settle();
    assert.equal(write.reply, 'OK');
    assert.equal(leasesOf(bed), 1);
  });

  test('is risen when it is committed: nobody waits until what is before it in the log is applied', () => {
    const bed = new LoneGroup();
    bed.set('a', '1');
    bed.settle();
    const large = bed.set('b', 'large');
    bed.scheduler.endTurn();
    for (let ms = 0; ms < 10_000; ms += 100) {
      bed.scheduler.advance(100);
      const read = bed.get('a');
      bed.scheduler.endTurn();
      bed.raft.commitOnly();
      assert.equal(read.reply, '1', `after ${ms} ms`);
    }
    assert.ok(!large.isDone);
    const { bound } = bed.executor.clock;
    bed.settle();
    assert.equal(large.reply, 'OK');
    assert.ok(bed.executor.clock.bound >= bound && bed.stateMachine.ceilingMs >= bound);
  });

  test('rises with the entries of a busy group, which costs it no entry', () => {
    const bed = new LoneGroup();
    for (let round = 0; round < 600; round++) {
      bed.scheduler.advance(50);
      const write = bed.set('a', String(round));
      bed.settle();
      assert.equal(write.reply, 'OK');
    }
    assert.equal(leasesOf(bed), 0);
    assert.ok(bed.stateMachine.ceilingMs > bed.clock.wallMs);
  });

  test('is renewed ahead of its end for a group that only reads, and no reader waits', () => {
    const bed = new LoneGroup();
    for (let round = 0; round < 600; round++) {
      bed.scheduler.advance(50);
      assert.equal(bed.get('a').reply, undefined);
      bed.scheduler.endTurn();
      bed.raft.commit();
    }
    assert.ok(leasesOf(bed) > 20 && leasesOf(bed) <= 61, `${leasesOf(bed)} entries in 30 s`);
  });

  test('goes ahead of operations that wait for room', () => {
    const bed = new LoneGroup({ maxInflightEntries: 1 });
    bed.set('a', '1');
    bed.scheduler.endTurn();
    const waiting = bed.set('b', '1');
    bed.scheduler.advance(4000);
    const late = bed.get('c');
    bed.scheduler.endTurn();
    assert.ok(bed.raft.log.some(isLease), 'proposed while the pipeline is full');
    assert.equal(waiting.evaluations, 0);
    bed.settle();
    assert.equal(waiting.reply, 'OK');
    assert.equal(late.reply, undefined);
  });

  test('is waited for by what has to be evaluated again, too, ahead of those who came later', () => {
    const bed = new LoneGroup();
    const incr = bed.incr('n');
    bed.scheduler.endTurn();
    const mine = bed.raft.proposals.shift()!;
    const foreign = new LoneGroup();
    foreign.hlc.observe(bed.hlc.next());
    foreign.set('n', '100');
    foreign.settle();
    bed.raft.apply(foreign.raft.log.at(-1)!);
    bed.raft.proposals.push(mine);
    bed.scheduler.advance(10_000);
    bed.raft.commit(1);
    assert.ok(!incr.isDone);
    const later = bed.incr('n');
    assert.equal(leasesOf(bed), 1);
    bed.settle();
    assert.equal(incr.reply, 101);
    assert.equal(later.reply, 102);
  });

  test('fails those who wait with the reason when it cannot be raised', () => {
    const bed = new LoneGroup();
    bed.scheduler.advance(4000);
    const refused = bed.set('a', '1');
    bed.raft.drop('notProposed');
    assert.ok(refused.error instanceof NotLeaderError);
    const lost = bed.set('a', '1');
    bed.raft.drop('unknown');
    assert.ok(lost.error instanceof CeilingExpiredError);
    const deposed = bed.set('a', '1');
    bed.raft.stepDown();
    assert.ok(deposed.isDone && deposed.error !== undefined);
    assert.equal(bed.executor.clock.bound, 0);
  });

  test('rises on and on in a group whose log is years ahead of every clock, and the lead falls', () => {
    const bed = new LoneGroup();
    const aheadMs = 10 * 365 * 86_400_000;
    bed.raft.apply(encodeLease(bed.clock.wallMs + aheadMs));
    bed.raft.stepDown();
    bed.raft.lead();
    const beganMs = bed.executor.clock.leadMs;
    for (let minute = 0; minute < 10; minute++) {
      const write = bed.set('a', String(minute));
      bed.settle();
      assert.equal(write.reply, 'OK');
      bed.scheduler.advance(60_000);
    }
    assert.ok(bed.executor.clock.leadMs < beganMs - 9 * 60_000 * 0.09, `${beganMs} to ${bed.executor.clock.leadMs} ms`);
  });

  test('of a group that is ahead does not keep waiting those who wait for time to pass', () => {
    const bed = new LoneGroup();
    bed.raft.apply(encodeLease(bed.clock.wallMs + 3_600_000));
    bed.raft.stepDown();
    bed.raft.lead();
    bed.set('a', '1', 600_000);
    bed.settle();
    bed.scheduler.advance(590_000);
    const before = bed.get('a');
    bed.settle();
    assert.equal(before.reply, '1', 'no earlier than it should');
    bed.scheduler.advance(80_000);
    const after = bed.get('a');
    bed.settle();
    assert.equal(after.reply, undefined, 'and a tenth later at most');
  });

  test('makes the first operation of a new leader wait, and scans, span commands and draws too', async () => {
    const bed = new LoneGroup();
    bed.raft.stepDown();
    bed.raft.commitsFirstCeiling = false;
    bed.raft.lead();
    const read = bed.get('a');
    const page = bed.executor.scan({ start: bytes('a'), end: bytes('z'), limit: 10 });
    let drawn: HlcTimestamp | undefined;
    bed.executor.draw(1, (_error, ts) => {
      drawn = ts;
    });
    assert.ok(!read.isDone);
    assert.equal(bed.raft.proposals.length, 1);
    assert.ok(isLease(bed.raft.proposals[0]!.payload));
    bed.raft.commit(1);
    assert.equal(read.reply, undefined);
    assert.equal((await page).rows.length, 0);
    assert.ok(drawn !== undefined);
  });

  test('and the largest timestamp come back whole after a restart, also the logical half', () => {
    const store = new MemoryStore();
    const bed = new LoneGroup({}, store);
    for (let at = 0; at < 20; at++) bed.set('a', String(at));
    bed.settle();
    const { maxTs, ceilingMs } = bed.stateMachine;
    assert.ok((maxTs & 0xffffn) > 0n && ceilingMs > 0);
    const again = new GroupStateMachine({ store, initialConf: CONF });
    assert.equal(again.maxTs, maxTs);
    assert.equal(again.ceilingMs, ceilingMs);
    assert.deepEqual(decodeAppliedMeta(encodeAppliedMeta({ term: 7, maxTs, ceilingMs: 0 })), {
      term: 7,
      maxTs,
      ceilingMs: 0,
    });
    assert.equal(
      encodeAppliedMeta({ term: 7, maxTs, ceilingMs: 0 }).length,
      16,
      'as it was before there were ceilings',
    );
  });

  test('is the same on all replicas, whatever order of raising entries', () => {
    const machines = [new MemoryStore(), new MemoryStore()].map((store) => ({
      store,
      machine: new GroupStateMachine({ store, initialConf: CONF }),
    }));
    const payloads = [encodeLease(5000), encodeLease(3000), encodeLease(9000)];
    const ceilings: number[] = [];
    for (const [at, payload] of payloads.entries()) {
      for (const { machine } of machines) {
        machine.apply([{ index: at + 1, term: 1, kind: EntryKind.Normal, payload, conf: undefined }]);
      }
      ceilings.push(machines[0]!.machine.ceilingMs);
      const [a, b] = machines.map(({ store }) => store.meta(MetaName.Applied));
      assert.deepEqual(a, b);
    }
    assert.deepEqual(ceilings, [5000, 5000, 9000], 'it never falls');
  });
});

/** Lets the group work until a command to it is answered. */
async function settled<Answer>(bed: LoneGroup, command: Promise<Answer>): Promise<Answer> {
  let isOver = false;
  const over = (): void => {
    isOver = true;
  };
  command.then(over, over);
  for (let round = 0; !isOver && round < 1_000; round++) {
    bed.settle();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(isOver, 'the command is answered');
  return command;
}

describe('times that come from elsewhere', () => {
  const incoming: SpanRequest = { kind: 'incoming', job: 1, attempt: 1, start: bytes('f'), end: bytes('p') };

  /** A group that has been promised a range. */
  const destination = async () => {
    const bed = new LoneGroup({}, new MemoryStore(), { ownsEverything: false });
    bed.raft.apply(encodeSpan(hlcTimestamp(1n), { kind: 'assign', start: bytes('a'), end: bytes('f'), epoch: 1 }));
    assert.equal((await settled(bed, bed.executor.spans.command(incoming))).outcome.kind, 'done');
    return bed;
  };

  const activate = async (bed: LoneGroup, floor: HlcTimestamp) => {
    const request: SpanRequest = {
      kind: 'activate',
      job: 1,
      floor,
      epoch: 2,
      gcThreshold: hlcTimestamp(0n),
      imports: 0,
    };
    return settled(bed, bed.executor.spans.command(request));
  };

  test('T9: a range that brings (c, 7) is written above (c, 7), not at (c, 0), by this leader and by the next', async () => {
    const bed = await destination();
    const floor = hlcTimestamp(timestampOfMs(bed.clock.wallMs + 4_000) | 7n);
    assert.equal((await activate(bed, floor)).outcome.kind, 'done');
    assert.ok(bed.stateMachine.maxTs >= floor);
    assert.ok(bed.stateMachine.ceilingMs > physicalMs(floor));
    const write = bed.set('g', '1');
    bed.settle();
    assert.equal(write.reply, 'OK');
    assert.ok(bed.store.latest(bytes('g'))!.commitTs > floor);
    const next = new GroupStateMachine({ store: bed.store, initialConf: CONF });
    assert.ok(next.maxTs > floor && next.ceilingMs > physicalMs(floor));
  });

  test('T10: an empty range is written above its fence all the same', async () => {
    const bed = await destination();
    const fenceTs = hlcTimestamp(timestampOfMs(bed.clock.wallMs + 9_000) | 3n);
    await activate(bed, fenceTs);
    const write = bed.set('h', 'first');
    bed.settle();
    assert.equal(write.reply, 'OK');
    assert.ok(bed.store.latest(bytes('h'))!.commitTs > fenceTs);
  });

  test('reach the clock of every replica that applies them', async () => {
    const bed = await destination();
    const clock = new ManualClock();
    const hlc = new Hlc(clock);
    const store = new MemoryStore();
    const follower = new GroupStateMachine({ store, initialConf: CONF });
    follower.listenToAdoptions((ts) => hlc.observe(ts));
    const floor = hlcTimestamp(timestampOfMs(bed.clock.wallMs + 5_000) | 9n);
    await activate(bed, floor);
    const raft = new FakeRaft(follower, store);
    raft.apply(Buffer.alloc(0));
    raft.apply(encodeSpan(hlcTimestamp(1n), { kind: 'assign', start: bytes('a'), end: bytes('f'), epoch: 1 }));
    for (const payload of bed.raft.log.filter((entry) => !isLease(entry))) raft.apply(payload);
    assert.ok(hlc.last >= floor);
    assert.ok(follower.ceilingMs > physicalMs(floor), 'also where no leader raised it before');
    assert.equal(follower.maxTs, bed.stateMachine.maxTs);
  });

  test('are refused where they arrive when they lead the wall clock by more than clocks may', async () => {
    const bed = await destination();
    const before = bed.hlc.last;
    const { clock } = bed.executor;
    const farMs = bed.clock.wallMs + 3 * WINDOW_MS + 501;
    assert.throws(() => clock.observeForeign(timestampOfMs(farMs)), TimestampAheadError);
    const absurd = timestampOfMs(bed.clock.wallMs + 30 * WINDOW_MS + 1);
    const activation = {
      kind: 'activate',
      job: 1,
      floor: absurd,
      epoch: 2,
      gcThreshold: hlcTimestamp(0n),
      imports: 0,
    } as const;
    await assert.rejects(bed.executor.spans.command(activation), TimestampAheadError);
    const versions = [{ key: bytes('g'), commitTs: absurd, expireTs: hlcTimestamp(0n), value: bytes('1') }];
    const request = { job: 1, attempt: 1, seq: 1, bookmark: bytes(''), versions };
    await assert.rejects(bed.executor.spans.import(request), TimestampAheadError);
    assert.equal(bed.hlc.last, before);
    clock.observeForeign(timestampOfMs(farMs - 1));
  });

  test('T12: are told apart in milliseconds, not in packed units', () => {
    const clock = new ManualClock();
    const hlc = new Hlc(clock);
    const behind = hlcTimestamp(timestampOfMs(clock.wallMs - 900) | 0xffffn);
    assert.equal(hlc.ageMs(behind), 900);
    assert.ok(hlc.ageMs(behind) <= 1000, 'a replica 900 ms behind serves under a bound of 1000 ms');
    assert.equal(hlc.isTooFarAhead(hlcTimestamp(timestampOfMs(clock.wallMs + 499) | 0xffffn)), false);
    assert.equal(hlc.isTooFarAhead(timestampOfMs(clock.wallMs + 501)), true);
  });
});
