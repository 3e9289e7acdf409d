import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import {
  type Lane,
  nodeId,
  type Refusal,
  type Scheduler,
  SystemClock,
  SystemRandom,
  SystemScheduler,
} from '../../../src/platform/index.ts';
import { StreamBrokenError } from '../../../src/raftengine/errors.ts';
import { PeerBook } from '../../../src/raftengine/founding/peer-book.ts';
import { createGrpcNetwork, type GrpcNetwork } from '../../../src/raftengine/transport/grpc-network.ts';
import { KeptInMemory } from '../../support/kept-peers.ts';
import { until } from '../../support/until.ts';

const clock = new SystemClock();
const random = new SystemRandom();
const scheduler = new SystemScheduler();

interface Received {
  readonly from: number;
  readonly lane: Lane;
  readonly text: string;
}

interface TestPeer {
  readonly network: GrpcNetwork;
  readonly received: Received[];
  readonly lost: number[];
  readonly warnings: string[];
  readonly refusals: Refusal[];
  readonly kept: KeptInMemory;
}

interface PeerOptions {
  readonly cluster?: string;
  readonly incarnation?: string;
  readonly port?: number;
  /** What the node knows of others from its processes before. */
  readonly kept?: KeptInMemory;
  readonly scheduler?: Scheduler;
}

function makePeer(id: number, options: PeerOptions = {}): TestPeer {
  const received: Received[] = [];
  const lost: number[] = [];
  const warnings: string[] = [];
  const refusals: Refusal[] = [];
  const kept = options.kept ?? new KeptInMemory(options.incarnation ?? `incarnation-${id}`);
  const network = createGrpcNetwork({
    self: nodeId(id),
    clusterName: options.cluster ?? 'test',
    admission: new PeerBook(nodeId(id), kept, (error) => {
      throw error;
    }),
    listen: { host: '127.0.0.1', port: options.port ?? 0 },
    clock,
    random,
    scheduler: options.scheduler ?? scheduler,
    logger: { info: () => {}, warn: (facts) => warnings.push(JSON.stringify(facts)) },
  });
  for (const lane of ['control', 'bulk', 'forward'] as const) {
    network.onFrame(lane, (from, frame) => received.push({ from, lane, text: frame.toString() }));
  }
  network.onPeerLost((peer) => lost.push(peer));
  network.onRefused((refusal) => refusals.push(refusal));
  return { network, received, lost, warnings, refusals, kept };
}

function introduceEach(a: TestPeer, b: TestPeer): void {
  a.network.setPeer(b.network.self, `127.0.0.1:${b.network.port}`);
  b.network.setPeer(a.network.self, `127.0.0.1:${a.network.port}`);
}

async function pair(): Promise<[TestPeer, TestPeer]> {
  const a = makePeer(1);
  const b = makePeer(2);
  await Promise.all([a.network.start(), b.network.start()]);
  introduceEach(a, b);
  await until(() => a.network.isConnected(nodeId(2)) && b.network.isConnected(nodeId(1)));
  return [a, b];
}

async function stopAll(...peers: readonly TestPeer[]): Promise<void> {
  await Promise.all(peers.map((peer) => peer.network.stop()));
}

test('a peer that goes away is told of, and is reached again when it is back', async () => {
  const [a, b] = await pair();
  const { port } = b.network;
  await b.network.stop();
  await until(() => a.lost.includes(2) && !a.network.isConnected(nodeId(2)));
  assert.equal(a.network.send(nodeId(2), 'bulk', Buffer.from('x')), false);
  const again = makePeer(2, { port });
  await again.network.start();
  await until(() => a.network.send(nodeId(2), 'bulk', Buffer.from('back')));
  await until(() => again.received.some((frame) => frame.text === 'back'));
  await stopAll(a, again);
});

