/**
 * Programs that listen and publish over three real nodes, each used as its documentation says: ioredis, node-redis, redis-py, and Socket.IO servers,
 * one a node, that reach each other's clients through kvorum.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createAdapter, createShardedAdapter } from '@socket.io/redis-adapter';
import { createAdapter as createStreamsAdapter } from '@socket.io/redis-streams-adapter';
import { Redis } from 'ioredis';
import { BasicClientSideCache, createClient } from 'redis';
import { Server } from 'socket.io';
import { io as connectSocket, type Socket } from 'socket.io-client';
import { ProcessNodes } from '../support/process-nodes.ts';
import { DEBIAN_PYTHON, skipWithout } from '../support/programs.ts';
import { until } from '../support/until.ts';

const TOUR = fileURLToPath(new URL('./subscribers.py', import.meta.url));

let nodes: ProcessNodes;
before(async () => {
  nodes = await ProcessNodes.start();
});
after(() => nodes.stop());

const ports = (): number[] => nodes.nodeIds.map((node) => nodes.redisPort(node));
/** One that is closed while it connects would try again for as long as the process lives, and keep it alive: it gives up when the nodes are gone. */
const reconnectStrategy = (retries: number): number | false => (retries < 100 ? 50 : false);
const nodeRedis = (port: number, RESP: 2 | 3 = 2) =>
  createClient({ url: `redis://127.0.0.1:${port}`, RESP, socket: { reconnectStrategy } })
    .on('error', () => {})
    .connect();

describe('official clients', () => {
  test('ioredis listens by channel and by pattern on each node', async () => {
    for (const port of ports()) {
      const [listener, got] = [new Redis(port), [] as string[]];
      listener.on('message', (channel, message) => got.push(`${channel} ${message}`));
      listener.on('pmessage', (pattern, channel, message) => got.push(`${pattern} ${channel} ${message}`));
      await listener.subscribe('news', 'other');
      await listener.psubscribe('n*');
      for (const other of ports()) {
        const publisher = new Redis(other);
        assert.equal(await publisher.publish('news', String(other)), 2);
        publisher.disconnect();
      }
      await until('all messages are here', () => got.length === 6);
      assert.deepEqual(
        got.toSorted(),
        ports()
          .flatMap((other) => [`n* news ${other}`, `news ${other}`])
          .toSorted(),
      );
      await listener.punsubscribe('n*');
      await listener.unsubscribe();
      assert.equal(await listener.get('absent'), null, 'it is a client as others again');
      listener.disconnect();
    }
  });

  test('node-redis listens on each node, to shards too, over RESP3', async () => {
    for (const port of ports()) {
      const listener = await nodeRedis(port, 3);
      const got: string[] = [];
      const hear = (message: string): void => void got.push(message);
      await listener.subscribe('news', hear);
      await listener.pSubscribe('n*', hear);
      await listener.sSubscribe('shard', hear);
      for (const other of ports()) {
        const publisher = await nodeRedis(other);
        assert.equal(await publisher.publish('news', 'a'), 2);
        assert.equal(await publisher.sPublish('shard', 'b'), 1);
        await publisher.close();
      }
      await until('all messages are here', () => got.length === 9);
      assert.deepEqual(got.toSorted().join(''), 'aaaaaabbb');
      await listener.unsubscribe();
      await listener.close();
    }
  });

  test('node-redis keeps what it reads on each node, until it is changed on any', async () => {
    for (const port of ports()) {
      const cache = new BasicClientSideCache({ ttl: 0, maxEntries: 100, evictPolicy: 'LRU' });
      const keeper = await createClient({
        url: `redis://127.0.0.1:${port}`,
        RESP: 3,
        clientSideCache: cache,
        socket: { reconnectStrategy },
      })
        .on('error', () => {})
        .connect();
      for (const other of ports()) {
        const writer = await nodeRedis(other);
        await writer.set('kept', `${port} ${other}`);
        await until('the change is known', async () => (await keeper.get('kept')) === `${port} ${other}`);
        // The message of the change may come after what is read of it, and makes the client forget that once.
        await until('what was read is kept', async () => {
          const { hitCount } = cache.stats();
          assert.equal(await keeper.get('kept'), `${port} ${other}`);
          return cache.stats().hitCount === hitCount + 1;
        });
        await writer.close();
      }
      await keeper.close();
    }
  });

  test('redis-py listens on each node', { skip: skipWithout('redis-py') }, async () => {
    const { stdout, stderr } = await promisify(execFile)(DEBIAN_PYTHON, [TOUR, ...ports().map(String)]);
    assert.equal(stdout + stderr, '');
  });
});

