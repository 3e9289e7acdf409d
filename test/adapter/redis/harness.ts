/** A Redis server over the fake key-value layer, and a client that sends bytes and reads replies. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, afterEach } from 'node:test';
import {
  type RedisServer,
  type RedisServerOptions,
  startRedisServer,
} from '../../../src/adapter/redis/server/server.ts';
import { type Clock, type Scheduler, SystemClock, SystemRandom, SystemScheduler } from '../../../src/platform/index.ts';
import { FakeKv } from '../../support/fake-kv.ts';

/** A reply as tests compare it: strings for everything textual, with the marker kept for statuses, errors and pushes. */
export type Decoded = string | number | null | boolean | Decoded[] | Map<string, Decoded>;

export interface TestServer {
  readonly kv: FakeKv;
  readonly server: RedisServer;
  connect(): Promise<RawClient>;
  stop(): Promise<void>;
}

export interface TestServerOptions extends Partial<Omit<RedisServerOptions, 'kv' | 'clock' | 'scheduler'>> {
  readonly kv?: FakeKv;
  /** Default: the system's. */
  readonly time?: Clock & Scheduler;
}

/** Failures that the server logged as unexpected; tests assert that there are none. */
export const loggedErrors: object[] = [];

export async function startTestServer({
  kv = new FakeKv(),
  time,
  ...options
}: TestServerOptions = {}): Promise<TestServer> {
  const server = await startRedisServer({
    kv,
    host: '127.0.0.1',
    port: 0,
    clock: time ?? new SystemClock(),
    scheduler: time ?? new SystemScheduler(),
    random: new SystemRandom(),
    logger: { info: () => {}, warn: () => {}, error: (fields) => loggedErrors.push(fields) },
    ...options,
  });
  const clients: RawClient[] = [];
  return {
    kv,
    server,
    connect: async () => {
      const client = await RawClient.connect(server.port);
      clients.push(client);
      return client;
    },
    stop: async () => {
      for (const client of clients) client.close();
      await server.stop();
    },
  };
}

/** The servers of one file's tests. They stop after each test, and in the end none of them has logged an error. */
export function testServers(): {
  start(options?: TestServerOptions): Promise<TestServer>;
  /** Stops them before the test is over. */
  stop(): Promise<void>;
} {
  const servers: TestServer[] = [];
  const stop = async (): Promise<void> => {
    for (const server of servers.splice(0)) await server.stop();
  };
  afterEach(stop);
  after(() => assert.deepEqual(loggedErrors, []));
  const start = async (options?: TestServerOptions): Promise<TestServer> => {
    const server = await startTestServer(options);
    servers.push(server);
    return server;
  };
  return { start, stop };
}

/** Encodes a command as a client does. */
export function request(...args: readonly (string | Buffer)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`)];
  for (const arg of args) {
    const bytes = Buffer.from(arg);
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'));
  }
  return Buffer.concat(parts);
}

export class RawClient {
  readonly socket: Socket;
  /** Everything received and not taken. */
  received: Buffer = Buffer.alloc(0);
  closed = false;
  private readonly waiting = new Set<() => void>();

  private constructor(socket: Socket) {
    this.socket = socket;
    const wake = () => {
      for (const resume of this.waiting) resume();
    };
    socket.on('data', (chunk) => {
      this.received = Buffer.concat([this.received, chunk]);
      wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
      wake();
    });
  }

  static connect(port: number): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      socket.once('connect', () => resolve(new RawClient(socket)));
      socket.once('error', reject);
    });
  }

  send(bytes: Buffer | string): void {
    this.socket.write(bytes);
  }

  /** Sends one command and reads its reply. */
  async call(...args: readonly (string | Buffer)[]): Promise<Decoded> {
    this.send(request(...args));
    return this.read();
  }

  /** Reads the next reply. */
  async read(): Promise<Decoded> {
    let decoded: { readonly value: Decoded; readonly end: number } | undefined;
    await this.until(() => {
      decoded = decodeReply(this.received, 0);
      return decoded !== undefined;
    });
    this.received = this.received.subarray(decoded!.end);
    return decoded!.value;
  }

  async readMany(count: number): Promise<Decoded[]> {
    const replies: Decoded[] = [];
    for (let index = 0; index < count; index++) replies.push(await this.read());
    return replies;
  }

  /** Reads everything until the server closes. */
  async readToEnd(): Promise<string> {
    await this.until(() => this.closed);
    return this.received.toString('latin1');
  }

  close(): void {
    this.socket.destroy();
  }

  private async until(condition: () => boolean): Promise<void> {
    const deadline = Date.now() + 10_000;
    while (!condition()) {
      assert.ok(
        !this.closed || condition(),
        `closed by the server; received ${JSON.stringify(this.received.toString())}`,
      );
      assert.ok(Date.now() < deadline, `no reply in time; received ${JSON.stringify(this.received.toString())}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resume, 1_000);
        const { waiting } = this;
        function resume(): void {
          clearTimeout(timer);
          waiting.delete(resume);
          resolve();
        }
        waiting.add(resume);
      });
    }
  }
}

/** Waits until a condition holds. */
export async function eventually(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `never happened: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Decodes one RESP2 or RESP3 reply; undefined when it is not complete. */
export function decodeReply(bytes: Buffer, at: number): { readonly value: Decoded; readonly end: number } | undefined {
  const lineEnd = bytes.indexOf('\r\n', at);
  if (lineEnd < 0) return undefined;
  const marker = String.fromCharCode(bytes[at]!);
  const line = bytes.toString('utf8', at + 1, lineEnd);
  const next = lineEnd + 2;
  switch (marker) {
    case '+':
    case '-':
    case ',':
    case '(':
      return { value: `${marker}${line}`, end: next };
    case ':':
      return { value: Number(line), end: next };
    case '_':
      return { value: null, end: next };
    case '#':
      return { value: line === 't', end: next };
    case '$':
    case '=': {
      const length = Number(line);
      if (length < 0) return { value: null, end: next };
      if (bytes.length < next + length + 2) return undefined;
      return { value: bytes.toString('utf8', next, next + length), end: next + length + 2 };
    }
    case '*':
    case '>':
    case '~':
    case '%': {
      const count = Number(line) * (marker === '%' ? 2 : 1);
      if (count < 0) return { value: null, end: next };
      const elements: Decoded[] = marker === '>' ? ['>'] : [];
      let position = next;
      for (let index = 0; index < count; index++) {
        const element = decodeReply(bytes, position);
        if (element === undefined) return undefined;
        elements.push(element.value);
        position = element.end;
      }
      if (marker !== '%') return { value: elements, end: position };
      const map = new Map<string, Decoded>();
      for (let index = 0; index < elements.length; index += 2) map.set(String(elements[index]), elements[index + 1]!);
      return { value: map, end: position };
    }
    default:
      throw new Error(`not a reply: ${JSON.stringify(bytes.toString('latin1', at, at + 40))}`);
  }
}
