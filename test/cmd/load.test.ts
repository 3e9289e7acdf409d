import assert from 'node:assert/strict';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { type LoadOptions, runLoad } from '../../cmd/load/index.ts';

/** A port that nobody listens on. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('the load generator', () => {
  let server: Server;
  const sockets = new Set<Socket>();
  /** A server that answers every command with what `answer` says. */
  const serve = async (answer: (text: string) => string): Promise<number> => {
    server = createServer({ noDelay: true }, (socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        for (const command of chunk.toString('latin1').split('*').slice(1)) socket.write(answer(command));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  };
  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
    server.close();
  });
  const options = (port: number): LoadOptions => ({
    targets: [{ host: '127.0.0.1', port }],
    operation: 'set',
    connections: 4,
    pipeline: 3,
    requests: 1000,
    maxSeconds: 10,
    valueBytes: 10,
    keys: 100,
  });

  test('sends exactly what was asked for and counts what was answered', async () => {
    let commands = 0;
    const port = await serve((text) => {
      commands++;
      assert.match(text, /^3\r\n\$3\r\nSET\r\n\$7\r\nload:\d\d\r\n\$10\r\nx{10}\r\n$/);
      return '+OK\r\n';
    });
    const result = await runLoad(options(port));
    assert.equal(commands, 1000);
    assert.equal(result.operations, 1000);
    assert.equal(result.errors, 0);
    assert.ok(result.latencyMs.p50 > 0 && result.latencyMs.p50 <= result.latencyMs.max);
  });

  test('counts error replies and keeps the first', async () => {
    let commands = 0;
    const port = await serve(() => (++commands % 2 === 0 ? '-ERR even\r\n' : ':1\r\n'));
    const result = await runLoad({ ...options(port), operation: 'incr', connections: 1 });
    assert.equal(result.errors, 500);
    assert.equal(result.firstError, 'ERR even');
  });

  test('goes past a target that is down, and says which', async () => {
    const port = await serve(() => '+OK\r\n');
    const down = await closedPort();
    const targets = [down, port].map((one) => ({ host: '127.0.0.1', port: one }));
    const result = await runLoad({ ...options(port), targets });
    assert.equal(result.operations, 1000);
    assert.deepEqual(result.unreachable, [{ target: targets[0], code: 'ECONNREFUSED' }]);
    await assert.rejects(runLoad({ ...options(port), targets: targets.slice(0, 1) }), { code: 'ECONNREFUSED' });
  });

  test('fails when the server drops a connection in the middle', async () => {
    let commands = 0;
    const port = await serve(() => {
      if (++commands > 50) for (const socket of sockets) socket.destroy();
      return '+OK\r\n';
    });
    await assert.rejects(runLoad(options(port)));
  });
});
