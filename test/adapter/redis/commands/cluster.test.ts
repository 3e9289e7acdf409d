import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, afterEach, describe, test } from 'node:test';
import { Cluster } from 'ioredis';
import { createCluster } from 'redis';
import type {
  ClusterMember,
  ClusterTopology,
  GroupPlacement,
} from '../../../../src/adapter/redis/command/cluster-topology.ts';
import { type RedisServer, startRedisServer } from '../../../../src/adapter/redis/server/server.ts';
import { clusterMemberId } from '../../../../src/adapter/redis/state/solo-topology.ts';
import { type GroupId, nodeId, SystemClock, SystemRandom, SystemScheduler } from '../../../../src/platform/index.ts';
import { FakeKv, FakeState, slotKey } from '../../../support/fake-kv.ts';
import { skipWithout } from '../../../support/programs.ts';
import { type Decoded, loggedErrors, RawClient } from '../harness.ts';

/** Nodes over one map; group `n` is led by node `n` as long as there are enough of them. */
class FakeTopology implements ClusterTopology {
  readonly state = new FakeState();
  readonly kvs: FakeKv[] = [];
  readonly servers: RedisServer[] = [];
  readonly clients: RawClient[] = [];
  /** Nodes that the others cannot reach. */
  readonly unreachable = new Set<number>();
  isWitnessed = true;
  private readonly leaders = new Map<GroupId, number>();

  static async start(nodes: number, groups: number): Promise<FakeTopology> {
    const cluster = new FakeTopology();
    for (let node = 1; node <= nodes; node++) {
      cluster.kvs.push(new FakeKv({ nodeId: node, state: cluster.state, groups }));
    }
    cluster.state.owners = cluster.kvs[0]!.directory.copy();
    cluster.kvs[0]!.dataGroups().forEach((group, nth) => {
      cluster.lead(group, (nth % nodes) + 1);
    });
    for (const kv of cluster.kvs) {
      cluster.servers.push(
        await startRedisServer({
          kv,
          host: '127.0.0.1',
          port: 0,
          clusterPort: 0,
          clock: new SystemClock(),
          scheduler: new SystemScheduler(),
          random: new SystemRandom(),
          topology: cluster,
          logger: { info: () => {}, warn: () => {}, error: (fields) => loggedErrors.push(fields) },
        }),
      );
    }
    clusters.push(cluster);
    return cluster;
  }

  lead(group: GroupId, node: number): void {
    this.leaders.set(group, node);
    for (const kv of this.kvs) kv.leaders.set(group, this.kvs[node - 1]!);
  }

  get groups(): readonly GroupId[] {
    return this.kvs[0]!.dataGroups();
  }

  members(): readonly ClusterMember[] {
    return this.servers.map((server, position) => ({
      nodeId: nodeId(position + 1),
      id: clusterMemberId('test', nodeId(position + 1)),
      host: '127.0.0.1',
      port: server.port,
      clusterPort: server.clusterPort,
      isReachable: !this.unreachable.has(position + 1),
    }));
  }

  placementOf(group: GroupId): GroupPlacement {
    const leader = this.leaders.get(group);
    return {
      leader: leader === undefined ? undefined : nodeId(leader),
      isWitnessed: this.isWitnessed,
      replicas: this.kvs.map((kv) => kv.nodeId),
    };
  }

  async connect(node: number, isClusterPort = false): Promise<RawClient> {
    const server = this.servers[node - 1]!;
    const client = await RawClient.connect(isClusterPort ? server.clusterPort! : server.port);
    this.clients.push(client);
    return client;
  }

  async stop(): Promise<void> {
    for (const client of this.clients) client.close();
    await Promise.all(this.servers.map((server) => server.stop()));
  }
}

const clusters: FakeTopology[] = [];
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
});
after(() => assert.deepEqual(loggedErrors, []));

const A_SLOT = 15_495;

