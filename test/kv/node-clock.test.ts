import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { caughtUpAfter, clockAt, DEFAULT_NODE_CLOCK_LIMITS, NodeClock } from '../../src/kv/time/node-clock.ts';
import { nodeId, SeededRandom } from '../../src/platform/index.ts';
import { ClockExchange } from '../../src/raftengine/liveness/clock-exchange.ts';
import { ManualClock, ManualScheduler } from '../support/manual-time.ts';

const HOUR_MS = 3_600_000;
const TEN_YEARS_MS = 315_360_000_000;
const { maxOffsetMs, settleMs, freshMs, graceMs } = DEFAULT_NODE_CLOCK_LIMITS;
const BEAT_MS = 250;

/** A node that compares clocks. */
class Node {
  readonly clock = new ManualClock();
  readonly scheduler = new ManualScheduler(this.clock);
  readonly changes: boolean[] = [];
  isUp = true;
  nodeClock = this.make();
  exchange = this.exchangeOf(1);

  constructor(monotonicMs: number, offsetMs: number) {
    this.clock.monotonic = monotonicMs;
    this.clock.wallMs += offsetMs;
    this.restart(1);
  }

  private make(): NodeClock {
    return new NodeClock({
      clock: this.clock,
      scheduler: this.scheduler,
      onChange: ({ isOff }) => this.changes.push(isOff),
    });
  }

  private exchangeOf(seed: number): ClockExchange {
    return new ClockExchange(this.nodeClock, new SeededRandom(seed));
  }

  /** Forgets what it knew of time. */
  restart(seed: number): void {
    this.isUp = true;
    this.nodeClock = this.make();
    this.exchange = this.exchangeOf(seed);
  }
}

/** Nodes that beat. A world's time is that of a clock without offset. */
class BeatingNodes {
  readonly nodes: Node[];
  readonly trueClock = new ManualClock();

  constructor(...offsetsMs: number[]) {
    this.nodes = offsetsMs.map((offsetMs, at) => new Node(1_000 + 77_000 * at, offsetMs));
    for (const node of this.nodes) {
      for (const id of this.nodes.keys()) if (this.nodes[id] !== node) node.nodeClock.expect(nodeId(id + 1));
    }
  }

  node(id: number): Node {
    return this.nodes[id - 1]!;
  }

  advance(ms: number): void {
    this.trueClock.advance(ms);
    for (const node of this.nodes) node.scheduler.advance(ms);
  }

  /** Some machines sleep while time passes for the others, which hear of nobody. */
  sleep(ms: number, asleep: readonly number[]): void {
    this.trueClock.advance(ms);
    for (const [at, node] of this.nodes.entries()) {
      if (asleep.includes(at + 1)) node.clock.sleep(ms);
      else node.scheduler.advance(ms);
    }
  }

  /** Time passes with beats, which are under way for `delayMs` of a beat's period. */
  pass(ms: number, delayMs: (from: number, to: number) => number = () => 1): this {
    for (let passed = 0; passed < ms; passed += BEAT_MS) {
      const onTheWay: { atMs: number; deliver: () => void }[] = [];
      for (const [from, sender] of this.nodes.entries()) {
        for (const [to, receiver] of this.nodes.entries()) {
          if (from === to || !sender.isUp || !receiver.isUp) continue;
          const stamp = sender.exchange.stamp(nodeId(to + 1));
          const deliver = () => receiver.exchange.heard(nodeId(from + 1), stamp);
          onTheWay.push({ atMs: delayMs(from + 1, to + 1), deliver });
        }
      }
      for (const { nodeClock } of this.nodes) nodeClock.review();
      onTheWay.sort((left, right) => left.atMs - right.atMs);
      let atMs = 0;
      for (const each of onTheWay) {
        this.advance(each.atMs - atMs);
        ({ atMs } = each);
        each.deliver();
      }
      this.advance(Math.max(0, BEAT_MS - atMs));
    }
    return this;
  }

  /** By how much the time that a node goes by is wrong. */
  errorOf(id: number): number {
    return this.node(id).nodeClock.nowMs() - this.trueClock.nowMs();
  }

  off(): number[] {
    return [...this.nodes.keys()].filter((at) => this.nodes[at]!.nodeClock.status().isOff).map((at) => at + 1);
  }
}

