import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ClusterStateVersion } from '../../../src/cluster/catalog/codec.ts';
import { NodeAgent } from '../../../src/cluster/catalog/node-agent.ts';
import { clusterStateOf } from '../../../src/distribution/catalog/catalog-state.ts';
import { CAPABILITIES } from '../../../src/distribution/catalog/features.ts';
import type { ClusterState } from '../../../src/distribution/contract/cluster-types.ts';
import type { CatalogError } from '../../../src/distribution/contract/errors.ts';
import { nodeId, SeededRandom } from '../../../src/platform/index.ts';
import type { FakeCatalogCluster } from '../../support/fake-catalog.ts';
import { founded, incarnationOf } from './founded.ts';

/** A node that reports to the catalog, and what it heard. */
function agentOf(cluster: FakeCatalogCluster, id: number, incarnation = incarnationOf(id)) {
  const heard = {
    documents: [] as ClusterState[],
    removed: [] as CatalogError[],
    refused: [] as string[],
    load: { leaderCount: 0, replicaCount: 3, storedBytes: 0 },
  };
  const agent = new NodeAgent({
    client: cluster.client(),
    nodeId: nodeId(id),
    incarnation,
    address: `127.0.0.1:${id}`,
    locality: 'zone=a',
    capabilities: CAPABILITIES,
    load: () => heard.load,
    scheduler: cluster.time,
    random: new SeededRandom(id),
    onRemoved: (error) => heard.removed.push(error),
    onRefused: (error) => heard.refused.push(error.code),
  });
  agent.onClusterState((clusterState) => heard.documents.push(clusterState));
  agent.start();
  return { agent, heard };
}

const rowOf = (clusterState: ClusterState | undefined, id: number) =>
  clusterState?.nodes.find((row) => row.nodeId === nodeId(id));

