import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { BalanceView, GroupPlacement } from '../../../src/distribution/balance/actions.ts';
import { LEAST_DIFFERENCE_BYTES, planSizes } from '../../../src/distribution/balance/size-balance.ts';
import { nodeId, SeededRandom } from '../../../src/platform/index.ts';
import { bytes, group } from '../builders.ts';
import { documentWith, GIB, nodes, placement, tableOf, viewOf } from './views.ts';

/** Groups as `[id, GiB, ...voters]`, nodes by their GiB. */
function view(
  groups: readonly (readonly number[])[],
  nodeGib: Readonly<Record<number, number>>,
  rest: Partial<BalanceView> & { readonly preferred?: Record<number, number> } = {},
): BalanceView {
  const { preferred = {}, ...others } = rest;
  const nodeBytes = Object.fromEntries(Object.entries(nodeGib).map(([id, gib]) => [id, gib * GIB]));
  return viewOf({
    clusterState: documentWith({ groups: groups.map(([id, , ...voters]) => [id!, ...voters]), nodeBytes, preferred }),
    groups: groups.map(([id, gib, ...voters]) => placement(id!, voters, { bytes: gib! * GIB })),
    liveNodes: nodes(...Object.keys(nodeGib).map(Number)),
    ...others,
  });
}

const plan = (of: BalanceView) => planSizes(of, group(1));
const THREE = [
  [1, 0, 1, 2, 3],
  [2, 10, 1, 2, 3],
  [3, 4, 1, 2, 3],
];