describe('the clock of a node', () => {
  for (const jumpMs of [2_000, 20_000, HOUR_MS, TEN_YEARS_MS, -2_000, -HOUR_MS, -TEN_YEARS_MS]) {
    test(`that jumps by ${jumpMs} ms is outvoted in the very turn, and goes by the others' time`, () => {
      const world = new BeatingNodes(0, 0, 0).pass(2_000);
      world.node(2).clock.wallMs += jumpMs;
      assert.ok(Math.abs(world.errorOf(2)) <= maxOffsetMs, `${world.errorOf(2)} ms`);
      assert.equal(world.node(2).nodeClock.mayLead, false);
      world.pass(2_000);
      assert.deepEqual(world.off(), [2]);
      for (const id of [1, 2, 3]) assert.ok(Math.abs(world.errorOf(id)) <= 2, `node ${id}: ${world.errorOf(id)} ms`);
      assert.equal(world.node(1).nodeClock.isPeerOff(nodeId(2)), true);
      assert.equal(world.node(1).nodeClock.isPeerOff(nodeId(3)), false);
      world.node(2).clock.wallMs -= jumpMs;
      world.pass(1_000);
      assert.deepEqual(world.off(), []);
      assert.deepEqual(world.node(2).changes, [true, false]);
    });

    test(`that is wrong by ${jumpMs} ms from the start is told so by its first two peers`, () => {
      const world = new BeatingNodes(0, jumpMs, 0);
      assert.equal(world.node(2).nodeClock.isReady, false);
      world.pass(1_000);
      assert.equal(world.node(2).nodeClock.isReady, true);
      assert.deepEqual(world.off(), [2]);
      assert.ok(Math.abs(world.errorOf(2)) <= 2);
    });

    test(`that jumps by ${jumpMs} ms in a cluster of two is outvoted by what both were before`, () => {
      const world = new BeatingNodes(0, 0).pass(2_000);
      world.node(1).clock.wallMs += jumpMs;
      assert.ok(Math.abs(world.errorOf(1)) <= maxOffsetMs);
      world.pass(2_000);
      assert.deepEqual(world.off(), [1]);
      assert.ok(Math.abs(world.errorOf(1)) <= 2);
      assert.equal(world.errorOf(2), 0);
      world.pass(2 * settleMs);
      assert.deepEqual(world.off(), [1], 'also when it stays so: the other one has not moved');
    });
  }

  test('that comes back wrong is outvoted by one peer that has agreed with others before', () => {
    const world = new BeatingNodes(0, 0, 0).pass(2_000);
    world.node(3).isUp = false;
    world.node(1).clock.wallMs += HOUR_MS;
    world.node(1).restart(2);
    world.pass(2_000);
    assert.deepEqual(world.off().slice(0, 1), [1]);
    assert.ok(Math.abs(world.errorOf(1)) <= 2);
    assert.equal(world.errorOf(2), 0);
  });

  test('of two that never agreed goes by the earlier one, since time that has run ahead cannot be taken back', () => {
    const world = new BeatingNodes(0, HOUR_MS).pass(10_000);
    assert.ok(Math.abs(world.errorOf(1)) <= 2);
    assert.ok(Math.abs(world.errorOf(2)) <= 2);
    assert.deepEqual(world.off(), [2]);
  });

  test('follows the others when all are set back at once, and five minutes later when all are set ahead', () => {
    for (const stepMs of [-HOUR_MS, HOUR_MS]) {
      const world = new BeatingNodes(0, 0, 0).pass(2_000);
      for (const node of world.nodes) node.clock.wallMs += stepMs;
      world.pass(2_000);
      const nowMs = Math.min(stepMs, 0);
      for (const id of [1, 2, 3]) assert.ok(Math.abs(world.errorOf(id) - nowMs) <= 2, `${world.errorOf(id)} ms`);
      world.pass(settleMs);
      for (const id of [1, 2, 3]) assert.ok(Math.abs(world.errorOf(id) - stepMs) <= 2, `${world.errorOf(id)} ms`);
      assert.deepEqual(world.off(), []);
    }
  });

  test('follows most of the others for good once they have been elsewhere for five minutes', () => {
    const world = new BeatingNodes(0, 0, 0).pass(2_000);
    for (const id of [1, 2]) world.node(id).clock.wallMs -= HOUR_MS;
    world.pass(2_000);
    assert.deepEqual(world.off(), [1, 2], 'what all were before outvotes them');
    world.pass(settleMs);
    assert.deepEqual(world.off(), [3]);
    assert.ok(Math.abs(world.errorOf(3) + HOUR_MS) <= 2);
  });

  test('of a node without peers follows a step back at once and a step ahead after five minutes, and it leads all the same', () => {
    const world = new BeatingNodes(0);
    assert.equal(world.node(1).nodeClock.isReady, true);
    world.node(1).clock.wallMs += HOUR_MS;
    assert.equal(world.errorOf(1), HOUR_MS, 'one that has just started has nothing to hold against it');
    world.pass(settleMs + BEAT_MS);
    world.node(1).clock.wallMs += HOUR_MS;
    assert.equal(world.errorOf(1), HOUR_MS);
    assert.equal(world.node(1).nodeClock.status().isOff, true);
    assert.equal(world.node(1).nodeClock.mayLead, true);
    world.pass(settleMs + BEAT_MS);
    assert.equal(world.errorOf(1), 2 * HOUR_MS);
    world.node(1).clock.wallMs -= 2 * HOUR_MS;
    assert.equal(world.errorOf(1), 0);
  });

  for (const [count, asleep] of [
    [1, [1]],
    [2, [1, 2]],
    [3, [2]],
    [3, [1, 2]],
    [3, [1, 2, 3]],
  ] as const) {
    for (const sleepMs of [700, 3_000, HOUR_MS]) {
      test(`is right in the very turn after a sleep of ${sleepMs} ms of ${asleep.length} of ${count} machines`, () => {
        const world = new BeatingNodes(...Array.from({ length: count }, () => 0)).pass(settleMs + BEAT_MS);
        world.sleep(sleepMs, asleep);
        const right = (): void => {
          for (let id = 1; id <= count; id++) assert.ok(Math.abs(world.errorOf(id)) <= 2, `${world.errorOf(id)} ms`);
          assert.deepEqual(world.off(), []);
        };
        right();
        for (let beats = 0; beats < 4; beats++) {
          world.pass(BEAT_MS);
          right();
        }
        for (const { changes } of world.nodes) assert.deepEqual(changes, []);
      });
    }
  }

  test('that was set while its machine slept is outvoted all the same', () => {
    for (const jumpMs of [-HOUR_MS, -8_000, 8_000, HOUR_MS]) {
      const world = new BeatingNodes(0, 0, 0).pass(2_000);
      world.sleep(20_000, [2]);
      world.node(2).clock.wallMs += jumpMs;
      assert.ok(Math.abs(world.errorOf(2)) <= maxOffsetMs, `${world.errorOf(2)} ms`);
      world.pass(2_000);
      assert.deepEqual(world.off(), [2]);
      for (const id of [1, 2, 3]) assert.ok(Math.abs(world.errorOf(id)) <= 20, `node ${id}: ${world.errorOf(id)} ms`);
    }
  });

  test('is not called wrong by peers that are far away, nor by a way that is slow in one direction', () => {
    const world = new BeatingNodes(0, 0, 0).pass(5_000, (from, to) => (from < to ? 1 : 240));
    assert.deepEqual(world.off(), []);
    const { peers } = world.node(1).nodeClock.status();
    for (const { offsetMs, errorMs } of peers) {
      assert.ok(Math.abs(offsetMs) <= errorMs + 1, `${offsetMs} ms, right within ${errorMs} ms`);
    }
  });

  test('is not taken for agreed on by its own node alone, so that a third one can still decide', () => {
    const world = new BeatingNodes(-HOUR_MS, 0, 0);
    world.node(3).isUp = false;
    world.pass(10_000);
    assert.deepEqual(world.off(), [2], 'the earlier of two');
    world.node(3).isUp = true;
    world.pass(2_000);
    assert.deepEqual(world.off(), [1]);
  });

  test('is not called wrong by readings that may be wrong themselves', () => {
    const world = new BeatingNodes(0, 0, 0).pass(10_000, (from, to) => (from < to ? 1 : 1_400));
    assert.deepEqual(world.off(), []);
  });

  test('is seen to have been set with the first beat after that, however slow it is', () => {
    const world = new BeatingNodes(0, 0, 0).pass(2_000);
    world.node(3).clock.wallMs += HOUR_MS;
    world.pass(2 * BEAT_MS, () => 80);
    assert.equal(world.node(1).nodeClock.isPeerOff(nodeId(3)), true);
  });

  test('slews with the wall clock within the bound, and goes off beyond it', () => {
    const world = new BeatingNodes(0, 0, 0).pass(2_000);
    for (let step = 1; step * 20 <= maxOffsetMs; step++) {
      world.node(3).clock.wallMs += 20;
      world.pass(BEAT_MS);
      assert.ok(Math.abs(world.errorOf(3) - step * 20) <= 2);
    }
    for (let step = 0; step < 3; step++) {
      world.node(3).clock.wallMs += 20;
      world.pass(BEAT_MS);
    }
    assert.deepEqual(world.off(), [3]);
  });

  test('waits for peers that do not come for three seconds and no longer', () => {
    const world = new BeatingNodes(0, 0, 0);
    world.node(2).isUp = false;
    world.node(3).isUp = false;
    let isReady = false;
    world.node(1).nodeClock.whenReady(() => {
      isReady = true;
    });
    world.pass(graceMs - BEAT_MS);
    assert.equal(isReady, false);
    world.pass(BEAT_MS);
    assert.ok(isReady && world.node(1).nodeClock.isReady);
  });

  test('does not count peers that are silent', () => {
    const world = new BeatingNodes(0, 0, 0).pass(2_000);
    world.node(2).isUp = false;
    world.node(3).isUp = false;
    world.pass(freshMs + BEAT_MS);
    assert.deepEqual(world.node(1).nodeClock.status().peers, []);
  });

  test('never believes an echo of an earlier life', () => {
    for (let backMs = 0; backMs < 1_000; backMs += 50) {
      const slow = (): number => 200;
      const world = new BeatingNodes(0, 0).pass(500, slow);
      // Its monotonic clock has begun anew, where an echo of what it sent before looks fresh.
      world.node(1).clock.monotonic -= backMs;
      world.node(1).restart(99);
      world.pass(BEAT_MS, slow);
      for (const { offsetMs, errorMs } of world.node(1).nodeClock.status().peers) {
        assert.ok(Math.abs(offsetMs) <= errorMs + 2, `${offsetMs} ms, right within ${errorMs} ms`);
      }
    }
  });

  test('leads by what an operator has accepted, on all nodes alike, and by less and less', () => {
    const world = new BeatingNodes(0, 0, 0).pass(2_000);
    const leadMs = HOUR_MS;
    const caughtUpAtMs = caughtUpAfter(world.trueClock.nowMs(), leadMs);
    for (const { nodeClock } of world.nodes) nodeClock.accept(caughtUpAtMs);
    for (const id of [1, 2, 3]) assert.ok(Math.abs(world.errorOf(id) - leadMs) <= 2);
    world.node(2).clock.wallMs += HOUR_MS;
    world.pass(100_000);
    for (const id of [1, 2, 3])
      assert.ok(Math.abs(world.errorOf(id) - leadMs + 10_000) <= 3, `${world.errorOf(id)} ms`);
    assert.deepEqual(world.off(), [2], 'it is the clocks that are compared');
    const timeMs = world.node(1).nodeClock.nowMs();
    assert.ok(Math.abs(clockAt(timeMs, caughtUpAtMs) - world.trueClock.nowMs()) <= 2);
    world.advance(10 * HOUR_MS);
    for (const id of [1, 3]) assert.ok(Math.abs(world.errorOf(id)) <= 3);
    assert.equal(clockAt(caughtUpAtMs + 5, caughtUpAtMs), caughtUpAtMs + 5);
  });

  test('is right on all nodes while most clocks are, whatever the others do and when', () => {
    const jump = fc.record({ atMs: fc.nat(60_000), byMs: fc.integer({ min: -TEN_YEARS_MS, max: TEN_YEARS_MS }) });
    fc.assert(
      fc.property(
        fc.constantFrom(3, 5),
        fc.array(jump, { maxLength: 8 }),
        fc.array(fc.integer({ min: -100, max: 100 }), { minLength: 5, maxLength: 5 }),
        fc.nat(),
        (count, jumps, offsets, seed) => {
          const random = new SeededRandom(seed);
          const wrong = (count - 1) / 2;
          const world = new BeatingNodes(...offsets.slice(0, count));
          const due = [...jumps].sort((left, right) => left.atMs - right.atMs);
          for (let atMs = 0; atMs < 62_000; atMs += 4 * BEAT_MS) {
            for (; due[0] !== undefined && due[0].atMs <= atMs; due.shift()) {
              world.node(count - random.int(wrong)).clock.wallMs += due[0].byMs;
            }
            world.pass(4 * BEAT_MS, () => Math.floor(random.next() * 200));
            if (atMs < 1_000) continue;
            for (let id = 1; id <= count; id++) {
              assert.ok(Math.abs(world.errorOf(id)) <= maxOffsetMs + 100 + 200, `node ${id}: ${world.errorOf(id)} ms`);
            }
          }
          for (let id = 1; id <= count - wrong; id++) assert.equal(world.node(id).nodeClock.mayLead, true);
        },
      ),
      { numRuns: 60 },
    );
  });
});