describe('CLUSTER', () => {
  test('SLOTS, SHARDS and NODES cover all slots and lead to the leaders', async () => {
    const cluster = await FakeTopology.start(3, 4);
    for (const isClusterPort of [false, true]) {
      const client = await cluster.connect(2, isClusterPort);
      const ports = cluster.servers.map((server) => (isClusterPort ? server.clusterPort! : server.port));
      const slots = (await client.call('CLUSTER', 'SLOTS')) as [number, number, [string, number], ...Decoded[]][];
      assert.deepEqual(
        slots.map(([first, last, [host, port], ...replicas]) => [first, last, host, port, replicas.length]),
        [
          [0, 4095, '127.0.0.1', ports[0], 2],
          [4096, 8191, '127.0.0.1', ports[1], 2],
          [8192, 12287, '127.0.0.1', ports[2], 2],
          [12288, 16383, '127.0.0.1', ports[0], 2],
        ],
      );
      const lines = ((await client.call('CLUSTER', 'NODES')) as string).trimEnd().split('\n');
      const [first, second] = cluster.members();
      assert.equal(lines[0], `${first!.id} 127.0.0.1:${ports[0]}@0 master - 0 0 1 connected 0-4095 12288-16383`);
      assert.equal(lines[1], `${second!.id} 127.0.0.1:${ports[1]}@0 myself,master - 0 0 1 connected 4096-8191`);
      assert.equal(lines.length, 3);
      assert.equal(await client.call('CLUSTER', 'MYID'), second!.id);
      await client.call('HELLO', '3');
      const shards = (await client.call('CLUSTER', 'SHARDS')) as Map<string, Decoded>[];
      assert.deepEqual(
        shards.map((shard) => shard.get('slots')),
        [
          [0, 4095],
          [4096, 8191],
          [8192, 12287],
          [12288, 16383],
        ],
      );
      const nodes = shards[1]!.get('nodes') as Map<string, Decoded>[];
      assert.deepEqual(
        nodes.map((node) => [node.get('port'), node.get('role')]),
        [
          [ports[1], 'master'],
          [ports[0], 'replica'],
          [ports[2], 'replica'],
        ],
      );
    }
  });

  test('shows a slot that is cut in the middle with the group of its first key, and follows moves', async () => {
    const cluster = await FakeTopology.start(2, 2);
    const client = await cluster.connect(1);
    cluster.state.owners!.assign(Buffer.concat([slotKey(100), Buffer.from('m')]), slotKey(200), cluster.groups[1]!);
    for (const kv of cluster.kvs) kv.learn();
    const slots = (await client.call('CLUSTER', 'SLOTS')) as [number, number, [string, number]][];
    assert.deepEqual(
      slots.map(([first, last, [, port]]) => [first, last, cluster.servers.findIndex((one) => one.port === port)]),
      [
        [0, 100, 0],
        [101, 199, 1],
        [200, 8191, 0],
        [8192, 16383, 1],
      ],
    );
  });

  test('shows that a node cannot be reached from here', async () => {
    const cluster = await FakeTopology.start(2, 2);
    const client = await cluster.connect(1, true);
    cluster.unreachable.add(2);
    const [, second] = ((await client.call('CLUSTER', 'NODES')) as string).split('\n');
    assert.match(second!, / master,fail\? - 0 0 1 disconnected /);
  });

  test('names any node of a group that has no known leader, and itself when it knows nobody', async () => {
    const cluster = await FakeTopology.start(2, 1);
    const client = await cluster.connect(2);
    cluster.placementOf = () => ({ leader: undefined, isWitnessed: false, replicas: [nodeId(1)] });
    cluster.kvs[1]!.servesLocally = () => false;
    const portOf = async () =>
      ((await client.call('CLUSTER', 'SLOTS')) as [number, number, [string, number]][])[0]![2][1];
    assert.equal(await portOf(), cluster.servers[0]!.port);
    cluster.placementOf = () => ({ leader: undefined, isWitnessed: false, replicas: [] });
    assert.equal(await portOf(), cluster.servers[1]!.port);
  });

  test('counts and lists the keys of a slot wherever they are, and computes slots', async () => {
    const cluster = await FakeTopology.start(2, 2);
    const client = await cluster.connect(2);
    for (const key of ['{a}1', '{a}2', '{a}3', 'b']) await client.call('SET', key, 'v');
    assert.equal(await client.call('CLUSTER', 'KEYSLOT', '{a}1'), A_SLOT);
    assert.equal(await client.call('CLUSTER', 'COUNTKEYSINSLOT', String(A_SLOT)), 3);
    assert.deepEqual(await client.call('CLUSTER', 'GETKEYSINSLOT', String(A_SLOT), '2'), ['{a}1', '{a}2']);
    assert.equal(await client.call('CLUSTER', 'COUNTKEYSINSLOT', '16384'), '-ERR Invalid slot');
    assert.equal(await client.call('CLUSTER', 'GETKEYSINSLOT', '0', '-1'), '-ERR Invalid slot or number of keys');
  });

  test('reports itself, and refuses what the cluster does by itself', async () => {
    const cluster = await FakeTopology.start(3, 3);
    const client = await cluster.connect(1);
    const info = (await client.call('CLUSTER', 'INFO')) as string;
    for (const line of [
      'cluster_state:ok',
      'cluster_slots_assigned:16384',
      'cluster_known_nodes:3',
      'cluster_size:3',
    ]) {
      assert.ok(info.includes(`${line}\r\n`), line);
    }
    assert.deepEqual(await client.call('CLUSTER', 'LINKS'), []);
    assert.deepEqual(await client.call('CLUSTER', 'REPLICAS', cluster.members()[1]!.id), []);
    assert.equal(await client.call('CLUSTER', 'REPLICAS', 'x'), '-ERR Unknown node x');
    for (const command of [
      ['RESET'],
      ['MEET', 'h', '1'],
      ['ADDSLOTS', '1'],
      ['SETSLOT', '1', 'STABLE'],
      ['FAILOVER'],
    ]) {
      assert.match(
        (await client.call('CLUSTER', ...command)) as string,
        /^-ERR slots and nodes are placed by the cluster/,
      );
    }
  });

  test('says that this is a cluster to those who came for one, and to nobody else', async () => {
    const cluster = await FakeTopology.start(2, 2);
    for (const isClusterPort of [false, true]) {
      const client = await cluster.connect(1, isClusterPort);
      const says = async () => [
        ((await client.call('INFO', 'cluster')) as string).includes('cluster_enabled:1'),
        await client.call('CONFIG', 'GET', 'cluster-enabled'),
        ((await client.call('INFO', 'server')) as string).includes('redis_mode:cluster'),
        ((await client.call('HELLO', '3')) as Map<string, Decoded>).get('mode'),
      ];
      const [enabled, setting, isMode, mode] = await says();
      assert.deepEqual(
        [enabled, setting, isMode, mode],
        [
          isClusterPort,
          ['cluster-enabled', isClusterPort ? 'yes' : 'no'],
          isClusterPort,
          isClusterPort ? 'cluster' : 'standalone',
        ],
      );
      assert.equal(await client.call('CLIENT', 'KVORUM-REDIRECTS', 'ON'), '+OK');
      assert.equal(((await client.call('HELLO')) as Map<string, Decoded>).get('mode'), 'cluster');
      await client.call('RESET');
      assert.equal(
        ((await client.call('HELLO', '3')) as Map<string, Decoded>).get('mode'),
        isClusterPort ? 'cluster' : 'standalone',
      );
    }
  });
});

