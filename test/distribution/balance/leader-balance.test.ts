import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { BalanceView, GroupPlacement, TransferAction } from '../../../src/distribution/balance/actions.ts';
import { planLeaders } from '../../../src/distribution/balance/leader-balance.ts';
import { nodeId, SeededRandom } from '../../../src/platform/index.ts';
import { group } from '../builders.ts';
import { documentWith, nodes, placement, viewOf } from './views.ts';

/** Groups as `[id, leader, ...other voters]`. */
function view(
  groups: readonly (readonly number[])[],
  rest: Partial<BalanceView> & { readonly preferred?: Record<number, number> } = {},
): BalanceView {
  const { preferred = {}, ...others } = rest;
  return viewOf({
    clusterState: documentWith({ groups, preferred }),
    groups: groups.map(([id, ...voters]) => placement(id!, voters)),
    liveNodes: nodes(1, 2, 3, 4),
    ...others,
  });
}

const plan = (of: BalanceView) => planLeaders(of, group(1));
const transfers = (of: BalanceView): (number | string)[][] =>
  plan(of).actions.map((action) => {
    assert.ok(action.kind === 'transferLeader');
    return [action.group, action.from, action.to];
  });

describe('leaders', () => {
  test('are never put on a node whose clock is off, not even where it is preferred', () => {
    const stuck = view(
      [
        [1, 1, 2],
        [2, 1, 2],
        [3, 1, 2],
        [4, 3, 4],
      ],
      { unfitNodes: nodes(2) },
    );
    assert.deepEqual(transfers(stuck), []);
    const crowded = view(
      [
        [1, 1, 2, 3],
        [2, 1, 2, 3],
        [3, 1, 2, 3],
      ],
      { preferred: { 3: 2 }, unfitNodes: nodes(2) },
    );
    assert.deepEqual(
      transfers(crowded).map(([, , to]) => to),
      [3],
    );
  });

  test('are handed from the node with the most to one with the fewest, one at a time', () => {
    const crowded = view([
      [1, 1, 2, 3],
      [2, 1, 2, 3],
      [3, 1, 2, 3],
      [4, 2, 1, 3],
    ]);
    assert.deepEqual(transfers(crowded), [[2, 1, 3]]);
    assert.match(
      plan(crowded).actions[0]!.reason,
      /group 2 from node 1 to node 3: node 1 leads 3 groups and node 3 leads 0/,
    );
  });

  test('stay when they differ by one', () => {
    const even = view([
      [1, 1, 2, 3],
      [2, 2, 1, 3],
    ]);
    assert.deepEqual(plan(even).actions, []);
  });

  test('are counted as none for a voter that leads nothing, so a new replica gets its share', () => {
    assert.deepEqual(
      transfers(
        view([
          [1, 1, 2],
          [2, 1, 2],
        ]),
      ),
      [[2, 1, 2]],
    );
  });

  test('stay where they are while any group has no leader that lives', () => {
    const groups = [
      [1, 1, 2, 3],
      [2, 1, 2, 3],
      [3, 1, 2, 3],
    ];
    const blind = view(groups, { groups: [placement(1, [1, 2, 3]), placement(2, [1, 2, 3])] });
    assert.deepEqual(plan(blind).actions, []);
    assert.match(plan(blind).notes[0]!, /group 3 has no known live leader/);
    assert.deepEqual(plan(view(groups, { liveNodes: nodes(2, 3) })).actions, []);
  });

  test('are not handed to nodes that are silent or no voters, nor those of busy groups', () => {
    const groups = [
      [1, 1, 2, 3],
      [2, 1, 2, 3],
      [3, 1, 2, 3],
    ];
    assert.deepEqual(transfers(view(groups, { liveNodes: nodes(1, 2) })), [[2, 1, 2]]);
    const silent = view(
      [
        [1, 1, 2],
        [2, 1, 3],
        [3, 1, 3],
      ],
      { liveNodes: nodes(1, 2) },
    );
    assert.deepEqual(transfers(silent), [[1, 1, 2]]);
    const busy = groups.map(([id, ...voters]) => placement(id!, voters, { isBusy: id !== 3 }));
    assert.deepEqual(transfers(view(groups, { groups: busy })), [[3, 1, 2]]);
  });

  test('of the catalog\u2019s own group are the last to go', () => {
    const one = view([
      [1, 1, 2],
      [2, 1, 3],
    ]);
    assert.deepEqual(transfers(one), [[2, 1, 3]]);
    const busy = view(
      [
        [1, 1, 2],
        [2, 1, 3],
      ],
      { groups: [placement(1, [1, 2]), placement(2, [1, 3], { isBusy: true })] },
    );
    assert.deepEqual(transfers(busy), [[1, 1, 2]]);
  });

  test('go to where their groups prefer them, and stay there against the count', () => {
    const groups = [
      [1, 1, 2, 3],
      [2, 1, 2, 3],
      [3, 2, 1, 3],
    ];
    const preferred = { 1: 1, 2: 1, 3: 1 };
    assert.deepEqual(transfers(view(groups, { preferred })), [[3, 2, 1]]);
    const all = view([groups[0]!, groups[1]!, [3, 1, 2, 3]], { preferred });
    assert.deepEqual(plan(all).actions, []);
    // A preferred leader that does not live, or is no voter, is none.
    assert.deepEqual(plan(view([[2, 1, 2, 3]], { preferred: { 2: 4 } })).actions, []);
    assert.deepEqual(plan(view([[2, 1, 2, 3]], { preferred: { 2: 2 }, liveNodes: nodes(1, 3) })).actions, []);
  });

  test('end up even after finitely many transfers, each of which makes things strictly better', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (seed) => {
        const random = new SeededRandom(seed);
        const count = 1 + random.int(12);
        const everywhere = random.int(2) === 0;
        const nodeCount = 3 + random.int(3);
        let groups: GroupPlacement[] = Array.from({ length: count }, (_, at) => {
          const all = Array.from({ length: nodeCount }, (_unused, node) => node + 1).sort(() => random.next() - 0.5);
          return placement(at + 1, everywhere ? all : all.slice(0, 3));
        });
        const preferred: Record<number, number> = {};
        if (random.int(2) === 0) for (const row of groups) if (random.int(3) === 0) preferred[row.id] = row.voters[1]!;
        const clusterState = documentWith({ groups: groups.map((row) => [row.id, ...row.voters]), preferred });
        const liveNodes = nodes(1, 2, 3, 4, 5);
        let last = measureOf(groups, preferred);
        for (let left = 300; ; left--) {
          assert.ok(left > 0, 'balancing does not end');
          const { actions } = planLeaders(viewOf({ clusterState, groups, liveNodes }), group(1));
          if (actions.length === 0) break;
          const action = actions[0] as TransferAction;
          groups = groups.map((row) => (row.id === action.group ? { ...row, leader: nodeId(action.to) } : row));
          const next = measureOf(groups, preferred);
          assert.ok(isLess(next, last), `${last} to ${next}`);
          last = next;
        }
        if (everywhere && Object.keys(preferred).length === 0) assert.ok(last[1]! <= 1);
        assert.equal(last[0], 0);
      }),
      { numRuns: 60 },
    );
  });
});

/** Groups away from their preferred leader, spread, counts from the largest: written down apart from the planner. */
function measureOf(groups: readonly GroupPlacement[], preferred: Record<number, number>): number[] {
  const counts = new Map<number, number>();
  for (const row of groups) for (const voter of row.voters) counts.set(voter, 0);
  for (const row of groups) counts.set(row.leader!, counts.get(row.leader!)! + 1);
  const sorted = [...counts.values()].sort((a, b) => b - a);
  const away = groups.filter((row) => (preferred[row.id] ?? row.leader) !== row.leader).length;
  return [away, sorted[0]! - sorted.at(-1)!, ...sorted];
}

function isLess(left: readonly number[], right: readonly number[]): boolean {
  const at = left.findIndex((value, index) => value !== right[index]);
  return at >= 0 && left[at]! < right[at]!;
}
