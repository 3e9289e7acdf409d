import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { planDrains, roomFor } from '../../src/distribution/balance/drain-balance.ts';
import { clusterStateOf } from '../../src/distribution/catalog/catalog-state.ts';
import { withdrawalOf } from '../../src/distribution/catalog/catalog-withdrawals.ts';
import { CAPABILITIES, FEATURES } from '../../src/distribution/catalog/features.ts';
import type { ClusterState, WithdrawalAim } from '../../src/distribution/contract/cluster-types.ts';
import { CatalogError } from '../../src/distribution/contract/errors.ts';
import { nodeId, SeededRandom } from '../../src/platform/index.ts';
import { documentWith, nodes, placement, viewOf } from './balance/views.ts';
import { group, nodeReport } from './builders.ts';
import { CatalogModel, visible } from './catalog-model.ts';

const FEATURE = { kind: 'activateFeature', name: 'nodes.drain' } as const;
const withdraw = (id: number, aim: WithdrawalAim | undefined, replicas = 3) =>
  ({ kind: 'withdrawNode', nodeId: nodeId(id), aim, replicas }) as const;

/** Nodes 1 to 3 have been heard of. */
function cluster(hasFeature = true): CatalogModel {
  const model = CatalogModel.bootstrapped();
  for (const id of [1, 2, 3])
    model.run({ kind: 'putNode', node: nodeReport(id, { capabilities: CAPABILITIES }), expectedRevision: undefined });
  if (hasFeature) model.run(FEATURE);
  return model;
}

const shown = (model: CatalogModel) =>
  (clusterStateOf(model.state).withdrawals ?? []).map(({ nodeId: node, aim, replicas }) => [node, aim, replicas]);

describe('nodes that are taken out of service', () => {
  test('are rows that every node is told of, until they are put back or removed', () => {
    const model = cluster();
    const before = clusterStateOf(model.state).revision;
    model.run(withdraw(3, 'DRAINING', 7));
    assert.deepEqual(shown(model), [[3, 'DRAINING', 7]]);
    assert.equal(clusterStateOf(model.state).revision, before + 1);
    model.run(withdraw(3, 'DECOMMISSIONING', 4));
    assert.deepEqual(shown(model), [[3, 'DECOMMISSIONING', 7]], 'what it had at first is what is shown');
    assert.deepEqual(visible(model.reloaded()), visible(model.state));
    model.run(withdraw(3, undefined));
    assert.deepEqual(shown(model), []);
    model.run(withdraw(2, 'DECOMMISSIONING'));
    model.run({ kind: 'removeNode', nodeId: nodeId(2), incarnation: Buffer.alloc(16, 2) });
    assert.deepEqual(shown(model), [], 'what comes under its id begins in service');
    assert.deepEqual(visible(model.reloaded()), visible(model.state));
  });

  test('said twice, write nothing more', () => {
    const model = cluster();
    for (const op of [withdraw(3, 'DRAINING'), withdraw(3, undefined)]) {
      model.run(op);
      const again = model.plan(op);
      assert.ok(!(again instanceof CatalogError));
      assert.deepEqual(again.mutations, []);
    }
  });

  test('are refused where that cannot be', () => {
    assert.equal(cluster(false).refusal(withdraw(3, 'DRAINING')), 'FEATURE_UNSUPPORTED');
    const model = cluster();
    assert.equal(model.refusal(withdraw(9, 'DRAINING')), 'NODE_NOT_FOUND');
    model.run(withdraw(1, 'DRAINING'));
    model.run(withdraw(2, 'DRAINING'));
    assert.equal(model.refusal(withdraw(3, 'DRAINING')), 'LAST_NODE');
    const create = (...founders: number[]) =>
      ({
        kind: 'createGroup',
        id: undefined,
        founders: founders.map(nodeId),
        preferredLeader: undefined,
      }) as const;
    assert.equal(model.refusal(create(2, 3)), 'NODE_WITHDRAWN');
    model.run(create(3));
  });

  test('need a program that knows their rows', () => {
    const model = cluster(false);
    const old = CAPABILITIES & ~(1n << BigInt(FEATURES['nodes.drain']!.bit));
    model.run({ kind: 'putNode', node: nodeReport(2, { capabilities: old }), expectedRevision: undefined });
    assert.equal(model.refusal(FEATURE), 'FEATURE_UNSUPPORTED');
  });
});

const withdrawn = (state: ClusterState, ...ids: number[]): ClusterState => ({
  ...state,
  withdrawals: ids.map((id) => ({
    nodeId: nodeId(id),
    revision: 1,
    aim: 'DRAINING' as const,
    sinceMs: 0,
    replicas: 0,
  })),
});