describe('a client that has asked for redirects', () => {
  test('is sent to the leader of a slot, and served there', async () => {
    const cluster = await FakeTopology.start(2, 2);
    const one = await cluster.connect(1, true);
    const two = await cluster.connect(2, true);
    const moved = `-MOVED ${A_SLOT} 127.0.0.1:${cluster.servers[1]!.clusterPort}`;
    assert.equal(await one.call('SET', 'a', '1'), moved);
    assert.equal(await two.call('SET', 'a', '1'), '+OK');
    assert.equal(await one.call('WATCH', 'a'), moved);
    assert.equal(await one.call('SET', 'b', '1'), '+OK');
    await one.call('MULTI');
    assert.equal(await one.call('GET', 'a'), moved);
    assert.match((await one.call('EXEC')) as string, /^-EXECABORT /);
    assert.equal(await one.call('ASKING'), '+OK');
    assert.equal(await one.call('GET', 'a'), moved);
  });

  test('reads anywhere after READONLY, and writes where the leader is', async () => {
    const cluster = await FakeTopology.start(2, 2);
    const client = await cluster.connect(1, true);
    assert.equal(await client.call('READONLY'), '+OK');
    assert.equal(await client.call('GET', 'a'), null);
    assert.match((await client.call('SET', 'a', '1')) as string, /^-MOVED /);
    assert.equal(await client.call('READWRITE'), '+OK');
    assert.match((await client.call('GET', 'a')) as string, /^-MOVED /);
  });

  test('is served here while the leader is not known, in other databases, and when it takes its wish back', async () => {
    const cluster = await FakeTopology.start(2, 2);
    const client = await cluster.connect(1);
    assert.equal(await client.call('SET', 'a', '1'), '+OK');
    await client.call('CLIENT', 'KVORUM-REDIRECTS', 'ON');
    assert.equal(await client.call('SET', 'a', '2'), `-MOVED ${A_SLOT} 127.0.0.1:${cluster.servers[1]!.port}`);
    const { placementOf } = cluster;
    cluster.placementOf = () => ({ leader: undefined, isWitnessed: false, replicas: [] });
    assert.equal(await client.call('GET', 'a'), '1');
    cluster.placementOf = placementOf;
    await client.call('SELECT', '1');
    assert.equal(await client.call('GET', 'a'), null);
    await client.call('SELECT', '0');
    await client.call('CLIENT', 'KVORUM-REDIRECTS', 'OFF');
    assert.equal(await client.call('GET', 'a'), '1');
    assert.equal(await client.call('CLIENT', 'KVORUM-REDIRECTS', 'x'), '-ERR syntax error');
  });

  test('is served here by a node that only remembers who led', async () => {
    const cluster = await FakeTopology.start(2, 2);
    const client = await cluster.connect(1, true);
    cluster.isWitnessed = false;
    assert.equal(await client.call('SET', 'a', '1'), '+OK');
    cluster.isWitnessed = true;
    assert.match((await client.call('SET', 'a', '1')) as string, /^-MOVED /);
  });

  test('is told the address that it has come to where nodes have no other', async () => {
    const cluster = await FakeTopology.start(2, 2);
    const { members } = cluster;
    cluster.members = () => members.call(cluster).map((member) => ({ ...member, host: '' }));
    const client = await cluster.connect(1, true);
    const moved = `-MOVED ${A_SLOT} 127.0.0.1:${cluster.servers[1]!.clusterPort}`;
    assert.equal(await client.call('SET', 'a', '1'), moved);
  });

  test('is never sent in a circle by a slot that is cut in the middle', async () => {
    const cluster = await FakeTopology.start(2, 2);
    cluster.state.owners!.assign(
      Buffer.concat([slotKey(A_SLOT), Buffer.from('a')]),
      slotKey(A_SLOT + 1),
      cluster.groups[0]!,
    );
    for (const kv of cluster.kvs) kv.learn();
    const one = await cluster.connect(1, true);
    const two = await cluster.connect(2, true);
    assert.match((await one.call('SET', 'a', '1')) as string, new RegExp(`:${cluster.servers[1]!.clusterPort}$`));
    assert.equal(await two.call('SET', 'a', '1'), '+OK');
    assert.equal(cluster.kvs[0]!.groupOf(Buffer.concat([slotKey(A_SLOT), Buffer.from('a')])), cluster.groups[0]);
  });
});

