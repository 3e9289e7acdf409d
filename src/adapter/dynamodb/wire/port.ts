/**
 * The HTTP port. Connections are kept, requests of one connection may be sent before earlier ones are answered and are answered in their order, and
 * every body, wait and queue has a limit. What happens to a request is in `exchange`.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { listenOn, type Scheduler } from '../../../platform/index.ts';
import { guardTlsPort, type TlsPort, type TlsPortLogger, tlsPortOptions } from '../../../security/index.ts';

/** Head and body have to arrive within this time. */
const REQUEST_TIMEOUT_MS = 60_000;
const HEADERS_TIMEOUT_MS = 20_000;
/** How often slow ones are looked for. */
const TIMEOUT_CHECK_MS = 2_000;
/** SDKs keep connections, and a request on one that is just being closed fails. */
const KEEP_ALIVE_MS = 120_000;
/** A client that takes nothing of its answer for so long is gone. */
const SILENCE_MS = 120_000;
/** Names and values of a request's headers. */
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_CONNECTIONS = 10_000;
/** Answers under way when the server stops get this long. */
const STOP_GRACE_MS = 1_000;
/** What nobody wants to read any more is taken for so long, so that the client sees the answer and no broken pipe. */
const DRAIN_MS = 10_000;

/** Answers a request; settles when the answer has been handed over. Never rejects. */
export type Exchange = (request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean) => Promise<void>;

export interface PortOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** Undefined: plain text. */
  readonly tls: TlsPort | undefined;
  readonly scheduler: Scheduler;
  readonly logger: TlsPortLogger | undefined;
  readonly exchange: Exchange;
}

/** See the top of the file. */
export class HttpPort {
  private readonly options: PortOptions;
  private readonly server: Server;
  /** With the number of their requests that have not been answered. */
  private readonly connections = new Map<Socket, number>();
  private isStopping = false;
  private dropHandshakes: () => void = () => {};

  constructor(options: PortOptions) {
    this.options = options;
    const http = {
      keepAlive: true,
      noDelay: true,
      maxHeaderSize: MAX_HEADER_BYTES,
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: HEADERS_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    };
    if (options.tls === undefined) {
      this.server = createServer(http);
    } else {
      const server = createTlsServer({ ...http, ...tlsPortOptions(options.tls) });
      this.dropHandshakes = guardTlsPort(server, options.tls, options.logger, 'a DynamoDB client').dropHandshakes;
      this.server = server;
    }
    this.server.maxConnections = MAX_CONNECTIONS;
    this.server.timeout = SILENCE_MS;
    this.server.on('request', (request, response) => this.take(request, response, false));
    this.server.on('checkContinue', (request, response) => this.take(request, response, true));
    this.server.on('connection', (socket: Socket) => {
      this.connections.set(socket, 0);
      socket.once('close', () => this.connections.delete(socket));
    });
  }

  get openConnections(): number {
    return this.connections.size;
  }

  /** @returns the port that was bound @throws the listen error (EADDRINUSE, EACCES, ...) */
  listen(): Promise<number> {
    return listenOn(this.server, this.options.host, this.options.port);
  }

  /** Takes no more connections, lets answers under way leave, closes everything. */
  async stop(): Promise<void> {
    this.isStopping = true;
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    for (const [socket, underWay] of this.connections) if (underWay === 0) socket.destroy();
    const cancel = this.options.scheduler.after(STOP_GRACE_MS, () => {
      this.dropHandshakes();
      for (const socket of this.connections.keys()) socket.destroy();
    });
    await closed;
    cancel();
  }

  private take(request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean): void {
    const { socket } = request;
    this.answering(socket, 1);
    response.once('close', () => this.answering(socket, -1));
    void this.options.exchange(request, response, awaitsContinue).then(() => this.drain(request));
  }

  private answering(socket: Socket, change: 1 | -1): void {
    const underWay = this.connections.get(socket);
    if (underWay === undefined) return;
    this.connections.set(socket, underWay + change);
    // Ended, not destroyed: the answer is on its way.
    if (this.isStopping && underWay + change === 0) socket.end();
  }

  /** Node reads on what is left of a body that was answered, without an end; here there is one. */
  private drain(request: IncomingMessage): void {
    if (request.complete || request.destroyed) return;
    request.resume();
    const cancel = this.options.scheduler.after(DRAIN_MS, () => request.socket.destroy());
    request.once('close', cancel);
  }
}