describe('the replicas of nodes that are taken out of service', () => {
  const state = (bytesOf: Record<number, number>, ...out: number[]): ClusterState =>
    withdrawn(documentWith({ groups: [[2, 1, 2, 3]], nodeBytes: bytesOf }), ...out);

  test('go to a live node in service that has none of their group: of the same locality, and the emptiest', () => {
    const clusterState = state({ 1: 9, 2: 9, 3: 9, 4: 5, 5: 3, 6: 1 }, 3, 6);
    assert.equal(roomFor(clusterState, [1, 2, 3].map(nodeId), nodeId(3)), 5);
    const zoned = {
      ...clusterState,
      nodes: clusterState.nodes.map((row) => ({ ...row, locality: [3, 4].includes(row.nodeId) ? 'b' : 'a' })),
    };
    assert.equal(roomFor(zoned, [1, 2, 3].map(nodeId), nodeId(3)), 4);
    const [action] = planDrains(
      viewOf({ clusterState, groups: [placement(2, [1, 2, 3])], liveNodes: nodes(1, 2, 3, 4) }),
      group(1),
    ).actions;
    assert.ok(action?.kind === 'changeMembership');
    assert.deepEqual([action.add, action.remove], [4, 3]);
  });

  test('stay where nobody else has room, while their group is busy, and while it has no leader', () => {
    const notes = (clusterState: ClusterState, rest: Parameters<typeof placement>[2] = {}): string => {
      const groups = [placement(2, [1, 2, 3], rest)];
      const plan = planDrains(viewOf({ clusterState, groups, liveNodes: nodes(1, 2, 3, 4) }), group(1));
      assert.deepEqual(plan.actions, []);
      return plan.notes.join();
    };
    assert.match(notes(state({ 1: 0, 2: 0, 3: 0 }, 3)), /no node has room for the replicas of 1 group /);
    const four = state({ 1: 0, 2: 0, 3: 0, 4: 0 }, 3);
    assert.match(notes(four, { isBusy: true }), /busy/);
    assert.match(notes(four, { leader: undefined }), /busy/);
    assert.match(notes(state({ 1: 0, 2: 0, 3: 0, 4: 0 }, 4)), /no replicas left/);
    assert.match(notes(state({ 1: 0, 2: 0, 3: 0, 4: 0 })), /no node is taken out of service/);
  });

  test('whose successor has its vote already only go: nobody else is chosen', () => {
    const clusterState = state({ 1: 0, 2: 0, 3: 0, 4: 9, 5: 0 }, 3);
    const [action] = planDrains(
      viewOf({ clusterState, groups: [placement(2, [4, 3, 1, 2])], liveNodes: nodes(1, 2, 3, 4, 5) }),
      group(1),
    ).actions;
    assert.ok(action?.kind === 'changeMembership');
    assert.deepEqual([action.remove, [1, 2, 4].includes(action.add)], [3, true]);
  });

  test('come to an end, whatever there is: each action takes one off, and none is put on such a node', () => {
    const random = new SeededRandom(11);
    for (let round = 0; round < 200; round++) {
      const ids = Array.from({ length: 3 + random.int(4) }, (_, at) => at + 1);
      const shuffled = (): number[] => [...ids].sort(() => random.int(3) - 1);
      const out = shuffled().slice(0, random.int(ids.length));
      const groups = Array.from({ length: 1 + random.int(6) }, (_, at) => [at + 1, ...shuffled().slice(0, 3)]);
      const clusterState = withdrawn(
        documentWith({ groups, nodeBytes: Object.fromEntries(ids.map((id) => [id, random.int(9)])) }),
        ...out,
      );
      const voters = new Map(groups.map(([id, ...of]) => [id!, of]));
      const left = (): number => [...voters.values()].flat().filter((node) => out.includes(node)).length;
      for (let step = left(); ; step--) {
        const view = viewOf({
          clusterState,
          groups: [...voters].map(([id, of]) => placement(id, of)),
          liveNodes: nodes(...ids),
        });
        const [action] = planDrains(view, group(1)).actions;
        if (action === undefined) break;
        assert.ok(step > 0 && action.kind === 'changeMembership');
        assert.equal(withdrawalOf(clusterState, action.add), undefined);
        const rest = voters.get(action.group)!.filter((node) => node !== action.remove);
        assert.ok(!rest.includes(action.add));
        voters.set(action.group, [...rest, action.add]);
        assert.equal(left(), step - 1);
      }
      const inService = ids.filter((id) => !out.includes(id));
      for (const [id, of] of voters) {
        const isStuck = of.some((node) => out.includes(node));
        assert.ok(!isStuck || inService.every((node) => of.includes(node)), `group ${id} had somewhere to go`);
      }
    }
  });
});