describe('cluster clients', () => {
  for (const [nodes, groups] of [
    [1, 1],
    [3, 1],
    [3, 5],
  ] as const) {
    test(`ioredis' Cluster reads and writes everything on ${nodes} node(s) with ${groups} group(s) while ranges move`, async () => {
      const cluster = await FakeTopology.start(nodes, groups);
      const client = new Cluster([{ host: '127.0.0.1', port: cluster.servers[0]!.clusterPort! }], {
        redisOptions: { maxRetriesPerRequest: 3 },
      });
      try {
        const keys = Array.from({ length: 60 }, (_, index) => `key:${index}`);
        for (let round = 1; round <= 3; round++) {
          await Promise.all(keys.map((key) => client.set(key, `${key} ${round}`)));
          const from = round * 3000;
          cluster.state.owners!.assign(slotKey(from), slotKey(from + 5000), cluster.groups.at(-round % groups)!);
          for (const kv of cluster.kvs) kv.learn();
          if (nodes > 1) cluster.lead(cluster.groups[0]!, (round % nodes) + 1);
          assert.deepEqual(
            await Promise.all(keys.map((key) => client.get(key))),
            keys.map((key) => `${key} ${round}`),
          );
        }
        assert.deepEqual(await client.multi().set('{t}a', '1').incr('{t}a').exec(), [
          [null, 'OK'],
          [null, 2],
        ]);
      } finally {
        client.disconnect();
      }
    });
  }

  test("node-redis' cluster client does too", async () => {
    const cluster = await FakeTopology.start(3, 4);
    const client = createCluster({
      rootNodes: [{ url: `redis://127.0.0.1:${cluster.servers[1]!.clusterPort}` }],
    });
    await client.connect();
    try {
      const keys = Array.from({ length: 30 }, (_, index) => `key:${index}`);
      await Promise.all(keys.map((key) => client.set(key, key)));
      cluster.lead(cluster.groups[1]!, 1);
      cluster.lead(cluster.groups[0]!, 3);
      assert.deepEqual(await Promise.all(keys.map((key) => client.get(key))), keys);
    } finally {
      client.destroy();
    }
  });

  test('redis-benchmark --cluster runs', {
    skip: skipWithout('redis-benchmark'),
  }, async () => {
    const cluster = await FakeTopology.start(3, 4);
    for (const port of [cluster.servers[0]!.port, cluster.servers[0]!.clusterPort!]) {
      const child = spawn('redis-benchmark', [
        ...[
          '-h',
          '127.0.0.1',
          '-p',
          String(port),
          '--cluster',
          '-t',
          'set,get',
          '-n',
          '600',
          '-c',
          '6',
          '-r',
          '1000',
          '-q',
        ],
      ]);
      let output = '';
      child.stdout.on('data', (chunk) => {
        output += chunk;
      });
      child.stderr.on('data', (chunk) => {
        output += chunk;
      });
      const [code] = (await once(child, 'exit')) as [number];
      assert.equal(code, 0, output);
      assert.match(output, /Cluster has 3 master nodes/);
      assert.match(output, /SET: [\d.]+ requests per second/);
      assert.match(output, /GET: [\d.]+ requests per second/);
      assert.doesNotMatch(output, /error|WARNING/i);
    }
  });
});