test('a peer that is back and dials is dialled at once, not after the rest that follows a failure', async () => {
  let rests = false;
  const resting: Scheduler = {
    after: (ms, work) => (rests ? () => undefined : scheduler.after(ms, work)),
    endOfTurn: (work) => scheduler.endOfTurn(work),
    nextTurn: (work) => scheduler.nextTurn(work),
  };
  const a = makePeer(1, { scheduler: resting });
  const b = makePeer(2);
  await Promise.all([a.network.start(), b.network.start()]);
  introduceEach(a, b);
  await until(() => a.network.isConnected(nodeId(2)));
  const { port } = b.network;
  // From here on no rest of the first one ends.
  rests = true;
  await b.network.stop();
  await until(() => !a.network.isConnected(nodeId(2)));
  const again = makePeer(2, { port });
  await again.network.start();
  again.network.setPeer(nodeId(1), `127.0.0.1:${a.network.port}`);
  await until(() => a.network.send(nodeId(2), 'control', Buffer.from('back')));
  await until(() => again.received.some((frame) => frame.text === 'back'));
  rests = false;
  await stopAll(a, again);
});

test('a peer that stops says goodbye, and nobody is warned', async () => {
  const [a, b] = await pair();
  await b.network.stop();
  await until(() => a.lost.includes(2) && !a.network.isConnected(b.network.self));
  await a.network.stop();
  assert.deepEqual(a.warnings, []);
});

test('a changed address replaces the connection', async () => {
  const [a, b] = await pair();
  const moved = makePeer(2);
  await moved.network.start();
  await b.network.stop();
  a.network.setPeer(nodeId(2), `127.0.0.1:${moved.network.port}`);
  await until(() => a.network.send(nodeId(2), 'control', Buffer.from('found')));
  await until(() => moved.received.length > 0);
  a.network.removePeer(nodeId(2));
  assert.equal(a.network.send(nodeId(2), 'control', Buffer.from('x')), false);
  await stopAll(a, moved);
});

test('a stream that nobody takes, or that is given up, is told apart from a failure of its source', async () => {
  const [a, b] = await pair();
  async function* one(): AsyncGenerator<Buffer> {
    yield Buffer.alloc(1000);
  }
  await assert.rejects(a.network.stream(nodeId(2), 'unknown', Buffer.alloc(1), one()), StreamBrokenError);
  const given = a.network.stream(nodeId(2), 'unknown', Buffer.alloc(1), one(), AbortSignal.abort(new Error('enough')));
  await assert.rejects(given, StreamBrokenError);
  await stopAll(a, b);
});

test('arbitrary bytes on the port disturb nobody', async () => {
  const [a, b] = await pair();
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  const closed: Promise<void>[] = [];
  const sockets: Socket[] = [];
  for (let at = 0; at < 40; at++) {
    const socket = connect(b.network.port, '127.0.0.1');
    closed.push(new Promise((resolve) => socket.on('close', () => resolve())));
    socket.on('error', () => {});
    const noise = random.bytes(20 + at * 50);
    socket.end(
      at % 3 === 0 ? noise : at % 3 === 1 ? Buffer.concat([preface, noise]) : Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    );
    sockets.push(socket);
  }
  await until(() => sockets.every((socket) => socket.writableFinished || socket.destroyed));
  a.network.send(nodeId(2), 'bulk', Buffer.from('still here'));
  await until(() => b.received.some((frame) => frame.text === 'still here'));
  for (const socket of sockets) socket.destroy();
  await Promise.all(closed);
  assert.deepEqual(a.lost, []);
  await stopAll(a, b);
});

test('a node of another cluster, at a wrong address or with another data folder is refused, and both sides say why', async () => {
  const [a, b] = await pair();
  const stranger = makePeer(3, { cluster: 'other' });
  const lost = makePeer(4);
  const impostor = makePeer(1, { incarnation: 'another' });
  await Promise.all([stranger, lost, impostor].map((peer) => peer.network.start()));
  const address = `127.0.0.1:${b.network.port}`;
  stranger.network.setPeer(nodeId(2), address);
  lost.network.setPeer(nodeId(9), address);
  impostor.network.setPeer(nodeId(2), address);
  await until(() => [stranger, lost, impostor].every((peer) => peer.warnings.length > 0));
  assert.match(stranger.warnings.join(), /cluster \\+"other\\+"/);
  assert.match(lost.warnings.join(), /meant to reach node 9, this is node 2/);
  assert.match(impostor.warnings.join(), /another data folder under the same id/);
  assert(b.warnings.length >= 3);
  for (const peer of [stranger, lost, impostor]) assert.equal(peer.network.isConnected(nodeId(2)), false);
  assert(a.network.isConnected(nodeId(2)));
  await stopAll(a, b, stranger, lost, impostor);
});

