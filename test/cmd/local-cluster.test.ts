import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LocalCluster, type LocalClusterOptions, type NodeExit, NodeStartError } from '../../cmd/cluster/index.ts';
import { clusterTable } from '../../cmd/commands/cluster.ts';
import { clusterSettings, loadConfig, toClusterNodes } from '../../src/config/index.ts';
import { until } from '../support/until.ts';

const script = fileURLToPath(new URL('./stub-node.ts', import.meta.url));
const nodes = toClusterNodes(loadConfig(clusterSettings, { flags: {}, environment: {} }).values);
const TIMEOUT_MS = 60_000;
/** For nodes that stop when they are told to; the one that does not is killed after it. */
const STOP_MS = 3_000;

describe('the launcher of a local cluster', () => {
  let cluster: LocalCluster;
  const launch = (behaviour?: { node: number; name: string }, options: Partial<LocalClusterOptions> = {}) => {
    process.env.STUB_NODE = String(behaviour?.node ?? 0);
    process.env.STUB_BEHAVIOUR = behaviour?.name ?? '';
    cluster = new LocalCluster({ nodes, script: () => script, ...options });
    cluster.start();
    return cluster;
  };
  afterEach(() => cluster.stop(100));

  test('is ready when every node listens and knows a leader, and shows one row a node', async () => {
    const members = await launch({ node: 3, name: 'noLeader' }).ready(TIMEOUT_MS);
    assert.deepEqual(
      members.map((member) => member.pid),
      [1, 2, 3].map((nodeId) => cluster.process(nodeId)!.pid),
    );
    assert.equal(
      clusterTable(members.map((member) => ({ ...member, pid: 40 + member.nodeId }))),
      [
        'node  role      redis           redis cluster   grpc             metrics  process  data folder',
        '1     leader    127.0.0.1:6379  127.0.0.1:7379  127.0.0.1:50051  m        41       ./data/n1',
        '2     follower  127.0.0.1:6380  127.0.0.1:7380  127.0.0.1:50052  m        42       ./data/n2',
        '3     follower  127.0.0.1:6381  127.0.0.1:7381  127.0.0.1:50053  m        43       ./data/n3',
      ].join('\n'),
    );
  });

  test('passes every line of a node on with the node it came from', async () => {
    const lines: string[] = [];
    await launch(undefined, { onLine: (nodeId, line) => lines.push(`${nodeId} ${line}`) }).ready(TIMEOUT_MS);
    await until(() => lines.length === 3);
    assert.ok(lines.some((line) => line.startsWith('2 {"level":30') && line.includes('./data/n2')));
  });

  test('says which node could not start, and what it said', async () => {
    await assert.rejects(launch({ node: 2, name: 'failAtStart' }).ready(TIMEOUT_MS), (error: unknown) => {
      assert.ok(error instanceof NodeStartError);
      assert.match(error.message, /node 2 ended unexpectedly \(exit code 3\)\n {2}the log is torn/);
      return true;
    });
  });

  test('stops all nodes cleanly, and kills one that will not stop', async () => {
    await launch().ready(TIMEOUT_MS);
    assert.deepEqual(
      (await cluster.stop()).map((exit) => exit.code),
      [0, 0, 0],
    );
    await launch({ node: 2, name: 'ignoreStop' }).ready(TIMEOUT_MS);
    assert.deepEqual(
      (await cluster.stop(STOP_MS)).map((exit) => exit.signal),
      [null, 'SIGKILL', null],
    );
  });

  test('reports a death once, and not the ends that were asked for', async () => {
    const deaths: [number, NodeExit, boolean][] = [];
    launch(undefined, { onDeath: (nodeId, exit, restarting) => deaths.push([nodeId, exit, restarting]) });
    await cluster.ready(TIMEOUT_MS);
    cluster.process(2)!.kill('SIGKILL');
    await until(() => deaths.length > 0);
    await cluster.stop();
    assert.equal(deaths.length, 1);
    assert.deepEqual([deaths[0]![0], deaths[0]![1].signal, deaths[0]![2]], [2, 'SIGKILL', false]);
  });

  test('starts a dead node again when it is told to', async () => {
    launch(undefined, { restart: true });
    await cluster.ready(TIMEOUT_MS);
    const before = cluster.process(2)!.pid;
    cluster.process(2)!.kill('SIGKILL');
    await until(() => cluster.process(2)!.pid !== before);
    assert.equal((await cluster.ready(TIMEOUT_MS)).length, 3);
  });

  test('leaves a node alone that has ended for good', async () => {
    const deaths: boolean[] = [];
    launch(
      { node: 2, name: 'endsForGood' },
      { restart: true, onDeath: (_node, _exit, restarting) => deaths.push(restarting) },
    );
    await until(() => deaths.length > 0);
    assert.deepEqual(deaths, [false]);
  });

  test('revives a node by hand, and only one that ended', async () => {
    await launch().ready(TIMEOUT_MS);
    const before = cluster.process(3)!.pid;
    cluster.revive(3);
    assert.equal(cluster.process(3)!.pid, before);
    cluster.process(3)!.kill('SIGKILL');
    await cluster.process(3)!.waitExit();
    cluster.revive(3);
    assert.equal((await cluster.ready(TIMEOUT_MS)).length, 3);
  });
});