describe('a node that reports to the catalog', () => {
  test('gets its row, and the cluster state whenever that changes', async () => {
    const cluster = await founded();
    const { agent, heard } = agentOf(cluster, 1);
    await cluster.time.until('it has a cluster state', () => agent.clusterState !== undefined);
    assert.deepEqual(
      [rowOf(agent.clusterState, 1)?.address, rowOf(agent.clusterState, 1)?.capabilities],
      ['127.0.0.1:1', CAPABILITIES],
    );
    assert.equal(agent.clusterState?.groups.length, 4);
    await cluster.time.pass(5_000);
    assert.equal(heard.documents.length, 1, 'nothing changed');
    await cluster.time.outcome(cluster.client().run({ kind: 'setSetting', name: 'autosplit', value: 'on' }));
    await cluster.time.pass(2_000);
    assert.deepEqual(
      agent.clusterState?.settings.map(({ name, value }) => [name, value]),
      [['autosplit', 'on']],
    );
    agent.stop();
    const { term } = cluster.group;
    await cluster.time.outcome(cluster.client().run({ kind: 'setSetting', name: 'autosplit', value: '' }));
    await cluster.time.pass(5_000);
    assert.equal(heard.documents.length, 2, 'it says nothing once it is stopped');
    assert.equal(cluster.group.term, term);
  });

  test('costs an idle cluster one entry in half a minute, and its heartbeat is known to the second', async () => {
    const cluster = await founded();
    const ids = [1, 2, 3];
    const agents = ids.map((id) => agentOf(cluster, id));
    await cluster.time.pass(2_000);
    const before = cluster.group.entries;
    await cluster.time.pass(120_000);
    const written = cluster.group.entries - before;
    assert.ok(written >= 3 * ids.length && written <= 4 * ids.length, `${written} entries in two minutes`);
    const clusterState = await cluster.time.outcome(cluster.client().clusterState());
    for (const id of ids) {
      const ageMs = cluster.time.nowMs() - rowOf(clusterState, id)!.heartbeatMs;
      assert.ok(ageMs >= 0 && ageMs < 1_300, `the last heartbeat of node ${id} was ${ageMs} ms ago`);
    }
    const live = (): number => cluster.heartbeats[0]!.liveNodes(cluster.leaders[0]!.state!, 4_000).size;
    assert.equal(live(), 3);
    agents[0]!.agent.stop();
    await cluster.time.pass(4_500);
    assert.equal(live(), 2);
    const rows = [...cluster.group.loaded().nodes.values()];
    assert.ok(rows.every((row) => cluster.time.nowMs() - row.heartbeatMs < 37_000));
  });

  test('is believed at once about its load, which is written every few seconds only', async () => {
    const cluster = await founded();
    const { heard } = agentOf(cluster, 1);
    await cluster.time.pass(2_000);
    const before = cluster.group.entries;
    for (let second = 0; second < 20; second++) {
      heard.load = { leaderCount: 1, replicaCount: 3, storedBytes: 1_000 + second };
      await cluster.time.pass(1_000);
    }
    await cluster.time.pass(1_500);
    assert.ok(cluster.group.entries - before <= 5);
    const clusterState = await cluster.time.outcome(cluster.client().clusterState());
    assert.equal(rowOf(clusterState, 1)?.storedBytes, 1_019);
    const { length } = heard.documents;
    assert.equal(length, 1, 'load is no news for other nodes');
  });

  test('is heard by the next leader, which knows only the rows at first', async () => {
    const cluster = await founded(2);
    const { agent, heard } = agentOf(cluster, 1);
    await cluster.time.pass(10_500);
    const row = () => rowOf(cluster.heartbeats[1]!.clusterState(cluster.leaders[1]!.state!), 1)!;
    cluster.group.elect(1);
    const electedMs = cluster.time.nowMs();
    await cluster.time.until('the rows are loaded', () => cluster.leaders[1]!.state !== undefined);
    assert.ok(row().heartbeatMs < electedMs - 5_000);
    assert.ok(cluster.heartbeats[1]!.countsFromMs >= electedMs, 'silence counts from here');
    await cluster.time.pass(3_000);
    assert.ok(row().heartbeatMs > electedMs);
    assert.equal(heard.documents.length, 1, 'the cluster state is the same');
    agent.stop();
    cluster.group.elect(0);
    await cluster.time.until('the rows are loaded', () => cluster.leaders[0]!.state !== undefined);
    const stale = rowOf(cluster.heartbeats[0]!.clusterState(cluster.leaders[0]!.state!), 1)!;
    assert.ok(stale.heartbeatMs < electedMs - 5_000, 'what it heard when it led before counts no more');
  });

  test('keeps trying without a leader and without a catalog', async () => {
    const cluster = await founded();
    cluster.group.elect(undefined);
    const { agent, heard } = agentOf(cluster, 1);
    await cluster.time.pass(20_000);
    cluster.group.elect(0);
    await cluster.time.until('it has a cluster state', () => agent.clusterState !== undefined, 6_000);
    assert.deepEqual([heard.removed, heard.refused], [[], []]);
  });

  test('does not go back to an older cluster state of a leader that was replaced', async () => {
    const { time, leaders } = await founded();
    const clusterState = clusterStateOf(leaders[0]!.state!);
    const given = [
      { incarnation: 7, document: { ...clusterState, revision: 5 } },
      { incarnation: 7, document: { ...clusterState, revision: 4 } },
      { incarnation: 6, document: { ...clusterState, revision: 9 } },
      { incarnation: 8, document: { ...clusterState, revision: 2 } },
    ];
    const has: ClusterStateVersion[] = [];
    const agent = new NodeAgent({
      client: {
        heartbeat: async (_node, version) => {
          has.push(version);
          return given.shift();
        },
      },
      nodeId: nodeId(1),
      incarnation: incarnationOf(1),
      address: '127.0.0.1:1',
      locality: '',
      capabilities: CAPABILITIES,
      load: () => ({ leaderCount: 0, replicaCount: 0, storedBytes: 0 }),
      scheduler: time,
      random: new SeededRandom(1),
      onRemoved: () => undefined,
    });
    const revisions: number[] = [];
    agent.onClusterState(({ revision }) => revisions.push(revision));
    agent.start();
    await time.until('all were given', () => has.length > 4);
    agent.stop();
    assert.deepEqual(revisions, [5, 2]);
    assert.deepEqual(has.at(-1), { incarnation: 8, revision: 2 });
  });

  test('is told once that it was removed, and falls silent', async () => {
    const cluster = await founded();
    const { heard } = agentOf(cluster, 1);
    await cluster.time.pass(2_000);
    const other = agentOf(cluster, 1, incarnationOf(9));
    await cluster.time.pass(5_000);
    assert.deepEqual(other.heard.refused, ['NODE_CHANGED'], 'another life of the same node is refused');
    await cluster.time.outcome(
      cluster.client().run({ kind: 'removeNode', nodeId: nodeId(1), incarnation: incarnationOf(1) }),
    );
    await cluster.time.pass(5_000);
    assert.equal(heard.removed.length, 1);
    assert.equal(heard.removed[0]?.code, 'NODE_REMOVED');
    // The place is free for the other one.
    assert.ok(rowOf(other.agent.clusterState, 1)?.incarnation.equals(incarnationOf(9)));
    assert.equal(cluster.group.loaded().nodes.get(nodeId(1))?.incarnation.equals(incarnationOf(9)), true);
  });
});