/** An adapter of a Socket.IO server on one node, and how its clients are closed. */
interface Attached {
  readonly adapter: NonNullable<ConstructorParameters<typeof Server>[1]>['adapter'];
  close(): Promise<void>;
}

const ADAPTERS: Readonly<Record<string, (port: number) => Promise<Attached>>> = {
  'the adapter over ioredis': async (port) => {
    const pub = new Redis(port);
    const sub = pub.duplicate();
    const close = async (): Promise<void> => {
      pub.disconnect();
      sub.disconnect();
    };
    return { adapter: createAdapter(pub, sub), close };
  },
  'the sharded adapter over node-redis': async (port) => {
    const [pub, sub] = [await nodeRedis(port), await nodeRedis(port)];
    const close = async (): Promise<void> => {
      await pub.close();
      await sub.close();
    };
    return { adapter: createShardedAdapter(pub, sub), close };
  },
  'the adapter over streams': async (port) => {
    const client = await nodeRedis(port);
    return { adapter: createStreamsAdapter(client), close: async () => client.destroy() };
  },
};

/** A Socket.IO server whose adapter uses one node, and a browser that is connected to it. */
class Site {
  readonly server: Server;
  readonly got: unknown[] = [];
  private readonly attached: Attached;
  private socket: Socket | undefined;

  constructor(attached: Attached) {
    this.attached = attached;
    this.server = new Server(createServer(), { adapter: attached.adapter });
    this.server.on('connection', (socket) => void socket.join('room'));
    this.server.on('add one', (number: number, answer: (sum: number) => void) => answer(number + 1));
  }

  async open(): Promise<void> {
    const { httpServer } = this.server as unknown as { readonly httpServer: ReturnType<typeof createServer> };
    await new Promise<void>((resolve) => httpServer.listen(0, '127.0.0.1', resolve));
    const { port } = httpServer.address() as { readonly port: number };
    const socket = connectSocket(`http://127.0.0.1:${port}`, { transports: ['websocket'] });
    this.socket = socket;
    socket.on('news', (text) => this.got.push(text));
    socket.on('ask', (answer: (text: string) => void) => answer('yes'));
    await new Promise<void>((resolve) => socket.on('connect', resolve));
  }

  async close(): Promise<void> {
    this.socket?.disconnect();
    await this.server.close();
    await this.attached.close();
  }
}

describe('Socket.IO servers on three nodes', () => {
  for (const [name, attach] of Object.entries(ADAPTERS))
    test(`reach each other's clients with ${name}`, async () => {
      const sites: Site[] = [];
      for (const port of ports()) sites.push(new Site(await attach(port)));
      const [first, second, third] = sites as [Site, Site, Site];
      try {
        for (const site of sites) await site.open();
        await until('every server knows all clients', async () => {
          // A server that was heard of and does not listen yet leaves the question unanswered: the adapters do not wait for their subscriptions.
          const seen = await Promise.all(sites.map(({ server }) => server.fetchSockets().catch(() => [])));
          return seen.every((sockets) => sockets.length === 3);
        });
        first.server.to('room').emit('news', 'a');
        second.server.emit('news', 'b');
        await until('everybody has heard', () => sites.every(({ got }) => got.length === 2));
        for (const { got } of sites) assert.deepEqual(got.toSorted(), ['a', 'b']);
        assert.deepEqual(await third.server.timeout(10_000).emitWithAck('ask'), ['yes', 'yes', 'yes']);
        assert.deepEqual(await first.server.serverSideEmitWithAck('add one', 41), [42, 42]);
        first.server.socketsJoin('late');
        await until('all have joined', async () => (await third.server.in('late').fetchSockets()).length === 3);
        second.server.to('late').emit('news', 'c');
        await until('everybody has heard again', () => sites.every(({ got }) => got.at(-1) === 'c'));
      } finally {
        for (const site of sites) await site.close();
      }
    });
});
