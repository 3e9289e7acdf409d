/**
 * The client of a kvorum cluster.
 *
 * ```ts
 * import { KvorumClient } from 'kvorum';
 *
 * const client = new KvorumClient({ endpoints: ['127.0.0.1:50051', '127.0.0.1:50052'] });
 * await client.put('greeting', 'hello');
 * console.log((await client.get('greeting'))?.toString());
 * client.close();
 * ```
 */
import grpc from '@grpc/grpc-js';
import { Calls } from './calls.ts';
import { Endpoints } from './endpoints.ts';
import { KeyOperations } from './operations.ts';
import { SessionToken } from './session-token.ts';

const DEFAULT_TIMEOUT_MS = 10_000;

export interface KvorumClientOptions {
  /** gRPC addresses of nodes, `host:port`; any of them will do, the more the better. */
  readonly endpoints: readonly string[];
  /** Milliseconds that a call takes at most, attempts and pauses included. Default 10,000. */
  readonly timeoutMs?: number;
  /** Default: no encryption. */
  readonly credentials?: grpc.ChannelCredentials;
  /** Shown with every call, where the cluster gives its programs tokens; asked for each time, so that it may change. */
  readonly token?: () => string;
}

/** See the head of the file. Every method may be called any number of times at once; each throws KvorumClientError. */
export class KvorumClient extends KeyOperations {
  private readonly endpoints: Endpoints;

  constructor({ endpoints, timeoutMs = DEFAULT_TIMEOUT_MS, credentials, token }: KvorumClientOptions) {
    const nodes = new Endpoints(endpoints, credentials ?? grpc.credentials.createInsecure(), token);
    super(new Calls(nodes, timeoutMs), undefined);
    this.endpoints = nodes;
  }

  /**
   * Begins a session: its reads are answered by any replica, never go back, and show everything that was done in the session,
   * transactions too.
   *
   * ```ts
   * const session = client.session(request.cookies.token);
   * await session.put('cart/7', '2 apples');
   * const cart = await session.get('cart/7'); // sees the write, on any node
   * response.cookie('token', session.token);
   * ```
   * @param token of another session to go on with, of this client or any other
   */
  session(token?: string): KvorumSession {
    return new KvorumSession(this.calls, new SessionToken(token));
  }

  /** Closes all connections; calls that are under way end. */
  close(): void {
    this.endpoints.close();
  }
}

/** Keys as one session sees them. It lives as long as its client. */
export class KvorumSession extends KeyOperations {
  private readonly own: SessionToken;

  /** See `KvorumClient.session`. */
  constructor(calls: Calls, session: SessionToken) {
    super(calls, session);
    this.own = session;
  }

  /** What the session has seen and done, for whoever goes on with it; empty before anything was. */
  get token(): string {
    return this.own.text;
  }
}
