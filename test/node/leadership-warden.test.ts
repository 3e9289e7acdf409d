import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LeadershipWarden } from '../../src/node/leadership-warden.ts';
import { groupId, type NodeId, nodeId } from '../../src/platform/index.ts';
import type { GroupStatus, RaftGroup } from '../../src/raftengine/contract/types.ts';
import { ManualClock, ManualScheduler } from '../support/manual-time.ts';

const peer = (id: number, matchIndex: number, more: object = {}) => ({
  nodeId: nodeId(id),
  matchIndex,
  nextIndex: matchIndex + 1,
  state: 'replicate' as const,
  isLearner: false,
  recentlyActive: true,
  ...more,
});

/** A node that leads a group of four nodes, and the transfers that it asks for. */
class WardedNode {
  readonly clock = new ManualClock();
  readonly scheduler = new ManualScheduler(this.clock);
  readonly transfers: { readonly to: number; readonly atMs: number }[] = [];
  readonly off = new Set<number>();
  readonly drained = new Set<number>();
  mayLead = true;
  role = 'leader';
  reviews = 0;
  progress = [peer(2, 10), peer(3, 12), peer(4, 15, { isLearner: true })];

  constructor() {
    const group = {
      status: () => ({ groupId: groupId(7), role: this.role, progress: this.progress }) as unknown as GroupStatus,
      transferLeadership: async (to: NodeId) => {
        this.transfers.push({ to, atMs: this.clock.monotonicMs() });
        throw new Error('it did not finish');
      },
    };
    const bed = this;
    new LeadershipWarden({
      nodeClock: {
        review: () => {
          bed.reviews++;
        },
        get mayLead() {
          return bed.mayLead;
        },
        isPeerOff: (node) => bed.off.has(node),
      },
      self: nodeId(1),
      isWithdrawn: (node) => bed.drained.has(node),
      groups: () => [group as unknown as RaftGroup],
      clock: this.clock,
      scheduler: this.scheduler,
    }).start();
  }
}

describe('a node whose clock is off', () => {
  test('hands leadership to the voter that is furthest of those whose clocks are right, and nothing while it is not', () => {
    const bed = new WardedNode();
    bed.scheduler.advance(2_000);
    assert.equal(bed.transfers.length, 0);
    assert.ok(bed.reviews >= 3, 'nobody else looks at the clock of a node without peers');
    bed.mayLead = false;
    bed.scheduler.advance(600);
    assert.deepEqual(
      bed.transfers.map(({ to }) => to),
      [3],
    );
    const other = new WardedNode();
    other.off.add(3);
    other.mayLead = false;
    other.scheduler.advance(600);
    assert.deepEqual(
      other.transfers.map(({ to }) => to),
      [2],
    );
  });

  test('keeps what nobody could take over, and what it does not lead', () => {
    const bed = new WardedNode();
    bed.mayLead = false;
    bed.off.add(3);
    bed.progress = [peer(2, 10, { recentlyActive: false }), peer(3, 12), peer(4, 15, { isLearner: true })];
    bed.scheduler.advance(60_000);
    bed.role = 'follower';
    bed.off.clear();
    bed.scheduler.advance(60_000);
    assert.deepEqual(bed.transfers, []);
  });

  test('asks less and less often for what does not come off, for writes stop each time', () => {
    const bed = new WardedNode();
    bed.mayLead = false;
    bed.scheduler.advance(20 * 60_000);
    const gaps = bed.transfers.slice(1).map(({ atMs }, at) => atMs - bed.transfers[at]!.atMs);
    assert.deepEqual(gaps.slice(0, 7), [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000]);
    bed.mayLead = true;
    bed.scheduler.advance(1_000);
    bed.mayLead = false;
    const before = bed.transfers.length;
    bed.scheduler.advance(6_000);
    assert.equal(bed.transfers.length, before + 2, 'it begins anew once the clock was right');
  });

  test('does so too while it is drained, and never to a node that is drained', () => {
    const bed = new WardedNode();
    bed.drained.add(1);
    bed.drained.add(3);
    bed.scheduler.advance(600);
    assert.deepEqual(
      bed.transfers.map(({ to }) => to),
      [2],
    );
    bed.drained.delete(1);
    bed.scheduler.advance(60_000);
    assert.equal(bed.transfers.length, 1, 'it keeps what it leads again');
  });
});
