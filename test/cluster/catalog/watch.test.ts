import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { WATCH_CLIENT_LIMITS, WatchClient } from '../../../src/cluster/catalog/watch-client.ts';
import { WatchServer } from '../../../src/cluster/catalog/watch-server.ts';
import {
  decodeWatchAck,
  decodeWatchEnd,
  encodeWatchAck,
  encodeWatchEnd,
  WATCH_KIND,
} from '../../../src/cluster/catalog/watch-wire.ts';
import { ChangeLog } from '../../../src/distribution/catalog/change-log.ts';
import { RouteEngine } from '../../../src/distribution/routes/route-engine.ts';
import { decodeWatchMessage, encodeWatchRequest } from '../../../src/distribution/watch/watch-messages.ts';
import { WATCH_LIMITS } from '../../../src/distribution/watch/watch-session.ts';
import { nodeId, SystemClock, SystemRandom, SystemScheduler } from '../../../src/platform/index.ts';
import { createGrpcNetwork } from '../../../src/raftengine/transport/grpc-network.ts';
import { CatalogModel } from '../../distribution/catalog-model.ts';
import { bookInMemory } from '../../support/kept-peers.ts';
import { HandSource, WatchCluster } from './watch-cluster.ts';

/** A cluster whose nodes all have the newest version, with node 1 leading. */
async function settled(count = 3, model?: CatalogModel): Promise<WatchCluster> {
  const cluster = new WatchCluster(1, count, model);
  cluster.lead(1);
  cluster.believe(1);
  await cluster.simulation.runUntil(() => cluster.allCurrent, 1000);
  return cluster;
}

/** A watcher that says what the test wants. */
function rawWatcher(cluster: WatchCluster, from: number, cursor = 0, incarnation = 0) {
  const request = encodeWatchRequest({ cursor, incarnation, maxBatch: 1, nodeId: nodeId(from) });
  const stream = cluster.node(from).machine.network.duplex(nodeId(1), WATCH_KIND, request);
  const heard: string[] = [];
  stream.onMessage((bytes) => {
    const end = decodeWatchEnd(bytes);
    heard.push(end?.reason ?? decodeWatchMessage(bytes).kind);
  });
  stream.onEnd(() => heard.push('closed'));
  return { stream, heard };
}