describe('stored bytes', () => {
  test('go to an empty node by replacing a replica, not by moving ranges between groups with the same voters', () => {
    const { actions } = plan(view(THREE, { 1: 14, 2: 14, 3: 14, 4: 0 }));
    assert.deepEqual(
      actions.map(({ reason, ...action }) => action),
      [{ kind: 'changeMembership', group: 3, add: 4, remove: 1 }],
    );
    assert.match(
      actions[0]!.reason,
      /node 1 holds 14\.0 GiB, node 4 0\.0 GiB: the replica of group 3 \(4\.0 GiB\) goes/,
    );
  });

  test('stay while nodes differ by little', () => {
    assert.deepEqual(plan(view(THREE, { 1: 14, 2: 14, 3: 14, 4: 11.3 })).actions, []);
    assert.deepEqual(plan(view([[2, 0.5, 1, 2, 3]], { 1: 1, 2: 1, 3: 1, 4: 0 })).actions, []);
    assert.equal(LEAST_DIFFERENCE_BYTES, GIB);
    assert.equal(plan(view([[2, 0.5, 1, 2, 3]], { 1: 1.1, 2: 1, 3: 1, 4: 0 })).actions.length, 1);
  });

  test('stay while anything is not known', () => {
    const sizes = { 1: 14, 2: 14, 3: 14, 4: 0 };
    const declines = (rest: Parameters<typeof view>[2], why: RegExp): void => {
      const { actions, notes } = plan(view(THREE, sizes, rest));
      assert.deepEqual(actions, []);
      assert.match(notes[0]!, why);
    };
    declines({ liveNodes: nodes(1, 2, 4) }, /node 3 is silent/);
    declines({ groups: [placement(1, [1, 2, 3]), placement(2, [1, 2, 3])] }, /bytes of group 3 are not known/);
    const strange = [placement(1, [1, 2, 3]), placement(2, [1, 2, 9]), placement(3, [1, 2, 3])];
    declines({ groups: strange }, /node 9 of group 2 is not known/);
    assert.deepEqual(plan(viewOf({})).actions, []);
  });

  test('never leave a group whose replicas lie where they must, or that is at something else', () => {
    const sizes = { 1: 14, 2: 14, 3: 14, 4: 0 };
    const busy = THREE.map(([id, gib, ...voters]) => placement(id!, voters, { bytes: gib! * GIB, isBusy: id === 3 }));
    const next = plan(view(THREE, sizes, { groups: busy })).actions;
    assert.deepEqual(
      next.map((action) => action.kind === 'changeMembership' && action.group),
      [2],
    );
    assert.deepEqual(plan(view(THREE, sizes, { preferred: { 2: 1, 3: 1 } })).actions, []);
    assert.deepEqual(plan(view([[1, 9, 1, 2, 3]], { 1: 9, 2: 9, 3: 9, 4: 0 })).actions, []);
  });

  test('go as a range to a group without the full node when every replica is too large', () => {
    const routes = tableOf(['m', 't'], (at) => ({ groupId: group(at === 2 ? 3 : 2) }));
    const rangeBytes = new Map([
      [2, 3 * GIB],
      [3, 6 * GIB],
    ]);
    const groups = [
      [2, 9, 1, 2],
      [3, 0, 3, 4],
    ];
    const { actions } = plan(view(groups, { 1: 9, 2: 9, 3: 4, 4: 3 }, { routes, rangeBytes }));
    assert.deepEqual(
      actions.map(({ reason, ...action }) => action),
      [{ kind: 'move', routeId: 2, start: bytes('\x01'), dst: 3 }],
    );
    const same = [
      [2, 9, 1, 2],
      [3, 0, 1, 2],
    ];
    assert.deepEqual(plan(view(same, { 1: 9, 2: 9, 3: 4, 4: 3 }, { routes, rangeBytes })).actions, []);
    assert.deepEqual(plan(view(groups, { 1: 9, 2: 9, 3: 4, 4: 3 }, { routes })).actions, []);
  });

  test('go to the emptiest of several groups with the same voters, and only so many ranges are looked at', () => {
    const starts = Array.from({ length: 5_000 }, (_, at) => `k${String(at).padStart(5, '0')}`);
    const routes = tableOf(starts, () => ({ groupId: group(2) }));
    const groups = [
      [2, 9, 1, 2],
      [3, 2, 3, 4],
      [4, 1, 4, 3],
    ];
    const sizes = { 1: 9, 2: 9, 3: 4, 4: 3 };
    const early = plan(view(groups, sizes, { routes, rangeBytes: new Map([[10, 3 * GIB]]) }));
    assert.deepEqual(
      early.actions.map((action) => action.kind === 'move' && [action.routeId, action.dst]),
      [[10, 4]],
    );
    const late = plan(view(groups, sizes, { routes, rangeBytes: new Map([[4_900, 3 * GIB]]) }));
    assert.deepEqual(late.actions, []);
  });

  test('come to rest, and the list of nodes from the fullest on falls with every step', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (seed) => {
        const random = new SeededRandom(seed);
        const ids = Array.from({ length: 4 + random.int(3) }, (_, at) => at + 1);
        let groups: GroupPlacement[] = Array.from({ length: 1 + random.int(10) }, (_, at) => {
          const voters = ids.slice(0, 4).sort(() => random.next() - 0.5);
          return placement(at + 1, voters.slice(0, 3), { bytes: random.int(8 * GIB) });
        });
        const usage = (): Record<number, number> =>
          Object.fromEntries(
            ids.map((id) => [
              id,
              groups.reduce((sum, row) => sum + (row.voters.includes(nodeId(id)) ? row.bytes! : 0), 0),
            ]),
          );
        const sorted = (): number[] => Object.values(usage()).sort((a, b) => b - a);
        for (let left = 200; ; left--) {
          assert.ok(left > 0, 'balancing does not end');
          const clusterState = documentWith({
            groups: groups.map((row) => [row.id, ...row.voters]),
            nodeBytes: usage(),
          });
          const { actions } = plan(viewOf({ clusterState, groups, liveNodes: nodes(...ids) }));
          if (actions.length === 0) break;
          const [action] = actions;
          assert.ok(action?.kind === 'changeMembership');
          const before = sorted();
          groups = groups.map((row) => {
            if (row.id !== action.group) return row;
            assert.ok(row.voters.includes(action.remove) && !row.voters.includes(action.add));
            return { ...row, voters: [...row.voters.filter((node) => node !== action.remove), action.add] };
          });
          const after = sorted();
          const at = after.findIndex((value, index) => value !== before[index]);
          assert.ok(at >= 0 && after[at]! < before[at]!);
        }
      }),
      { numRuns: 60 },
    );
  });
});
