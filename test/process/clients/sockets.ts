/**
 * Socket.IO servers, one a node, that reach each other's clients through kvorum. Over streams every message arrives once whose writing was acknowledged.
 * Over PUBLISH a message reaches whoever listens when it is published: what is sent while all nodes are there and everybody has been heard arrives once.
 */
import { createServer } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { createAdapter } from '@socket.io/redis-adapter';
import { createAdapter as createStreamsAdapter } from '@socket.io/redis-streams-adapter';
import { Redis } from 'ioredis';
import { Server } from 'socket.io';
import { io as connectSocket, type Socket } from 'socket.io-client';
import { until } from '../../support/until.ts';
import { type Bed, Errors, type Running, repeatedly, type Workload } from './workload.ts';

const NODES = [1, 2, 3] as const;
const ARRIVAL_MS = 60_000;
type Adapter = NonNullable<ConstructorParameters<typeof Server>[1]>['adapter'];

/** As by default, but that it never gives up: what was in flight when a connection broke is sent again. */
function clientOf(bed: Bed, nodeId: number, errors: Errors): Redis {
  const client = new Redis(bed.port(nodeId), '127.0.0.1', {
    maxRetriesPerRequest: null,
    retryStrategy: () => 50,
  });
  client.on('error', (error) => errors.note(error));
  return client;
}

/** A Socket.IO server, and a browser that is connected to it. */
class Site {
  readonly server: Server;
  /** How often each message arrived. */
  readonly got = new Map<string, number>();
  private readonly clients: readonly Redis[];
  private socket: Socket | undefined;

  constructor(adapter: Adapter, clients: readonly Redis[]) {
    this.server = new Server(createServer(), { adapter });
    this.clients = clients;
  }

  async open(): Promise<void> {
    const { httpServer } = this.server as unknown as { readonly httpServer: ReturnType<typeof createServer> };
    await new Promise<void>((resolve) => httpServer.listen(0, '127.0.0.1', resolve));
    const { port } = httpServer.address() as { readonly port: number };
    const socket = connectSocket(`http://127.0.0.1:${port}`, { transports: ['websocket'] });
    this.socket = socket;
    socket.on('news', (name: string) => this.got.set(name, (this.got.get(name) ?? 0) + 1));
    await new Promise<void>((resolve) => socket.on('connect', resolve));
  }

  async close(): Promise<void> {
    this.socket?.disconnect();
    for (const client of this.clients) client.disconnect();
    await this.server.close();
  }
}

/** Sites that send numbered messages. */
class Sites {
  readonly errors = new Errors();
  readonly sites: Site[] = [];
  /** Messages that have to arrive everywhere. */
  readonly wanted = new Set<string>();
  /** Of them those that may arrive more than once, because a client has sent them again. */
  readonly repeated = new Set<string>();
  readonly complaints: string[] = [];
  private greetings = 0;

  send(at: number, name: string): void {
    this.sites[at]!.server.emit('news', name);
  }

  /** Settles when everybody has heard what everybody has said from now on. */
  async greet(): Promise<void> {
    const isHeard = (): boolean => {
      const names = this.sites.map((_, at) => `greeting-${at}-${this.greetings}`);
      return this.sites.every(({ got }) => names.every((name) => got.has(name)));
    };
    const say = (): void => {
      this.greetings++;
      for (const at of this.sites.keys()) this.send(at, `greeting-${at}-${this.greetings}`);
    };
    say();
    const heard = async (): Promise<boolean> => {
      if (isHeard()) return true;
      await pause(200);
      // One that was lost is not repeated: another one is sent.
      if (!isHeard()) say();
      return false;
    };
    await until('everybody hears everybody', heard, ARRIVAL_MS);
  }

