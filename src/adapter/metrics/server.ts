/**
 * The operator's window: Prometheus metrics, liveness and readiness over plain HTTP. It decides nothing; what is measured
 * and what "ready" means are handed in.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Registry } from 'prom-client';

/** Whether the node may be sent traffic, and why not. */
export interface Readiness {
  readonly ready: boolean;
  /** One line for the reader of /readyz. */
  readonly reason: string;
  /** Lines for the reader of /readyz?verbose. */
  readonly details: readonly string[];
}

export interface MetricsServerOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly registry: Registry;
  /** Asked on every /readyz; must be cheap. */
  readonly readiness: () => Readiness;
}

/** A scraper that sends nothing must not hold a connection for ever. */
const REQUEST_TIMEOUT_MS = 10_000;
/** How often Node looks for requests that took longer. */
const TIMEOUT_CHECK_MS = 1_000;
/** Scrapers and probes are few; more is a mistake or an attack, and then the oldest that asks nothing makes room. */
const MAX_CONNECTIONS = 64;

const PLAIN = 'text/plain; charset=utf-8';

/** Serves /metrics, /healthz (the event loop answers) and /readyz (the node may be sent traffic; `?verbose` says more). */
export class MetricsServer {
  private readonly options: MetricsServerOptions;
  private readonly server: Server;
  /** Open connections, oldest first, and how many requests of each are being answered. */
  private readonly connections = new Map<Socket, number>();

  constructor(options: MetricsServerOptions) {
    this.options = options;
    this.server = createServer(
      {
        requestTimeout: REQUEST_TIMEOUT_MS,
        headersTimeout: REQUEST_TIMEOUT_MS,
        connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      },
      (request, response) => {
        this.serving(request.socket, 1);
        response.once('close', () => this.serving(request.socket, -1));
        this.answer(request, response).catch((error: unknown) => {
          send(response, 500, PLAIN, `${error instanceof Error ? error.message : String(error)}\n`);
        });
      },
    );
    this.server.on('connection', (socket) => this.admit(socket));
  }

  /** Sockets that say nothing, or take no answer, must not keep a probe out: they are the ones that go. */
  private admit(socket: Socket): void {
    if (this.connections.size >= MAX_CONNECTIONS) {
      const [oldest] = this.connections.keys();
      const idle = [...this.connections].find(([, requests]) => requests === 0)?.[0];
      (idle ?? oldest)?.destroy();
      this.connections.delete((idle ?? oldest)!);
    }
    this.connections.set(socket, 0);
    socket.once('close', () => this.connections.delete(socket));
  }

  private serving(socket: Socket, change: 1 | -1): void {
    const requests = this.connections.get(socket);
    if (requests !== undefined) this.connections.set(socket, requests + change);
  }

  /**
   * Starts to listen.
   * @returns the bound address, `host:port`
   * @throws the system's error when the address cannot be bound (EADDRINUSE, EACCES)
   */
  async start(): Promise<string> {
    const { host, port } = this.options;
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, host, () => {
        this.server.off('error', reject);
        resolve();
      });
    });
    const bound = this.server.address() as AddressInfo;
    return `${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`;
  }

  /** Stops listening and drops open connections. */
  async stop(): Promise<void> {
    if (!this.server.listening) return;
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.server.closeAllConnections();
    await closed;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      return send(response, 405, PLAIN, 'only GET and HEAD\n');
    }
    const [path, query] = (request.url ?? '').split('?', 2);
    switch (path) {
      case '/metrics':
        return send(response, 200, this.options.registry.contentType, await this.options.registry.metrics());
      case '/healthz':
        return send(response, 200, PLAIN, 'ok\n');
      case '/readyz': {
        const { ready, reason, details } = this.options.readiness();
        const lines = query === 'verbose' ? [reason, ...details] : [reason];
        return send(response, ready ? 200 : 503, PLAIN, `${lines.join('\n')}\n`);
      }
      default:
        return send(response, 404, PLAIN, 'try /metrics, /healthz or /readyz\n');
    }
  }
}

function send(response: ServerResponse, status: number, contentType: string, body: string): void {
  if (response.headersSent) return;
  response.writeHead(status, { 'Content-Type': contentType, 'Content-Length': Buffer.byteLength(body) });
  // Node leaves the body out of an answer to HEAD by itself.
  response.end(body);
}
