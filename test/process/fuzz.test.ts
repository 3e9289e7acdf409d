import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { ProcessNodes } from '../support/process-nodes.ts';

const HTTP2_PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
const CALL_LIMIT_MS = 300;

/** Writes bytes to a port and waits until the other side hangs up, or a moment. */
function throwAt(port: number, parts: readonly Uint8Array[]): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      for (const part of parts) socket.write(part);
    });
    const end = (): void => {
      socket.destroy();
      resolve();
    };
    socket.on('error', end).on('close', end);
    socket.resume();
    setTimeout(end, 50);
  });
}

/** One gRPC call with any metadata and any bytes. */
async function call(
  session: ClientHttp2Session,
  headers: Record<string, string>,
  chunks: readonly Uint8Array[],
): Promise<void> {
  const stream = session.request({
    ':method': 'POST',
    ':scheme': 'http',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  const closed = new Promise<void>((resolve) => stream.once('close', () => resolve()));
  stream.on('error', () => {});
  stream.resume();
  for (const chunk of chunks) stream.write(chunk);
  stream.end();
  await Promise.race([closed, delay(CALL_LIMIT_MS)]);
  stream.close();
}

const grpcMessage = (body: Uint8Array): Buffer => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
};

/** An id that no node of the cluster has. */
const STRANGER = '9';

/** The metadata by which a node makes itself known. */
const introduction = (who: { from: string; incarnation: string; target: number }): Record<string, string> => ({
  'kvorum-cluster-bin': Buffer.from('kvorum').toString('base64'),
  'kvorum-node': who.from,
  'kvorum-incarnation': who.incarnation,
  'kvorum-target': String(who.target),
});

/** A batch as the transport sends it: version, then frames with their lengths. */
const batch = (frames: readonly Uint8Array[]): Buffer =>
  Buffer.concat([
    Buffer.from([1]),
    ...frames.map((frame) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(frame.length);
      return Buffer.concat([length, frame]);
    }),
  ]);

describe('arbitrary bytes on the ports of a node', () => {
  let cluster: ProcessNodes;
  before(async () => {
    cluster = await ProcessNodes.start();
  });
  after(() => cluster.stop());

  async function stillWorks(): Promise<void> {
    for (const nodeId of cluster.nodeIds) {
      assert.equal(
        cluster.processes.process(nodeId)!.exit,
        undefined,
        `node ${nodeId} died: ${cluster.log.slice(-10)}`,
      );
    }
    await cluster.ready();
    for (const nodeId of cluster.nodeIds) {
      const client = cluster.client(nodeId);
      const value = `${Math.random()}`;
      await client.set(`fuzz:${nodeId}`, value);
      assert.equal(await client.get(`fuzz:${nodeId}`), value);
      client.disconnect();
    }
  }

  test('for Redis clients harm nothing', async () => {
    const word = fc.constantFrom(
      '*1\r\n',
      '*-1\r\n',
      '*3\r\n$3\r\nSET\r\n',
      '$5\r\n',
      '$-7\r\n',
      '*99999999999\r\n',
      'GET a\r\n',
      '"\r\n',
      '\0',
    );
    const part = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      word.map((text) => Buffer.from(text)),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 6 }), (parts) => throwAt(cluster.redisPort(1), parts)),
      { numRuns: 60 },
    );
    await stillWorks();
  });

  test('between nodes, as raw bytes with and without an HTTP/2 greeting, harm nothing', async () => {
    const bytes = fc.uint8Array({ maxLength: 400 });
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.array(bytes, { maxLength: 3 }), (greets, parts) =>
        throwAt(cluster.grpcPort(1), greets ? [HTTP2_PREFACE, SETTINGS, ...parts] : parts),
      ),
      { numRuns: 60 },
    );
    await stillWorks();
  });

  /** A stranger may ask a node who it is; the answer lets the fuzzer speak in that node's name. */
  async function incarnationOf(nodeId: number): Promise<string> {
    const session = connectHttp2(`http://127.0.0.1:${cluster.grpcPort(nodeId)}`);
    const stream = session.request({
      ':method': 'POST',
      ':path': '/kvorum.internal.v1.Peer/Frames',
      'content-type': 'application/grpc',
      te: 'trailers',
      ...introduction({ from: STRANGER, incarnation: 'unknown', target: nodeId }),
      'kvorum-lane': 'control',
    });
    const [headers] = (await once(stream, 'response')) as [Record<string, string>];
    session.destroy();
    return headers['kvorum-incarnation']!;
  }

  test('between nodes, as calls of any shape, from a stranger or in the name of a peer, harm nothing', async () => {
    const target = 1;
    const session = connectHttp2(`http://127.0.0.1:${cluster.grpcPort(target)}`);
    session.on('error', () => {});
    const peer = introduction({ from: '2', incarnation: await incarnationOf(2), target });
    const stranger = introduction({ from: STRANGER, incarnation: '00112233445566778899aabbccddeeff', target });
    const broken = introduction({ from: '-1', incarnation: '', target });
    const frame = fc.uint8Array({ maxLength: 200 });
    const path = fc.constantFrom('Frames', 'Stream', 'Nothing').map((name) => `/kvorum.internal.v1.Peer/${name}`);
    const headers = fc.record({
      ':path': path,
      'kvorum-lane': fc.constantFrom('control', 'bulk', 'forward', 'other'),
      'kvorum-kind': fc.constantFrom('snapshot', 'other', ''),
    });
    const body = fc.oneof(
      fc.array(frame, { maxLength: 4 }).map((frames) => [grpcMessage(batch(frames))]),
      fc.array(frame, { maxLength: 4 }).map((frames) => frames.map(grpcMessage)),
      fc.array(frame, { maxLength: 4 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(peer, stranger, broken), headers, body, (from, names, chunks) =>
        call(session, { ...from, ...names }, chunks),
      ),
      { numRuns: 40 },
    );
    session.destroy();
    await stillWorks();
  });
});