describe('channels of shards', () => {
  test('lead a client of the second port to the leader of their slot, and are ended when another node leads it', async () => {
    const cluster = await FakeTopology.start(2, 2);
    const [first, second] = [await cluster.connect(1, true), await cluster.connect(2, true)];
    const port = cluster.servers[1]!.clusterPort;
    for (const command of [
      ['SSUBSCRIBE', 'a'],
      ['SUNSUBSCRIBE', 'a'],
      ['SPUBLISH', 'a', 'x'],
    ]) {
      assert.equal(await first.call(...command), `-MOVED ${A_SLOT} 127.0.0.1:${port}`);
    }
    assert.equal(await second.call('SSUBSCRIBE', 'a', 'b'), "-CROSSSLOT Keys in request don't hash to the same slot");
    assert.deepEqual(await second.call('SSUBSCRIBE', 'a', '{a}b'), ['ssubscribe', 'a', 1]);
    assert.deepEqual(await second.read(), ['ssubscribe', '{a}b', 2]);
    const plain = await cluster.connect(2);
    assert.deepEqual(await plain.call('SSUBSCRIBE', 'a'), ['ssubscribe', 'a', 1]);
    for (const group of cluster.groups) cluster.lead(group, 1);
    assert.deepEqual(await second.readMany(2), [
      ['sunsubscribe', 'a', 1],
      ['sunsubscribe', '{a}b', 0],
    ]);
    assert.equal(await second.call('ECHO', 'x'), 'x', 'it listens to nothing');
    assert.deepEqual(await plain.call('PING'), ['pong', ''], 'others do not follow slots');
    assert.deepEqual(await plain.call('SUNSUBSCRIBE'), ['sunsubscribe', 'a', 0]);
  });

  test('are published through the leader of their slot from any node', async () => {
    const cluster = await FakeTopology.start(2, 2);
    const [listener, publisher] = [await cluster.connect(2), await cluster.connect(1)];
    await listener.call('SSUBSCRIBE', 'a');
    assert.equal(await publisher.call('SPUBLISH', 'a', 'x'), 1);
    assert.deepEqual(await listener.read(), ['smessage', 'a', 'x']);
  });
});
