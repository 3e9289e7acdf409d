import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CatalogLeader } from '../../../src/cluster/catalog/leader.ts';
import { NodeAgent } from '../../../src/cluster/catalog/node-agent.ts';
import { activatable, FeatureActivator } from '../../../src/cluster/work/feature-activator.ts';
import type { NodeOp } from '../../../src/distribution/catalog/catalog.ts';
import { clusterStateOf } from '../../../src/distribution/catalog/catalog-state.ts';
import { CAPABILITIES, FEATURES, isFeatureActive } from '../../../src/distribution/catalog/features.ts';
import type { CatalogError } from '../../../src/distribution/contract/errors.ts';
import { nodeId, SeededRandom } from '../../../src/platform/index.ts';
import { nodeReport } from '../../distribution/builders.ts';
import { CatalogModel } from '../../distribution/catalog-model.ts';
import { VirtualTime } from '../../support/virtual-time.ts';

const OLD = CAPABILITIES & ~(1n << BigInt(FEATURES['ranges.balance']!.bit));

const heartbeat = (id: number, capabilities = CAPABILITIES): NodeOp => ({
  kind: 'putNode',
  node: nodeReport(id, { capabilities }),
  expectedRevision: undefined,
});

/** Runs the activator over a catalog in memory. */
class Stage {
  readonly time = new VirtualTime();
  readonly model = CatalogModel.bootstrapped();
  readonly errors: unknown[] = [];
  readonly activator: FeatureActivator;
  /** Tells the activator that the catalog has changed. */
  changed: () => void = () => undefined;

  constructor() {
    const leader = {
      state: undefined,
      run: async (request: Parameters<CatalogLeader['run']>[0]) => this.model.run(request),
      onChange: (listener: () => void) => {
        this.changed = listener;
        return () => undefined;
      },
    };
    Object.defineProperty(leader, 'state', { get: () => this.model.state });
    this.activator = new FeatureActivator({
      leader: leader as unknown as CatalogLeader,
      scheduler: this.time,
      onError: (error) => this.errors.push(error),
    });
    this.activator.start();
  }

  get active(): string[] {
    return [...this.model.state.features.keys()].sort();
  }
}

describe('features', () => {
  test('are switched on when every node that the cluster was founded with can do them', async () => {
    const stage = new Stage();
    for (const id of [1, 2]) stage.model.run(heartbeat(id));
    await stage.time.pass(5_000);
    assert.deepEqual(stage.active, [], 'node 3 was not heard of');
    stage.model.run(heartbeat(3));
    await stage.time.pass(2_000);
    assert.deepEqual(stage.active, Object.keys(FEATURES).sort());
    assert.deepEqual(stage.errors, []);
    await stage.activator.stop();
  });

  test('are switched on at once when the last node is heard of', async () => {
    const stage = new Stage();
    for (const id of [1, 2, 3]) stage.model.run(heartbeat(id));
    stage.changed();
    await stage.time.pass(100);
    assert.deepEqual(stage.active, Object.keys(FEATURES).sort());
    await stage.activator.stop();
  });

  test('wait for a node that runs an older program, the others do not', async () => {
    const stage = new Stage();
    for (const id of [1, 2]) stage.model.run(heartbeat(id));
    stage.model.run(heartbeat(3, OLD));
    await stage.time.pass(5_000);
    assert.equal(isFeatureActive(clusterStateOf(stage.model.state), 'ranges.balance'), false);
    assert.equal(isFeatureActive(clusterStateOf(stage.model.state), 'ranges.move'), true);
    stage.model.run(heartbeat(3));
    await stage.time.pass(2_000);
    assert.equal(isFeatureActive(clusterStateOf(stage.model.state), 'ranges.balance'), true);
    await stage.activator.stop();
  });

  test('are left to operators when they have said so', async () => {
    const stage = new Stage();
    stage.model.run({ kind: 'setSetting', name: 'features.auto', value: 'off' });
    for (const id of [1, 2, 3]) stage.model.run(heartbeat(id));
    await stage.time.pass(5_000);
    assert.deepEqual(stage.active, []);
    assert.deepEqual(activatable(undefined), []);
    await stage.activator.stop();
  });

  test('keep a program without them out, with a word on why', async () => {
    const stage = new Stage();
    for (const id of [1, 2, 3]) stage.model.run(heartbeat(id));
    await stage.time.pass(2_000);
    const refusals: CatalogError[] = [];
    const agent = new NodeAgent({
      client: {
        heartbeat: async (node) => {
          stage.model.run({ kind: 'putNode', node: { ...node, heartbeatMs: 0 }, expectedRevision: undefined });
          return undefined;
        },
      },
      nodeId: nodeId(4),
      incarnation: Buffer.alloc(16, 4),
      address: 'node4',
      locality: '',
      capabilities: OLD,
      load: () => ({ leaderCount: 0, replicaCount: 0, storedBytes: 0 }),
      scheduler: stage.time,
      random: new SeededRandom(1),
      onRemoved: () => assert.fail('it was not removed'),
      onRefused: (error) => refusals.push(error),
    });
    agent.start();
    await stage.time.pass(5_000);
    agent.stop();
    assert.equal(refusals.length, 1, 'said once, however often it tries');
    assert.equal(refusals[0]!.code, 'NODE_LACKS_FEATURE');
    assert.match(refusals[0]!.message, /node 4 runs a program without ranges\.balance/);
    assert.equal(stage.model.state.nodes.has(nodeId(4)), false);
    await stage.activator.stop();
  });
});