  /** Everything that has to arrive does, and once. */
  async arrived(): Promise<void> {
    const missing = (): string[] =>
      this.sites.flatMap(({ got }, at) =>
        [...this.wanted].filter((name) => !got.has(name)).map((name) => `${name} at ${at + 1}`),
      );
    await until('all messages are here', () => missing().length === 0, ARRIVAL_MS).catch(() => {
      for (const name of missing()) this.complaints.push(`message ${name} did not arrive`);
    });
    for (const [at, { got }] of this.sites.entries())
      for (const [name, times] of got)
        if (times > 1 && this.wanted.has(name) && !this.repeated.has(name))
          this.complaints.push(`message ${name} came ${times} times at ${at + 1}`);
  }

  async close(): Promise<void> {
    for (const site of this.sites) await site.close();
  }
}

export const socketsOverStreams: Workload = async (bed) => {
  const all = new Sites();
  /** Messages of which nobody knows whether they were written. */
  const unsure = new Set<string>();
  for (const nodeId of NODES) {
    const client = clientOf(bed, nodeId, all.errors);
    const xadd = client.xadd.bind(client) as unknown as (args: readonly unknown[]) => Promise<string | null>;
    // What the adapter does not tell: which messages were not written.
    const inFlight = new Set<string>();
    client.on('close', () => {
      for (const name of inFlight) all.repeated.add(name);
    });
    const watched = async (args: readonly unknown[]): Promise<string | null> => {
      const name = /news-\d+-\d+/.exec(String(args))?.[0] ?? '';
      inFlight.add(name);
      try {
        return await xadd(args);
      } catch (error) {
        all.errors.note(error);
        unsure.add(name);
        throw error;
      } finally {
        inFlight.delete(name);
      }
    };
    Object.assign(client, { xadd: watched });
    all.sites.push(new Site(createStreamsAdapter(client, { maxLen: 1_000_000, streamName: 'soak.io' }), [client]));
  }
  for (const site of all.sites) await site.open();
  await all.greet();
  const sending = repeatedly(20, async (nth) => {
    const at = nth % NODES.length;
    all.wanted.add(`news-${at}-${nth}`);
    all.send(at, `news-${at}-${nth}`);
  });
  return {
    progress: () => `${all.wanted.size} messages`,
    finish: async () => {
      await sending.stop();
      for (const name of unsure) all.wanted.delete(name);
      await all.arrived();
      await all.close();
      const summary = `${all.wanted.size} messages written, ${unsure.size} perhaps (errors: ${all.errors.text})`;
      return { summary, complaints: all.complaints };
    },
  };
};

export const socketsOverPublish: Workload = async (bed): Promise<Running> => {
  const all = new Sites();
  for (const nodeId of NODES) {
    const clients = [clientOf(bed, nodeId, all.errors), clientOf(bed, nodeId, all.errors)] as const;
    all.sites.push(new Site(createAdapter(...clients, { key: 'soak.pub' }), clients));
  }
  for (const site of all.sites) await site.open();
  await all.greet();
  let isCalm = true;
  let dropped = await bed.droppedMessages();
  let cutOff = 0;
  let sent = 0;
  let calm = 0;
  // A node that stands still for seconds is taken for dead: what is published meanwhile may be lost, as the promise says.
  const arrived = async (): Promise<void> => {
    const before = all.complaints.length;
    await all.arrived();
    const found = all.complaints.length - before;
    if (found === 0 || (await bed.droppedMessages()) === dropped) return;
    cutOff += found;
    all.complaints.length = before;
  };
  const sending = repeatedly(20, async (nth) => {
    const at = nth % NODES.length;
    if (isCalm) {
      all.wanted.add(`news-${at}-${nth}`);
      calm++;
    }
    all.send(at, `news-${at}-${nth}`);
    sent++;
  });
  return {
    progress: () => `${sent} messages, ${calm} of them while all was well`,
    beforeKill: async () => {
      isCalm = false;
      await arrived();
      all.wanted.clear();
    },
    afterRevival: async () => {
      await all.greet();
      dropped = await bed.droppedMessages();
      isCalm = true;
    },
    finish: async () => {
      await sending.stop();
      await arrived();
      await all.close();
      const summary = `${sent} messages, ${calm} of them while all was well, ${cutOff} lost to nodes that were taken for dead (errors: ${all.errors.text})`;
      return { summary, complaints: all.complaints };
    },
  };
};
