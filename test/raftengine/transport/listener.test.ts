import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, test } from 'node:test';
import grpc from '@grpc/grpc-js';
import { PeerListener } from '../../../src/raftengine/transport/listener.ts';
import { ManualClock, ManualScheduler } from '../../support/manual-time.ts';
import { until } from '../../support/until.ts';

/** No lane has been offered a connection. */
const NONE = { takes: () => false };

describe('the port for peers', () => {
  let scheduler: ManualScheduler;
  let server: grpc.Server;
  let listener: PeerListener;
  let port: number;
  beforeEach(async () => {
    scheduler = new ManualScheduler(new ManualClock());
    server = new grpc.Server();
    listener = new PeerListener(
      server.createConnectionInjector(grpc.ServerCredentials.createInsecure()),
      scheduler,
      NONE,
    );
    port = await listener.listen('127.0.0.1', 0);
  });
  afterEach(() => {
    listener.close();
    server.forceShutdown();
  });
  const dial = (): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => resolve(socket)).on('error', reject);
    });

  test('is closed to those who connect and say nothing, and stays open to those who speak', async (t) => {
    const silent = await dial();
    const mumbling = await dial();
    mumbling.write('PRI');
    const ended = [silent, mumbling].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    for (const socket of [silent, mumbling]) socket.resume();
    const speaking = connectHttp2(`http://127.0.0.1:${port}`);
    t.after(() => speaking.destroy());
    await new Promise((resolve) => speaking.once('remoteSettings', resolve));
    const ping = (): Promise<void> =>
      new Promise((resolve, reject) => speaking.ping((error) => (error === null ? resolve() : reject(error))));
    await ping();
    await until('the two to be accepted', () => scheduler.pendingTimers === 2);
    scheduler.advance(9_999);
    assert.equal(scheduler.pendingTimers, 2);
    scheduler.advance(1);
    await Promise.all(ended);
    await ping();
  });

  test('ends what is left at the end, also what spoke when the server behind it had ended', async () => {
    const mumbling = await dial();
    mumbling.write('PRI');
    await until('one to be accepted', () => scheduler.pendingTimers === 1);
    server.forceShutdown();
    const late = await dial();
    late.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    const ended = [mumbling, late].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    for (const socket of [mumbling, late]) socket.resume();
    await until('the late one to be heard', () => scheduler.pendingTimers === 1);
    const end = listener.end(200);
    scheduler.advance(200);
    await Promise.all([...ended, end]);
  });

  test('that is taken is told by the name of the system', async () => {
    const second = new PeerListener(
      server.createConnectionInjector(grpc.ServerCredentials.createInsecure()),
      scheduler,
      NONE,
    );
    await assert.rejects(second.listen('127.0.0.1', port), { code: 'EADDRINUSE' });
  });
});
