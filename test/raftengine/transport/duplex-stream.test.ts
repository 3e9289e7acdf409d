import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DuplexStream, nodeId, SystemClock, SystemRandom, SystemScheduler } from '../../../src/platform/index.ts';
import { StreamBrokenError } from '../../../src/raftengine/errors.ts';
import { createGrpcNetwork, type GrpcNetwork } from '../../../src/raftengine/transport/grpc-network.ts';
import { bookInMemory } from '../../support/kept-peers.ts';
import { until } from '../../support/until.ts';
import { StallingProxy } from './stalling-proxy.ts';

const [A, B] = [nodeId(1), nodeId(2)];

interface Heard {
  readonly stream: DuplexStream;
  readonly texts: string[];
  bytes: number;
  /** Undefined while it lasts, null when the other side closed it. */
  end: Error | null | undefined;
}

function listen(stream: DuplexStream): Heard {
  const heard: Heard = { stream, texts: [], bytes: 0, end: undefined };
  stream.onMessage((message) => {
    heard.bytes += message.length;
    if (message.length < 100) heard.texts.push(message.toString());
  });
  stream.onEnd((error) => {
    assert.equal(heard.end, undefined, 'told once');
    heard.end = error ?? null;
  });
  return heard;
}

interface Peer {
  readonly network: GrpcNetwork;
  readonly inbound: (Heard & { header: string; from: number })[];
  readonly control: number[];
}

async function start(
  id: number,
  options: { cluster?: string; incarnation?: string; port?: number } = {},
): Promise<Peer> {
  const peer: Peer = {
    network: createGrpcNetwork({
      self: nodeId(id),
      clusterName: options.cluster ?? 'test',
      admission: bookInMemory(id, options.incarnation),
      listen: { host: '127.0.0.1', port: options.port ?? 0 },
      clock: new SystemClock(),
      random: new SystemRandom(),
      scheduler: new SystemScheduler(),
    }),
    inbound: [],
    control: [],
  };
  peer.network.onFrame('control', () => peer.control.push(performance.now()));
  peer.network.onDuplex('talk', (from, header, stream) => {
    if (header.toString() === 'nonsense') throw new Error('nobody can read this');
    peer.inbound.push(Object.assign(listen(stream), { header: header.toString(), from }));
  });
  await peer.network.start();
  return peer;
}

const addressOf = (peer: Peer): string => `127.0.0.1:${peer.network.port}`;

async function pair(): Promise<{ a: Peer; b: Peer; near: Heard; far: () => Heard; stop: () => Promise<void> }> {
  const [a, b] = await Promise.all([start(1), start(2)]);
  a.network.setPeer(B, addressOf(b));
  b.network.setPeer(A, addressOf(a));
  const near = listen(a.network.duplex(B, 'talk', Buffer.from('hello')));
  const stop = async (): Promise<void> => {
    await Promise.all([a.network.stop(), b.network.stop()]);
  };
  await until(() => b.inbound.length === 1);
  return { a, b, near, far: () => b.inbound[0]!, stop };
}

const texts = (count: number): string[] => Array.from({ length: count }, (_, at) => `m${at}`);

test('messages of a two-way stream arrive in order in both directions, empty and long ones too', async () => {
  const { b, near, far, stop } = await pair();
  assert.deepEqual([b.inbound[0]!.header, b.inbound[0]!.from], ['hello', 1]);
  // Longer than what may wait: one message of any length is always taken.
  const long = Buffer.alloc(80 * 1024 * 1024, 7);
  for (const text of texts(300)) near.stream.send(Buffer.from(text));
  near.stream.send(long);
  near.stream.send(Buffer.alloc(0));
  near.stream.send(Buffer.from('last'));
  for (const text of texts(200)) far().stream.send(Buffer.from(text));
  await until(() => far().texts.at(-1) === 'last' && near.texts.length === 200);
  assert.deepEqual(far().texts, [...texts(300), '', 'last']);
  assert.ok(far().bytes > long.length);
  assert.deepEqual(near.texts, texts(200));
  assert.deepEqual([near.end, far().end], [undefined, undefined]);
  await stop();
});

