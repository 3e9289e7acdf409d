import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type CollectableGroup, type CollectorLimits, StoreCollector } from '../../../src/cluster/gc/collector.ts';
import { compactionWork, decodeCompactionNotes } from '../../../src/cluster/gc/compaction.ts';
import { groupId, hlcTimestamp, SeededRandom } from '../../../src/platform/index.ts';
import type { GroupStatus } from '../../../src/raftengine/contract/types.ts';
import { Role } from '../../../src/raftengine/core/types.ts';
import type { GroupStore } from '../../../src/store/contract/types.ts';
import { ManualClock, ManualScheduler } from '../../support/manual-time.ts';

/** A store whose passes take so many slices. */
class SlicedStore {
  gcThreshold = hlcTimestamp(1n);
  appliedIndex = 0;
  readonly slicesPerPass: number;
  slices: number[] = [];
  passes = 0;
  isFailing = false;
  removed = 0;
  onDisk = 0;
  compactions = 0;
  private readonly clock: ManualClock;

  constructor(clock: ManualClock, slicesPerPass = 3) {
    this.clock = clock;
    this.slicesPerPass = slicesPerPass;
  }

  async collectGarbage(): Promise<boolean> {
    if (this.isFailing) throw new Error('disk trouble');
    this.slices.push(this.clock.monotonicMs());
    if (this.slices.length % this.slicesPerPass !== 0) return false;
    this.passes++;
    return true;
  }

  pressures() {
    return { isOutOfSpace: false, removedBytes: this.removed, overhangBytes: 0 };
  }

  diskBytes(): number {
    return this.onDisk;
  }

  async compact(): Promise<void> {
    this.compactions++;
    this.removed = 0;
  }
}

class Node {
  readonly clock = new ManualClock();
  readonly scheduler = new ManualScheduler(this.clock);
  readonly stores: SlicedStore[] = [];
  readonly status: { -readonly [Name in keyof GroupStatus]?: GroupStatus[Name] } = {
    role: Role.Follower,
    commitIndex: 0,
    appliedIndex: 0,
    progress: [],
  };
  readonly errors: unknown[] = [];
  readonly collector: StoreCollector;
  isUrgent = false;
  accesses = 0;
  isBusy = false;

  constructor(stores: number, limits: Partial<CollectorLimits> = {}, seed = 1) {
    for (let at = 0; at < stores; at++) this.stores.push(new SlicedStore(this.clock));
    const conf = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
    const groups = this.stores.map(
      (store, at): CollectableGroup => ({
        groupId: groupId(at + 1),
        store: store as unknown as GroupStore,
        status: () => ({ conf, ...this.status }) as GroupStatus,
      }),
    );
    this.collector = new StoreCollector({
      groups: () => groups,
      clock: this.clock,
      scheduler: this.scheduler,
      random: new SeededRandom(seed),
      limits: { periodMs: 10_000, ...limits },
      isUrgent: () => this.isUrgent,
      accesses: () => this.accesses,
      isBusy: () => this.isBusy,
      onError: (error) => this.errors.push(error),
    });
    this.collector.start();
  }

  /** @param serve what clients do in every 10 ms */
  async pass(ms: number, serve: () => void = () => {}): Promise<void> {
    for (let passed = 0; passed < ms; passed += 10) {
      serve();
      this.scheduler.advance(10);
      for (let round = 0; round < 10; round++) await Promise.resolve();
    }
  }
}

