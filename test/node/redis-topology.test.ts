import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ClusterState, Endpoint } from '../../src/distribution/index.ts';
import type { GroupLocation } from '../../src/kv/index.ts';
import { announcedHost, redisEndpoints, redisTopology } from '../../src/node/redis-topology.ts';
import { groupId, nodeId } from '../../src/platform/index.ts';
import { nodeReport } from '../distribution/builders.ts';

const [ONE, TWO, THREE] = [nodeId(1), nodeId(2), nodeId(3)];
const GROUP = groupId(2);

const rowOf = (id: number, endpoints: readonly Endpoint[]) => ({ ...nodeReport(id), revision: 1, endpoints });

/** Node 1 of three; node 3 has not said where clients reach it. */
function stage(location: GroupLocation) {
  const cut = new Set<number>();
  const state: ClusterState = {
    revision: 1,
    nodes: [rowOf(1, []), rowOf(2, redisEndpoints('b', { port: 2, clusterPort: undefined })), rowOf(3, [])],
    groups: [],
    settings: [],
    features: [],
    work: [],
  };
  const topology = redisTopology({
    self: ONE,
    clusterName: 'test',
    endpoints: () => redisEndpoints('a', { port: 1, clusterPort: 11 }),
    clusterState: () => state,
    locationOf: () => location,
    isConnected: (node) => !cut.has(node),
  });
  return { topology, cut };
}

describe('the cluster for clients that choose the node', () => {
  test('has this node as it is, and the others as they have said', () => {
    const { topology, cut } = stage({ leader: ONE, isWitnessed: true, members: [] });
    cut.add(2);
    assert.deepEqual(
      topology.members().map(({ id: _, ...member }) => member),
      [
        { nodeId: ONE, host: 'a', port: 1, clusterPort: 11, isReachable: true },
        { nodeId: TWO, host: 'b', port: 2, clusterPort: undefined, isReachable: false },
      ],
    );
  });

  test('leads nobody to a leader that cannot be reached: this node passes commands on until there is another', () => {
    const { topology, cut } = stage({ leader: TWO, isWitnessed: true, members: [THREE, TWO, ONE] });
    assert.deepEqual(topology.placementOf(GROUP), { leader: TWO, isWitnessed: true, replicas: [THREE, TWO, ONE] });
    cut.add(2);
    assert.deepEqual(topology.placementOf(GROUP), { leader: undefined, isWitnessed: false, replicas: [ONE, THREE] });
  });
});

describe('the host that clients are told', () => {
  const hostOf = (host: string, address: string, announced?: string) =>
    announcedHost({ host, announcedHost: announced }, address);

  test('is what was configured, else where it listens, else where other nodes reach it, else left open', () => {
    assert.equal(hostOf('0.0.0.0', '10.0.0.1:5', 'kv.example'), 'kv.example');
    assert.equal(hostOf('10.0.0.2', '10.0.0.1:5'), '10.0.0.2');
    assert.equal(hostOf('0.0.0.0', '10.0.0.1:5'), '10.0.0.1');
    assert.equal(hostOf('::', '[fd00::1]:5'), 'fd00::1');
    assert.equal(hostOf('0.0.0.0', '0.0.0.0:5'), '');
  });
});