for (const closer of ['opener', 'receiver'] as const)
  test(`a two-way stream that its ${closer} closes brings what was said before, and tells the other side alone`, async () => {
    const { near, far, stop } = await pair();
    const [self, other] = closer === 'opener' ? [near, far()] : [far(), near];
    for (const text of texts(50)) self.stream.send(Buffer.from(text));
    self.stream.send(Buffer.alloc(3 * 1024 * 1024));
    other.stream.send(Buffer.from('crosses the end on its way'));
    self.stream.close();
    self.stream.send(Buffer.from('too late'));
    await until(() => other.end !== undefined);
    assert.equal(other.end, null);
    assert.deepEqual(other.texts, texts(50));
    assert.ok(other.bytes > 3 * 1024 * 1024);
    other.stream.send(Buffer.from('anybody there?'));
    other.stream.close();
    await stop();
    assert.deepEqual([self.end, self.texts], [undefined, []]);
  });

test('a two-way stream that is closed at once still says what it had to say', async () => {
  const { a, b, stop } = await pair();
  const brief = a.network.duplex(B, 'talk', Buffer.from('brief'));
  brief.send(Buffer.from('one'));
  brief.close();
  await until(() => b.inbound[1]?.end !== undefined);
  assert.deepEqual([b.inbound[1]!.header, b.inbound[1]!.texts, b.inbound[1]!.end], ['brief', ['one'], null]);
  await stop();
});

test('a two-way stream ends with an error when the other node stops, or this one', async () => {
  const { a, b, near, far, stop } = await pair();
  const back = listen(b.network.duplex(A, 'talk', Buffer.from('back')));
  await until(() => a.inbound.length === 1);
  await b.network.stop();
  await until(() => near.end !== undefined && a.inbound[0]!.end !== undefined);
  for (const { end } of [near, far(), back, a.inbound[0]!]) assert.ok(end instanceof StreamBrokenError);
  assert.deepEqual([far().end?.message, back.end?.message], ['the node stops', 'the node stops']);
  const later = listen(b.network.duplex(A, 'talk', Buffer.alloc(0)));
  await until(() => later.end instanceof StreamBrokenError);
  await stop();
});

test('a two-way stream ends with an error when the connection breaks or the peer is removed', async () => {
  const { a, b, stop } = await pair();
  const proxy = await StallingProxy.before(b.network.port);
  a.network.setPeer(B, `127.0.0.1:${proxy.port}`);
  const cut = listen(a.network.duplex(B, 'talk', Buffer.from('cut')));
  await until(() => b.inbound.length === 2);
  proxy.destroyAll();
  await until(() => cut.end !== undefined && b.inbound[1]!.end !== undefined);
  assert.ok(cut.end instanceof StreamBrokenError && b.inbound[1]!.end instanceof StreamBrokenError);
  a.network.setPeer(B, addressOf(b));
  const removed = listen(a.network.duplex(B, 'talk', Buffer.from('removed')));
  await until(() => b.inbound.length === 3);
  a.network.removePeer(B);
  assert.ok(removed.end instanceof StreamBrokenError);
  await until(() => b.inbound[2]!.end instanceof StreamBrokenError);
  const unknown = listen(a.network.duplex(B, 'talk', Buffer.alloc(0)));
  assert.equal(unknown.end, undefined);
  await until(() => unknown.end instanceof StreamBrokenError);
  await Promise.all([stop(), proxy.close()]);
});