test('a life of a node that was removed is cut off and refused, and the next one under the same id is taken', async () => {
  const [a, b] = await pair();
  await until(() => b.network.isConnected(nodeId(1)));
  b.network.fence(nodeId(1), 'incarnation-1');
  await until(() => !a.network.isConnected(nodeId(2)) && b.lost.includes(1));
  await until(() => a.warnings.some((warning) => warning.includes('was removed from the cluster')));
  await a.network.stop();
  const successor = makePeer(1, { incarnation: 'another' });
  await successor.network.start();
  successor.network.setPeer(nodeId(2), `127.0.0.1:${b.network.port}`);
  await until(() => successor.network.send(nodeId(2), 'bulk', Buffer.from('I am new')));
  await until(() => b.received.some(({ text }) => text === 'I am new'));
  b.network.fence(nodeId(1), 'incarnation-1');
  assert(successor.network.isConnected(nodeId(2)), 'fencing the old life again does not touch the new one');
  await stopAll(b, successor);
});

test('another data folder is refused by those who met the first one, whatever their process and its address', async () => {
  const [a, b] = await pair();
  const { kept } = b;
  await stopAll(a, b);
  const again = makePeer(2, { kept });
  const impostor = makePeer(1, { incarnation: 'another' });
  await Promise.all([again.network.start(), impostor.network.start()]);
  introduceEach(impostor, again);
  await until(() => impostor.refusals.length > 0);
  assert.deepEqual([impostor.refusals[0]?.peer, impostor.refusals[0]?.reason], [2, 'met']);
  assert.match(impostor.refusals[0]!.message, /met before with incarnation-1.*raftadmin replace 1 1.*--join/);
  await impostor.network.stop();
  const moved = makePeer(1);
  await moved.network.start();
  introduceEach(moved, again);
  await until(() => moved.network.isConnected(nodeId(2)) && again.network.isConnected(nodeId(1)));
  assert.deepEqual(moved.refusals, []);
  await stopAll(again, moved);
});

test('a peer is taken for met, and says so, only when that is stable', async () => {
  const a = makePeer(1);
  const b = makePeer(2);
  const stable = Promise.withResolvers<void>();
  let writes = 0;
  b.kept.beforeWrite = () => {
    writes += 1;
    return stable.promise;
  };
  const accepted: number[] = [];
  a.network.onAccepted((peer) => accepted.push(peer));
  await Promise.all([a.network.start(), b.network.start()]);
  a.network.setPeer(nodeId(2), `127.0.0.1:${b.network.port}`);
  await until(() => writes > 0);
  for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(accepted, []);
  assert.equal(a.network.send(nodeId(2), 'control', Buffer.from('vote')), false);
  stable.resolve();
  await until(() => accepted.length > 0);
  assert(a.network.send(nodeId(2), 'control', Buffer.from('vote')));
  await stopAll(a, b);
});

test('what the cluster says of a folder wins over what was met', async () => {
  const [a, b] = await pair();
  b.network.confirm(nodeId(1), 'the right one');
  await until(() => !a.network.isConnected(nodeId(2)) && b.lost.includes(1));
  await until(() => a.refusals.some(({ reason }) => reason === 'changed'));
  const right = makePeer(1, { incarnation: 'the right one' });
  await a.network.stop();
  await right.network.start();
  introduceEach(right, b);
  await until(() => right.network.isConnected(nodeId(2)) && b.network.isConnected(nodeId(1)));
  b.network.confirm(nodeId(1), 'the right one');
  assert(right.network.isConnected(nodeId(2)), 'said again it changes nothing');
  await stopAll(right, b);
});