describe('passes of collection over the stores of a node', () => {
  test('begin at times of their own, run in slices with pauses, and are made once a threshold', async () => {
    const node = new Node(4);
    await node.pass(30_000, () => (node.accesses += 1));
    for (const { passes, slices } of node.stores) {
      assert.equal(passes, 1);
      assert.equal(slices.length, 3);
      assert.ok(slices[1]! - slices[0]! >= 50, 'a pause after each slice');
    }
    assert.ok(new Set(node.stores.map(({ slices }) => slices[0])).size > 1, 'not all at once');
    node.stores[0]!.gcThreshold = hlcTimestamp(2n);
    await node.pass(20_000);
    assert.deepEqual(
      node.stores.map(({ passes }) => passes),
      [2, 1, 1, 1],
    );
    assert.equal(node.collector.report()[0]?.collectedTs, 2n);
    await node.collector.stop();
  });

  test('run two at a time, however many are due', async () => {
    const node = new Node(5);
    node.collector.hasten();
    let most = 0;
    for (let step = 0; step < 100; step++) {
      await node.pass(10);
      most = Math.max(most, node.collector.report().filter(({ isRunning }) => isRunning).length);
    }
    assert.equal(most, 2);
    await node.collector.stop();
  });

  test('wait while the replica has something more pressing to do', async () => {
    for (const busy of [
      { role: Role.Candidate },
      { commitIndex: 5_000 },
      { progress: [{ state: 'snapshot' }] as unknown as GroupStatus['progress'] },
    ]) {
      const node = new Node(1);
      const calm = { ...node.status };
      Object.assign(node.status, busy);
      node.collector.hasten();
      await node.pass(5_000);
      assert.equal(node.stores[0]!.slices.length, 0);
      Object.assign(node.status, calm);
      await node.pass(5_000);
      assert.equal(node.stores[0]!.passes, 1);
      await node.collector.stop();
    }
  });

  test('come at once and with short pauses while the node holds too much history', async () => {
    const node = new Node(1, { periodMs: 1_000_000 });
    await node.pass(3_000);
    assert.equal(node.stores[0]!.slices.length, 0);
    node.isUrgent = true;
    await node.pass(1_200);
    assert.equal(node.stores[0]!.passes, 1);
    const [first, second] = node.stores[0]!.slices;
    assert.ok(second! - first! <= 10);
    await node.collector.stop();
  });

  test('have short pauses while the node rests: nobody reads or writes here, nothing is applied, and the machine has time', async () => {
    for (const [what, longestMs, serve] of [
      ['at rest', 10, () => {}],
      ['a busy machine', 50, (node: Node) => (node.isBusy = true)],
      ['reads', 50, (node: Node) => (node.accesses += 1)],
      ['entries of another group', 50, (node: Node) => (node.stores[1]!.appliedIndex += 1)],
    ] as const) {
      const node = new Node(2, { periodMs: 1_000_000 });
      await node.pass(10);
      node.stores[1]!.gcThreshold = hlcTimestamp(0n);
      node.collector.hasten();
      await node.pass(3_000, () => serve(node));
      const { slices } = node.stores[0]!;
      assert.deepEqual(
        slices.slice(1).map((atMs, at) => Math.ceil((atMs - slices[at]!) / longestMs)),
        longestMs === 50 ? [1, 1] : [5, 1],
        what,
      );
      assert.equal(slices[2]! - slices[1]! > 10, longestMs > 10, what);
      await node.collector.stop();
    }
  });

  test('are begun again after a failure, and stop in the middle when the node does', async () => {
    const node = new Node(1, { periodMs: 1_000 });
    node.stores[0]!.isFailing = true;
    await node.pass(3_000);
    assert.ok(node.errors.length > 0);
    node.stores[0]!.isFailing = false;
    await node.pass(3_000);
    assert.equal(node.stores[0]!.passes, 1);
    node.stores[0]!.gcThreshold = hlcTimestamp(9n);
    node.collector.hasten();
    await node.pass(100);
    await node.collector.stop();
    const { length } = node.stores[0]!.slices;
    await node.pass(5_000);
    assert.equal(node.stores[0]!.slices.length, length);
  });
});

describe('compaction of a group', () => {
  test('is due when enough was removed here, and not right after another replica was compacted', async () => {
    const clock = new ManualClock();
    const store = new SlicedStore(clock);
    const unit = compactionWork(groupId(3), store as unknown as GroupStore, clock, {
      removedBytes: 100,
      removedShare: 1 / 4,
      restMs: 1_000,
    });
    assert.equal(unit.name, 'compact/3');
    assert.equal(unit.isDue(undefined), false);
    store.removed = 100;
    store.onDisk = 401;
    assert.equal(unit.isDue(undefined), false, 'four bytes would be written anew for one that comes back');
    store.onDisk = 400;
    assert.equal(unit.isDue(undefined), true);
    const notes = await unit.run({
      signal: new AbortController().signal,
      notes: Buffer.alloc(0),
      save: async () => undefined,
    });
    assert.equal(decodeCompactionNotes(notes), clock.nowMs());
    assert.equal(store.compactions, 1);
    store.removed = 100;
    assert.equal(unit.isDue(notes), false);
    clock.advance(1_000);
    assert.equal(unit.isDue(notes), true);
  });
});
