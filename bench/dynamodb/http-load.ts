/** Sends ready-made HTTP requests on kept connections, one after the other on each, and times the answers. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createHistogram, performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { LoadFigures } from '../peers/peer.ts';
import type { Operation } from './ycsb.ts';

const HEAD_END = Buffer.from('\r\n\r\n');
const NS_PER_MS = 1e6;
/** What is shown of an answer that is an exception. */
const SHOWN_CHARACTERS = 200;
/** How often a request is sent again whose outcome the server does not know, as SDKs do it. */
const MORE_ATTEMPTS = 5;
const ATTEMPT_PAUSE_MS = 50;

/** The server does not know what became of a request. */
class ServerError extends Error {}

/** What a load did. Latencies are those of requests. */
export interface HttpLoadFigures extends LoadFigures {
  readonly requests: number;
  readonly operationsPerSecond: number;
  /** Requests that were sent again because the server did not know what became of them. */
  readonly repeated: number;
}

export interface HttpLoadOptions {
  /** Connections go to them in turn. */
  readonly ports: readonly number[];
  readonly connections: number;
  readonly operations: readonly Operation[];
  /** Undefined sends each operation once. */
  readonly seconds: number | undefined;
}

/** One connection, one request at a time. */
class Connection {
  private readonly socket: Socket;
  private chunks: Buffer[] = [];
  private waiting: { resolve(): void; reject(error: Error): void } | undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => this.take(chunk));
    socket.on('error', (error) => this.waiting?.reject(error));
    socket.on('close', () => this.waiting?.reject(new Error('the connection was closed')));
  }

  static async open(port: number): Promise<Connection> {
    const socket = connect(port, '127.0.0.1');
    socket.setNoDelay(true);
    await once(socket, 'connect');
    return new Connection(socket);
  }

  /** Settles when the answer is there. @throws Error when it is an exception */
  send(request: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.socket.write(request);
    });
  }

  private take(chunk: Buffer): void {
    this.chunks.push(chunk);
    const bytes = this.chunks.length === 1 ? chunk : Buffer.concat(this.chunks);
    this.chunks = [bytes];
    const headEnd = bytes.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const head = bytes.toString('latin1', 0, headEnd);
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    const end = headEnd + HEAD_END.length + length;
    if (bytes.length < end) return;
    this.chunks = [];
    const { waiting } = this;
    this.waiting = undefined;
    if (head.startsWith('HTTP/1.1 200')) waiting?.resolve();
    else {
      const [status] = head.split('\r\n', 1);
      const Kind = head.startsWith('HTTP/1.1 5') ? ServerError : Error;
      waiting?.reject(
        new Kind(`${status}: ${bytes.toString('utf8', headEnd + HEAD_END.length, end).slice(0, SHOWN_CHARACTERS)}`),
      );
    }
  }

  close(): void {
    this.socket.destroy();
  }
}

/** Sends a request again while the server does not know what became of it. @returns how often @throws Error with an exception, or when it never knows */
async function sendUntilKnown(connection: Connection, request: Buffer): Promise<number> {
  for (let repeated = 0; ; repeated++) {
    try {
      await connection.send(request);
      return repeated;
    } catch (error) {
      if (!(error instanceof ServerError) || repeated === MORE_ATTEMPTS) throw error;
      await delay(ATTEMPT_PAUSE_MS);
    }
  }
}

/** Runs a load to its end. @throws Error with the first answer that is an exception */
export async function runHttpLoad(options: HttpLoadOptions): Promise<HttpLoadFigures> {
  const { ports, operations, seconds } = options;
  const connections = await Promise.all(
    Array.from({ length: options.connections }, (_, at) => Connection.open(ports[at % ports.length]!)),
  );
  const latencies = createHistogram();
  const utilization = performance.eventLoopUtilization();
  const startMs = performance.now();
  const endMs = seconds === undefined ? Number.POSITIVE_INFINITY : startMs + seconds * 1000;
  let next = 0;
  let done = 0;
  let requests = 0;
  let repeated = 0;
  const drive = async (connection: Connection): Promise<void> => {
    while (performance.now() < endMs) {
      if (seconds === undefined && next >= operations.length) return;
      const operation = operations[next++ % operations.length]!;
      for (const request of operation) {
        const sentMs = performance.now();
        repeated += await sendUntilKnown(connection, request);
        latencies.record(Math.max(1, Math.round((performance.now() - sentMs) * NS_PER_MS)));
        requests++;
      }
      done++;
    }
  };
  try {
    await Promise.all(connections.map(drive));
  } finally {
    for (const connection of connections) connection.close();
  }
  const elapsedS = (performance.now() - startMs) / 1000;
  return {
    perSecond: requests / elapsedS,
    operationsPerSecond: done / elapsedS,
    requests,
    repeated,
    p50Ms: latencies.percentile(50) / NS_PER_MS,
    p99Ms: latencies.percentile(99) / NS_PER_MS,
    clientBusy: performance.eventLoopUtilization(utilization).utilization,
  };
}
