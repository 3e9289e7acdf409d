/** Copies of a group as of a moment: what keeps one from being made. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ArchivedGroup, GroupArchive } from '../../../src/cluster/archive/group-archive.ts';
import { groupId, hlcTimestamp, SystemClock, SystemScheduler } from '../../../src/platform/index.ts';

const AT = hlcTimestamp(100n);

/** A group that is led here, with what is open in it and how far its past was let go of. */
function archiveOf(facts: { readonly gcThreshold: bigint; readonly assigned?: bigint; readonly locked?: bigint }) {
  const closed = { count: 0 };
  const group = {
    groupId: groupId(1),
    raft: { status: () => ({ term: 1 }), holdsLease: () => true, leader: () => undefined },
    stateMachine: { maxTs: AT, locks: { oldestMinCommitTs: () => facts.locked } },
    executor: {
      isServing: true,
      oldestAssigned: () => facts.assigned,
      clock: { now: () => AT, observeForeign: () => undefined, bound: 1, opening: () => undefined },
    },
    store: {
      gcThreshold: facts.gcThreshold,
      exportSegments: async () => ({
        close: async () => {
          closed.count += 1;
        },
      }),
    },
  } as unknown as ArchivedGroup;
  const archive = new GroupArchive({ find: () => group, clock: new SystemClock(), scheduler: new SystemScheduler() });
  return { closed, cut: () => archive.cut(groupId(1), AT, 30) };
}

describe('the copy of a group at a moment', () => {
  test('is made when the group is closed at it and its past is still there', async () => {
    for (const gcThreshold of [0n, 100n]) {
      const { cut, closed } = archiveOf({ gcThreshold, assigned: 102n, locked: 101n });
      await cut();
      assert.equal(closed.count, 0);
    }
  });

  test('is not kept when the past at it was let go of meanwhile', async () => {
    const { cut, closed } = archiveOf({ gcThreshold: 101n });
    await assert.rejects(cut(), { code: 'MOMENT_COLLECTED' });
    assert.equal(closed.count, 1, 'what was cut is deleted');
  });

  test('is not made while something is open at it', async () => {
    await assert.rejects(archiveOf({ gcThreshold: 0n, assigned: 100n }).cut(), { code: 'MOMENT_NOT_CLOSED' });
    // Its range deletes would have the timestamp before.
    await assert.rejects(archiveOf({ gcThreshold: 0n, assigned: 101n }).cut(), { code: 'MOMENT_NOT_CLOSED' });
    await assert.rejects(archiveOf({ gcThreshold: 0n, locked: 100n }).cut(), { code: 'MOMENT_NOT_CLOSED' });
  });
});
