/**
 * The HTTP port. Connections are kept, requests of one connection may be sent before earlier ones are answered and are answered in their order, and
 * every body, wait and queue has a limit. What happens to a request is in `exchange`.
 *
 * Connections begin as lean ones, which know the requests of SDKs and nothing else of HTTP. What is anything else goes to node's server with its connection.
 *
 * A stop loses no answer. Requests under way get theirs, and the last one of a connection says `Connection: close`. A connection at rest is kept for
 * a moment: a client in the middle of its work sends the next request within it, hears the same, and breaks nothing. Then connections at
 * rest are ended. What comes behind the end of a connection is not run.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type Socket, Server as SocketServer } from 'node:net';
import { assert, type Clock, listenOn, type Millis, type Scheduler } from '../../../platform/index.ts';
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
/** When the server stops, clients in the middle of their work send the next request within this. */
const LINGER_MS: Millis = 200;
/** Answers that are under way then get this long. */
const STOP_GRACE_MS: Millis = 1_000;
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

/** What is known of a connection. */
interface Connection {
  /** Reads it; undefined when node's server does. */
  lean: LeanConnection | undefined;
  /** What node's server has read and was not answered, oldest first. */
  readonly underWay: Set<ServerResponse>;
  /** Its last answer was told so, or it was ended: nothing that comes is run any more. */
  isEnding: boolean;
}

/** See the top of the file. */
export class HttpPort {
  private readonly options: PortOptions;
  private readonly server: Server;
  /** Has node's server read a connection as HTTP. */
  private readonly serveHttp: (socket: Socket) => void;
  /** By the sockets that requests come on. */
  private readonly connections = new Map<Socket, Connection>();
  /** Called when the last connection has closed. */
  private onEmpty: () => void = () => {};
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

  /** Takes no more connections, lets answers leave, closes everything. */
  async stop(): Promise<void> {
    this.isStopping = true;
    // Node's server of HTTP destroys connections at rest when it is closed.
    const closed = new Promise<void>((resolve) => SocketServer.prototype.close.call(this.server, () => resolve()));
    this.dropHandshakes();
    for (const connection of this.connections.values()) {
      connection.lean?.endSoon();
      announceEnd(connection);
    }
    await this.emptyWithin(LINGER_MS);
    for (const [socket, connection] of this.connections) {
      if (connection.lean !== undefined) connection.lean.endAtRest();
      else if (connection.underWay.size === 0) end(socket, connection);
    }
    const cancel = this.options.scheduler.after(STOP_GRACE_MS, () => {
      this.dropHandshakes();
      for (const socket of this.connections.keys()) socket.destroy();
    });
    await closed;
    cancel();
    // Ends the look for slow requests.
    this.server.close();
  }

  /** Settles when there is no connection, and after that time in any case. */
  private async emptyWithin(withinMs: Millis): Promise<void> {
    if (this.connections.size === 0) return;
    await new Promise<void>((resolve) => {
      const cancel = this.options.scheduler.after(withinMs, resolve);
      this.onEmpty = () => {
        cancel();
        resolve();
      };
    });
    this.onEmpty = () => {};
  }

  private begin(socket: Socket): void {
    const { exchanges, clock, scheduler } = this.options;
    const connection: Connection = { lean: undefined, underWay: new Set(), isEnding: false };
    this.connections.set(socket, connection);
    socket.once('close', () => {
      this.connections.delete(socket);
      if (this.connections.size === 0) this.onEmpty();
    });
    connection.lean = new LeanConnection({
      ...{ socket, exchanges, clock, scheduler },
      maxHeaderBytes: MAX_HEADER_BYTES,
      isPlain: this.options.tls === undefined,
      silenceMs: KEEP_ALIVE_MS,
      giveAway: (unread) => {
        this.givenAway++;
        connection.lean = undefined;
        if (unread.length > 0) socket.unshift(unread);
        this.serveHttp(socket);
        socket.resume();
      },
    });
  }

  /** A request that node has read. */
  private take(request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean): void {
    const { socket } = request;
    const connection = this.connections.get(socket);
    // It has closed, or its client was told that nothing more is answered.
    if (connection === undefined || connection.isEnding) return;
    const underway = this.options.exchanges.begin();
    connection.underWay.add(response);
    if (this.isStopping) announceEnd(connection);
    response.once('close', () => {
      underway.end(response.writableFinished);
      connection.underWay.delete(response);
      if (this.isStopping && connection.underWay.size === 0) end(socket, connection);
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

  /** Node reads on what is left of a body that was answered, without an end; here there is one. */
  private drain(request: IncomingMessage): void {
    if (request.complete || request.destroyed) return;
    request.resume();
    const cancel = this.options.scheduler.after(DRAIN_MS, () => request.socket.destroy());
    request.once('close', cancel);
  }
}

const ignore = (): void => {};

/** The last answer of a connection that is to end says so, unless its head has left. */
function announceEnd(connection: Connection): void {
  const last = [...connection.underWay].at(-1);
  if (last === undefined) return;
  connection.isEnding = true;
  if (!last.headersSent) last.shouldKeepAlive = false;
}

/** Ended, not destroyed: answers may be on their way. A client that does not close its end is destroyed with the rest. */
function end(socket: Socket, connection: Connection): void {
  connection.isEnding = true;
  socket.end();
}

function respond(response: ServerResponse, { status, headers, body }: Answer): void {
  if (response.destroyed) return;
  response.writeHead(status, [...headers]);
  response.end(body);
}