test('a successor is taken by a node that was away when its predecessor was removed', async () => {
  const [a, b] = await pair();
  await a.network.stop();
  const stranger = makePeer(1, { incarnation: 'stranger' });
  const successor = makePeer(1, { incarnation: 'successor' });
  // As the catalog tells it to every node.
  successor.network.fence(nodeId(1), 'incarnation-1');
  await Promise.all([stranger.network.start(), successor.network.start()]);
  introduceEach(stranger, b);
  await until(() => stranger.refusals.length > 0);
  await stranger.network.stop();
  introduceEach(successor, b);
  await until(() => successor.network.isConnected(nodeId(2)) && b.network.isConnected(nodeId(1)));
  await successor.network.stop();
  const old = makePeer(1);
  await old.network.start();
  introduceEach(old, b);
  await until(() => old.refusals.some(({ reason }) => reason === 'removed'));
  await stopAll(old, b);
});

test('two processes with one data folder are found out, and one that is started again is not', async () => {
  const b = makePeer(2);
  await b.network.start();
  const address = `127.0.0.1:${b.network.port}`;
  for (let round = 0; round < 4; round++) {
    const restarted = makePeer(1);
    await restarted.network.start();
    restarted.network.setPeer(nodeId(2), address);
    await until(() => restarted.network.isConnected(nodeId(2)));
    await restarted.network.stop();
    assert.deepEqual(restarted.refusals, []);
  }
  const [original, copy] = [makePeer(1), makePeer(1)];
  await Promise.all([original.network.start(), copy.network.start()]);
  for (const { network } of [original, copy]) network.setPeer(nodeId(2), address);
  await until(() => [...original.refusals, ...copy.refusals].some(({ reason }) => reason === 'twice'), 30_000);
  await stopAll(original, copy, b);
});

test('a port that accepts and never answers is given up, and the node behind it found later', async () => {
  const sockets: Socket[] = [];
  const silent = createServer((socket) => sockets.push(socket));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const { port } = silent.address() as { port: number };
  const a = makePeer(1);
  await a.network.start();
  a.network.setPeer(nodeId(2), `127.0.0.1:${port}`);
  await until(() => sockets.length > 0);
  assert.equal(a.network.isConnected(nodeId(2)), false);
  assert.equal(a.network.send(nodeId(2), 'control', Buffer.from('x')), false);
  const b = makePeer(2);
  await b.network.start();
  a.network.setPeer(nodeId(2), `127.0.0.1:${b.network.port}`);
  await until(() => a.network.isConnected(nodeId(2)));
  await stopAll(a, b);
  for (const socket of sockets) socket.destroy();
  silent.close();
});

test('control frames pass while streams of a snapshot are full and nobody reads them', async () => {
  const [a, b] = await pair();
  const gate = Promise.withResolvers<void>();
  let taken = 0;
  b.network.onStream('snapshot', async (_from, _header, frames) => {
    for await (const frame of frames) {
      taken += frame.length;
      await gate.promise;
    }
    return Buffer.from('done');
  });
  async function* segment(): AsyncGenerator<Buffer> {
    for (let left = 20; left > 0; left--) yield Buffer.alloc(512 << 10);
  }
  const streams = [1, 2, 3, 4].map(() => a.network.stream(nodeId(2), 'snapshot', Buffer.from('segment'), segment()));
  // As much as may be is on its way, of 40 MiB.
  await until(() => taken > 0);
  for (let at = 0; at < 100; at++) {
    const text = `beat ${at}`;
    a.network.send(nodeId(2), 'control', Buffer.from(text));
    await until(() => b.received.some((frame) => frame.lane === 'control' && frame.text === text), 2000);
  }
  assert.ok(taken <= 4 * (512 << 10), 'nothing of the streams moved meanwhile');
  gate.resolve();
  for (const answer of await Promise.all(streams)) assert.equal(answer.toString(), 'done');
  assert.equal(taken, 4 * 20 * (512 << 10));
  await stopAll(a, b);
});