describe('watching the catalog', () => {
  test('brings a commit to every healthy watcher within one round trip', async () => {
    const cluster = await settled(5);
    for (let turn = 0; turn < 20; turn++) {
      const { simulation } = cluster;
      const at = simulation.nowMs();
      cluster.split();
      await simulation.runUntil(() => cluster.allCurrent, 100);
      // Links take at most half a millisecond each way.
      for (let id = 2; id <= 5; id++)
        assert.ok(cluster.publishedMs(id)! - at < 1, `${cluster.publishedMs(id)! - at} ms`);
      await simulation.runFor(37);
    }
  });

  test('needs no network at the node that leads', async () => {
    const cluster = await settled(1);
    const { client, engine } = cluster.node(1);
    cluster.split(3);
    assert.equal(engine.current.version, cluster.model.version);
    assert.deepEqual([client.status.mode, client.status.connectedTo], ['local', 1]);
    cluster.resign(1);
    assert.equal(client.status.mode, 'waiting');
  });

  test('encodes a burst of commits once, however many nodes watch', async () => {
    const cluster = await settled(6);
    const before = cluster.node(1).server.encodings;
    cluster.split(50);
    await cluster.simulation.runUntil(() => cluster.allCurrent, 100);
    assert.equal(cluster.node(1).server.encodings, before + 1);
  });

  test('tells operators whom a node watches, since when it heard nothing, and how far everybody is', async () => {
    const cluster = await settled(3);
    cluster.split(4);
    await cluster.simulation.runFor(10_000);
    const { status } = cluster.node(2).client;
    assert.deepEqual(
      [status.version, status.mode, status.connectedTo, status.resets, status.failures, status.lastProblem],
      [5, 'stream', 1, 1, 0, undefined],
    );
    assert.deepEqual([status.lastBeat?.version, status.lastBeat?.leaderTerm], [5, 1]);
    assert.ok(status.lastBeat!.agoMs <= WATCH_LIMITS.beatMs + 250);
    const { server } = cluster.node(1);
    assert.deepEqual(
      server.watchers().map(({ nodeId, version, openMs }) => [nodeId, version, openMs > 9_000]),
      [
        [2, 5, true],
        [3, 5, true],
      ],
    );
    assert.equal(server.slowestCursor(), 5);
  });

  test('goes on at the next leader from the version that was published last, without a snapshot', async () => {
    const cluster = await settled(3);
    cluster.resign(1);
    cluster.lead(2);
    cluster.split(3);
    // Node 3 still asks node 1, which knows better by now; node 2 takes it from its own memory.
    cluster.node(1).belief = nodeId(2);
    await cluster.simulation.runUntil(() => cluster.allCurrent, 300);
    const { status } = cluster.node(3).client;
    assert.deepEqual([status.connectedTo, status.resets, status.lastProblem], [2, 1, 'NOT_LEADER']);
    assert.equal(cluster.node(2).client.status.mode, 'local');
  });

  test('lets its stream go when the node begins to lead, and when it stops', async () => {
    const cluster = await settled(4);
    const { server } = cluster.node(1);
    cluster.node(2).source.set(cluster.model.state, 2);
    cluster.node(3).client.stop();
    await cluster.simulation.runFor(5);
    assert.deepEqual(
      server.watchers().map((watcher) => watcher.nodeId),
      [4],
    );
    cluster.split();
    await cluster.simulation.runFor(5);
    assert.deepEqual(
      [2, 3, 4].map((id) => cluster.node(id).engine.current.version),
      [1, 1, 2],
    );
  });

  test('keeps the numbers of streams apart that are sent copies of the same message', async () => {
    const cluster = await settled(4);
    for (let id = 2; id <= 4; id++) {
      cluster.split();
      await cluster.simulation.runUntil(() => cluster.allCurrent, 100);
      // The stream of this node begins to count anew.
      cluster.fabric.breakConnection(nodeId(1), nodeId(id));
      await cluster.simulation.runFor(100);
    }
    cluster.split(10);
    await cluster.simulation.runFor(5);
    const { server } = cluster.node(1);
    assert.deepEqual(
      server.watchers().map((watcher) => watcher.version),
      [14, 14, 14],
    );
    for (let id = 2; id <= 4; id++) assert.match(cluster.node(id).client.status.lastProblem!, /broke/);
  });

  for (const [what, spoil, resets] of [
    ['is lost on the way goes on from its version', () => undefined, 1],
    ['is damaged on the way begins again with a snapshot', (bytes: Buffer) => bytes.subarray(0, bytes.length - 1), 2],
    ['is of an unknown kind begins again with a snapshot', () => Buffer.from([9, 9, 9]), 2],
    ['is an end without a reason begins again with a snapshot', () => Buffer.from([0, 77, 0, 0]), 2],
  ] as const)
    test(`a watcher for which a message ${what}`, async () => {
      const cluster = new WatchCluster(1, 2);
      const { network } = cluster.node(2).machine;
      const duplex = network.duplex.bind(network);
      let spoilNext = false;
      network.duplex = (...rest) => {
        const stream = duplex(...rest);
        const onMessage = stream.onMessage.bind(stream);
        stream.onMessage = (handler) =>
          onMessage((bytes) => {
            const isSpoiled = spoilNext;
            spoilNext = false;
            const message = isSpoiled ? spoil(bytes) : bytes;
            if (message !== undefined) handler(message);
          });
        return stream;
      };
      cluster.lead(1);
      cluster.believe(1);
      await cluster.simulation.runUntil(() => cluster.allCurrent, 1000);
      spoilNext = true;
      cluster.split();
      await cluster.simulation.runFor(3);
      cluster.split();
      await cluster.simulation.runUntil(() => cluster.allCurrent, 300);
      const { status } = cluster.node(2).client;
      assert.equal(status.resets, resets);
      assert.notEqual(status.lastProblem, undefined);
    });

  test('does not hammer nodes that send it to each other', async () => {
    const cluster = await settled(3);
    cluster.resign(1);
    cluster.node(1).belief = nodeId(2);
    cluster.node(2).belief = nodeId(1);
    const { network } = cluster.node(3).machine;
    const duplex = network.duplex.bind(network);
    let opened = 0;
    network.duplex = (...rest) => {
      opened++;
      return duplex(...rest);
    };
    await cluster.simulation.runFor(20_000);
    assert.ok(opened > 20 && opened < 250, `${opened} streams in 20 s`);
  });

  test('follows a new leader at once while it rests after the old one', async () => {
    const cluster = await settled(3);
    cluster.node(1).machine.crash({ losePower: false });
    cluster.nodes.delete(nodeId(1));
    cluster.leader = undefined;
    await cluster.simulation.runFor(8_000);
    assert.ok(cluster.node(3).client.status.failures >= 3);
    cluster.lead(2);
    cluster.split();
    cluster.believe(2);
    await cluster.simulation.runUntil(() => cluster.allCurrent, WATCH_CLIENT_LIMITS.resolveMs + 20);
  });

  test('notices a server that stands still, and finds it again', async () => {
    const cluster = await settled(2);
    cluster.node(1).machine.pauseFor(20_000);
    await cluster.simulation.runFor(WATCH_CLIENT_LIMITS.silenceMs - 1_500);
    assert.equal(cluster.node(2).client.status.failures, 0);
    await cluster.simulation.runFor(3_000);
    const { status } = cluster.node(2).client;
    assert.deepEqual([status.failures, status.lastProblem], [1, 'silence']);
    await cluster.simulation.runFor(15_000);
    cluster.split();
    await cluster.simulation.runUntil(() => cluster.allCurrent, 4_000);
  });

  test('polls where streams do not last, and streams again where they do', async () => {
    const cluster = await settled(2);
    const { client } = cluster.node(2);
    const modes = new Set<string>();
    for (let at = 0; at < 1000; at++) {
      // Nothing lives longer than 300 ms here.
      if (at % 10 === 0) cluster.fabric.breakConnection(nodeId(1), nodeId(2));
      if (at % 100 === 50) cluster.split();
      await cluster.simulation.runFor(30);
      modes.add(client.status.mode);
      const published = cluster.node(2).publishedMs.size;
      if (at % 100 === 49) assert.ok(published >= Math.floor(at / 100), `${published} versions at ${at}`);
    }
    assert.ok(modes.has('poll'));
    assert.match(client.status.lastProblem!, /broke/);
    await cluster.simulation.runFor(60_000);
    assert.deepEqual([client.status.mode, client.status.failures], ['stream', 0]);
    cluster.split();
    await cluster.simulation.runUntil(() => cluster.allCurrent, 10);
  });

  test('a node that lacks too much gets a snapshot', async () => {
    const cluster = await settled(2, CatalogModel.bootstrapped({ minVersions: 2, minAgeMs: 0 }));
    cluster.fabric.partition([nodeId(1)], [nodeId(2)]);
    await cluster.simulation.runFor(10);
    cluster.split(30);
    assert.ok(cluster.model.state.meta!.deltaFloor > 10);
    cluster.fabric.heal();
    await cluster.simulation.runUntil(() => cluster.allCurrent, 5_000);
    assert.equal(cluster.node(2).client.status.resets, 2);
  });

  test('a source that is behind is not believed, and a restored one is', async () => {
    const cluster = await settled(3);
    const old = cluster.model.state;
    cluster.split(3);
    await cluster.simulation.runUntil(() => cluster.allCurrent, 100);
    const { current } = cluster.node(3).engine;
    cluster.node(1).source.set(old);
    cluster.fabric.breakConnection(nodeId(1), nodeId(3));
    await cluster.simulation.runFor(3_000);
    assert.equal(cluster.node(3).engine.current, current);
    assert.equal(cluster.node(3).client.status.lastProblem, 'INVALID_CURSOR');
    cluster.node(1).source.set(cluster.model.state);
    cluster.commit((model) => model.run({ kind: 'restore', incarnation: 8 }));
    await cluster.simulation.runUntil(() => cluster.allCurrent, 5_000);
    assert.equal(cluster.node(3).engine.current.incarnation, 8);
  });

  test('a change log with a hole is not streamed', async () => {
    const cluster = await settled(2);
    cluster.fabric.partition([nodeId(1)], [nodeId(2)]);
    await cluster.simulation.runFor(10);
    cluster.split(3);
    cluster.leader = undefined;
    cluster.node(1).source.set({ ...cluster.model.state, log: ChangeLog.empty(cluster.model.version + 1) });
    cluster.fabric.heal();
    await cluster.simulation.runFor(5_000);
    const { status } = cluster.node(2).client;
    assert.deepEqual([status.version, status.lastProblem], [1, 'CATALOG_CORRUPT']);
  });

  test('a catalog that has not begun keeps its watchers, and brings them its first version at once', async () => {
    const cluster = new WatchCluster(1, 2, new CatalogModel());
    cluster.lead(1);
    cluster.believe(1);
    await cluster.simulation.runFor(20_000);
    assert.deepEqual([cluster.node(2).client.status.mode, cluster.node(2).client.status.failures], ['stream', 0]);
    const { model } = cluster;
    Object.assign(model, { state: CatalogModel.bootstrapped().state });
    cluster.remember();
    cluster.node(1).source.set(model.state);
    await cluster.simulation.runUntil(() => cluster.allCurrent, 1);
  });
});

