/**
 * The HTTP port. Connections are kept, requests of one connection may be sent before earlier ones are answered and are answered in their order, and
 * every body, wait and queue has a limit. What happens to a request is in `exchange`.
 *
 * Connections begin as lean ones, which know the requests of SDKs and nothing else of HTTP. What is anything else goes to node's server with its connection.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { assert, type Clock, listenOn, type Scheduler } from '../../../platform/index.ts';
import { guardTlsPort, type TlsPort, type TlsPortLogger, tlsPortOptions } from '../../../security/index.ts';
import type { Answer } from './answer.ts';
import { readBody } from './body.ts';
import type { Exchanges } from './exchange.ts';
import { NodeHead } from './head.ts';
import { LeanConnection } from './lean-connection.ts';

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

export interface PortOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** Undefined: plain text. */
  readonly tls: TlsPort | undefined;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly logger: TlsPortLogger | undefined;
  readonly exchanges: Exchanges;
}

/** See the top of the file. */
export class HttpPort {
  private readonly options: PortOptions;
  private readonly server: Server;
  /** Has node's server read a connection as HTTP. */
  private readonly serveHttp: (socket: Socket) => void;
  /** With the number of their requests that have not been answered. */
  private readonly connections = new Map<Socket, number>();
  /** Connections that node's server was given, since the start. */
  givenAway = 0;
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
    const connected = options.tls === undefined ? 'connection' : 'secureConnection';
    const listeners = this.server.listeners(connected);
    const [listener] = listeners.splice(-1) as [(socket: Socket) => void];
    assert(listener !== undefined, 'a server of node:http listens to its connections');
    this.serveHttp = (socket) => listener.call(this.server, socket);
    this.server.off(connected, listener);
    this.server.on('connection', (socket: Socket) => {
      this.connections.set(socket, 0);
      socket.once('close', () => this.connections.delete(socket));
    });
    this.server.on(connected, (socket: Socket) => {
      if (!socket.destroyed) this.begin(socket);
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

  private begin(socket: Socket): void {
    const { exchanges, clock, scheduler } = this.options;
    new LeanConnection({
      ...{ socket, exchanges, clock, scheduler },
      maxHeaderBytes: MAX_HEADER_BYTES,
      silenceMs: KEEP_ALIVE_MS,
      underWay: (change) => this.answering(socket, change),
      giveAway: (unread) => {
        this.givenAway++;
        if (unread.length > 0) socket.unshift(unread);
        this.serveHttp(socket);
        socket.resume();
      },
    });
  }

  /** A request that node has read. */
  private take(request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean): void {
    const { socket } = request;
    const underway = this.options.exchanges.begin();
    this.answering(socket, 1);
    response.once('close', () => {
      underway.end(response.writableFinished);
      this.answering(socket, -1);
    });
    // A connection that breaks is no concern of whoever writes to it.
    request.on('error', ignore);
    response.on('error', ignore);
    const body = (): ReturnType<typeof readBody> => {
      if (awaitsContinue) response.writeContinue();
      return readBody(request, underway);
    };
    void this.options.exchanges.answer(underway, new NodeHead(request), body).then((answer) => {
      respond(response, answer);
      this.drain(request);
    });
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

const ignore = (): void => {};

function respond(response: ServerResponse, { status, headers, body }: Answer): void {
  if (response.destroyed) return;
  response.writeHead(status, [...headers]);
  response.end(body);
}