test('a two-way stream is refused to another cluster, the wrong node, another data folder, an unknown kind and a bad header', async () => {
  const { a, b, stop } = await pair();
  const stranger = await start(3, { cluster: 'other' });
  const refusal = async (from: Peer, at: Peer, to = B, kind = 'talk', header = ''): Promise<string> => {
    from.network.setPeer(to, addressOf(at));
    const heard = listen(from.network.duplex(to, kind, Buffer.from(header)));
    await until(() => heard.end !== undefined);
    return heard.end?.message ?? 'closed';
  };
  assert.match(await refusal(stranger, b), /of cluster "other"/);
  assert.match(await refusal(a, stranger, nodeId(3)), /of cluster "test"/);
  assert.match(await refusal(a, b, nodeId(4)), /meant to reach node 4/);
  assert.match(await refusal(a, b, B, 'unheard of'), /nobody takes two-way streams of kind unheard of/);
  assert.match(await refusal(a, b, B, 'talk', 'nonsense'), /nobody can read this/);
  // B believes the data folder that it saw first.
  const other = await start(1, { incarnation: 'another folder' });
  assert.match(await refusal(other, b), /another data folder under the same id/);
  assert.equal(b.inbound.length, 1);
  // And A believes the data folder that it saw first at that address.
  await b.network.stop();
  const reborn = await start(2, { incarnation: 'another folder', port: b.network.port });
  const heard = listen(a.network.duplex(B, 'talk', Buffer.alloc(0)));
  await until(() => heard.end !== undefined);
  assert.match(heard.end!.message, /another data folder under the same id|comes with incarnation/);
  await reborn.network.stop();
  assert.equal(reborn.inbound.length + stranger.inbound.length, 0);
  await Promise.all([stop(), stranger.network.stop(), other.network.stop()]);
});

test('a two-way stream shows what waits for a stalled receiver, and ends when too much does; lanes are not delayed', async () => {
  const { a, b, stop } = await pair();
  await until(() => a.network.isConnected(B));
  const proxy = await StallingProxy.before(b.network.port);
  const slow = await start(3);
  slow.network.setPeer(B, `127.0.0.1:${proxy.port}`);
  const heard = listen(slow.network.duplex(B, 'talk', Buffer.from('slow')));
  await until(() => b.inbound.length === 2);
  proxy.stall();
  const chunk = Buffer.alloc(4 * 1024 * 1024);
  for (let at = 0; at < 8; at++) heard.stream.send(chunk);
  const sentAt = performance.now();
  assert.ok(a.network.send(B, 'control', Buffer.from('heartbeat')));
  await until(() => b.control.length === 1);
  assert.ok(b.control[0]! - sentAt < 1000);
  assert.ok(heard.stream.queuedBytes > 8 * 1024 * 1024, `${heard.stream.queuedBytes} bytes wait`);
  proxy.resume();
  await until(() => heard.stream.queuedBytes === 0 && b.inbound[1]!.bytes === 8 * chunk.length);
  proxy.stall();
  for (let at = 0; at < 30; at++) heard.stream.send(chunk);
  assert.equal(heard.end, undefined);
  await until(() => heard.end !== undefined);
  assert.match(heard.end!.message, /does not keep up/);
  await Promise.all([stop(), slow.network.stop()]);
  await proxy.close();
});

test('two-way streams leave no connection behind, whoever closes them and whether they were taken or not', async () => {
  const { a, b, stop } = await pair();
  await until(() => a.network.isConnected(B) && b.network.isConnected(A));
  const sockets = (): number => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
  const before = sockets();
  const streams = Array.from({ length: 30 }, (_, at) =>
    listen(a.network.duplex(B, at % 3 === 0 ? 'unheard of' : 'talk', Buffer.from(`${at}`))),
  );
  streams[1]!.stream.close();
  await until(() => b.inbound.length === 21);
  assert.ok(sockets() > before + 20);
  for (const { stream } of streams.slice(0, 15)) stream.close();
  for (const { stream, header } of b.inbound.slice(1)) if (Number(header) >= 15) stream.close();
  await until(() => sockets() <= before);
  await stop();
});