describe('the watch server', () => {
  test('sends a watcher that takes nothing a bounded number of messages, keeps the log for it, then lets it go', async () => {
    const cluster = await settled(3);
    cluster.node(3).client.stop();
    const slow = rawWatcher(cluster, 3, 1, 7);
    await cluster.simulation.runFor(10);
    cluster.split(20);
    await cluster.simulation.runFor(1_500);
    assert.deepEqual(slow.heard, ['beat', 'batch', 'batch', 'batch', 'batch', 'beat']);
    assert.equal(cluster.node(1).source.slowest(), 1);
    slow.stream.send(encodeWatchAck(2));
    await cluster.simulation.runFor(2);
    assert.equal(cluster.node(1).source.slowest(), 3);
    await cluster.simulation.runFor(WATCH_LIMITS.stallMs + 1_000);
    assert.ok(slow.heard.includes('STALLED') && slow.heard.at(-1) === 'closed');
    assert.ok(cluster.node(1).source.slowest()! >= 21);
  });

  test('counts a watcher of another life, or of none, as one that has nothing until it has a snapshot', async () => {
    const cluster = await settled(2);
    cluster.split(5);
    await cluster.simulation.runFor(10);
    for (const [cursor, incarnation] of [
      [0, 0],
      [6, 3],
    ] as const) {
      const other = rawWatcher(cluster, 2, cursor, incarnation);
      await cluster.simulation.runFor(2);
      assert.equal(cluster.node(1).server.slowestCursor(), 0);
      other.stream.send(encodeWatchAck(1));
      await cluster.simulation.runFor(2);
      assert.deepEqual(other.heard, ['reset', 'beat']);
      assert.equal(cluster.node(1).server.slowestCursor(), 6);
    }
  });

  test('ends the older of two streams of a node, and every stream when it does not lead or stops', async () => {
    const cluster = await settled(4);
    for (const node of cluster.nodes.values()) if (node.id !== 1) node.client.stop();
    const first = rawWatcher(cluster, 2, 1, 7);
    await cluster.simulation.runFor(5);
    const second = rawWatcher(cluster, 2, 1, 7);
    await cluster.simulation.runFor(5);
    assert.deepEqual([first.heard, second.heard], [['beat', 'REPLACED', 'closed'], ['beat']]);
    cluster.resign(1);
    await cluster.simulation.runFor(5);
    assert.deepEqual(second.heard, ['beat', 'NOT_LEADER', 'closed']);
    const third = rawWatcher(cluster, 3);
    await cluster.simulation.runFor(5);
    assert.deepEqual(third.heard, ['NOT_LEADER', 'closed']);
    cluster.lead(1);
    const fourth = rawWatcher(cluster, 3, 1, 7);
    await cluster.simulation.runFor(5);
    cluster.node(1).server.stop();
    const fifth = rawWatcher(cluster, 4, 1, 7);
    await cluster.simulation.runFor(5);
    assert.deepEqual(fourth.heard, ['beat', 'STOPPING', 'closed']);
    assert.deepEqual(fifth.heard, ['STOPPING', 'closed']);
    assert.equal(cluster.node(1).server.slowestCursor(), undefined);
  });

  test('refuses a request or an acknowledgement that cannot be', async () => {
    const cluster = await settled(2);
    const ahead = rawWatcher(cluster, 2, 1, 7);
    ahead.stream.send(encodeWatchAck(1));
    await cluster.simulation.runFor(5);
    assert.deepEqual(ahead.heard, ['beat', 'BAD_REQUEST', 'closed']);
    const noise = rawWatcher(cluster, 2, 1, 7);
    noise.stream.send(Buffer.from('noise'));
    await cluster.simulation.runFor(5);
    assert.deepEqual(noise.heard, ['beat', 'BAD_REQUEST', 'closed']);
    const stream = cluster.node(2).machine.network.duplex(nodeId(1), WATCH_KIND, Buffer.from('noise'));
    const reasons: (string | undefined)[] = [];
    stream.onMessage((bytes) => reasons.push(decodeWatchEnd(bytes)?.reason));
    await cluster.simulation.runFor(5);
    assert.deepEqual(reasons, ['BAD_REQUEST']);
  });
});

