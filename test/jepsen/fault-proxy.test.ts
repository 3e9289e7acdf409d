import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { FaultProxy } from '../../jepsen/cluster/fault-proxy.ts';
import { SeededRandom } from '../../src/platform/index.ts';

const DEADLINE_MS = 5000;

/** Collects what arrives on a socket. */
class Sink {
  bytes = Buffer.alloc(0);
  private waiting: (() => void) | undefined;

  constructor(socket: Socket) {
    socket.on('data', (chunk) => {
      this.bytes = Buffer.concat([this.bytes, chunk]);
      this.waiting?.();
    });
  }

  async until(length: number): Promise<void> {
    const giveUp = AbortSignal.timeout(DEADLINE_MS);
    while (this.bytes.length < length) {
      giveUp.throwIfAborted();
      await new Promise<void>((resolve) => {
        this.waiting = resolve;
        giveUp.addEventListener('abort', () => resolve());
      });
    }
  }
}

describe('the fault proxy', () => {
  let peer: Server;
  let proxy: FaultProxy;
  let client: Socket;
  let server: Socket;
  let atServer: Sink;
  let atClient: Sink;

  beforeEach(async () => {
    peer = createServer();
    peer.listen(0, '127.0.0.1');
    await once(peer, 'listening');
    proxy = new FaultProxy(() => (peer.address() as { port: number }).port, new SeededRandom(1));
    const accepted = once(peer, 'connection');
    client = connect(await proxy.listen(), '127.0.0.1');
    [server] = (await accepted) as [Socket];
    atServer = new Sink(server);
    atClient = new Sink(client);
  });

  afterEach(async () => {
    client.destroy();
    server.destroy();
    await proxy.stop();
    peer.close();
  });

  test('passes bytes both ways', async () => {
    client.write('ask');
    await atServer.until(3);
    server.write('answer');
    await atClient.until(6);
    assert.equal(atServer.bytes.toString(), 'ask');
    assert.equal(atClient.bytes.toString(), 'answer');
  });

  test('holds what is sent through a cut direction and delivers it in order when the cut is healed', async () => {
    proxy.setOutbound({ cut: true });
    const sent = randomBytes(300_000);
    for (let at = 0; at < sent.length; at += 10_000) client.write(sent.subarray(at, at + 10_000));
    server.write('the other direction is whole');
    await atClient.until(28);
    assert.equal(atServer.bytes.length, 0);
    proxy.setOutbound({});
    await atServer.until(sent.length);
    assert.ok(atServer.bytes.equals(sent));
  });

  test('applies a cut to connections that are opened during it', async () => {
    proxy.setInbound({ cut: true });
    const accepted = once(peer, 'connection');
    const late = connect((client.remotePort as number) ?? 0, '127.0.0.1');
    const lateSink = new Sink(late);
    const [lateServer] = (await accepted) as [Socket];
    lateServer.write('held');
    late.write('ask');
    await new Sink(lateServer).until(3);
    assert.equal(lateSink.bytes.length, 0);
    proxy.setInbound({});
    await lateSink.until(4);
    late.destroy();
    lateServer.destroy();
  });

  test('keeps the order of bursts whose delays differ', async () => {
    proxy.setOutbound({ delayMs: 5, jitterMs: 30, lossRate: 0.2 });
    const bursts = Array.from({ length: 20 }, (_, at) => `${at};`);
    for (const burst of bursts) {
      client.write(burst);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await atServer.until(bursts.join('').length);
    assert.equal(atServer.bytes.toString(), bursts.join(''));
  });

  test('delays by at least what it was told', async () => {
    proxy.setOutbound({ delayMs: 60 });
    const startMs = performance.now();
    client.write('x');
    await atServer.until(1);
    assert.ok(performance.now() - startMs >= 59);
  });

  test('closes the other side when one side closes', async () => {
    const closed = once(server, 'close');
    client.destroy();
    await closed;
  });
});