test('ends and acknowledgements survive their bytes, and nothing else is taken for one', () => {
  for (const reason of ['NOT_LEADER', 'CATALOG_CORRUPT', 'STOPPING'] as const)
    for (const leader of [undefined, nodeId(65535)])
      assert.deepEqual(decodeWatchEnd(encodeWatchEnd({ reason, leader })), { reason, leader });
  assert.equal(decodeWatchEnd(Buffer.from([1, 2, 3])), undefined);
  for (const bytes of [[0], [0, 0, 0, 0], [0, 99, 0, 0], [0, 1, 0, 0, 0]])
    assert.throws(() => decodeWatchEnd(Buffer.from(bytes)), { code: 'CATALOG_CORRUPT' });
  for (const seq of [1, 2 ** 32, Number.MAX_SAFE_INTEGER]) assert.equal(decodeWatchAck(encodeWatchAck(seq)), seq);
  assert.equal(decodeWatchAck(Buffer.alloc(7)), undefined);
  assert.equal(decodeWatchAck(Buffer.alloc(8, 0xff)), undefined);
});

test('a node watches the catalog over the real transport', async () => {
  const [clock, random, scheduler] = [new SystemClock(), new SystemRandom(), new SystemScheduler()];
  const make = (id: number) =>
    createGrpcNetwork({
      self: nodeId(id),
      clusterName: 'test',
      admission: bookInMemory(id),
      listen: { host: '127.0.0.1', port: 0 },
      clock,
      random,
      scheduler,
    });
  const [leader, follower] = [make(1), make(2)];
  const model = CatalogModel.bootstrapped();
  const source = new HandSource();
  source.set(model.state, 3);
  const server = new WatchServer({ network: leader, source, clock, scheduler });
  await Promise.all([leader.start(), follower.start()]);
  follower.setPeer(nodeId(1), `127.0.0.1:${leader.port}`);
  const engine = new RouteEngine(0);
  const client = new WatchClient({
    network: follower,
    engine,
    clock,
    scheduler,
    random,
    leader: () => nodeId(1),
    localSource: undefined,
  });
  const reached = (version: number): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (engine.current.version < version) return;
        unlisten();
        resolve();
      };
      const unlisten = client.onPublished(look);
      look();
    });
  client.start();
  await reached(1);
  for (let at = 0; at < 100; at++) {
    model.split(`k${String(at).padStart(3, '0')}`);
    source.set(model.state);
  }
  await reached(101);
  assert.deepEqual([...engine.current.all()], [...model.state.routes.all()]);
  assert.equal(client.status.connectedTo, 1);
  client.stop();
  server.stop();
  await Promise.all([leader.stop(), follower.stop()]);
});
