/** Connections to the nodes of a cluster: any of them will do, so the client stays with one until it fails. */
import { setTimeout as delay } from 'node:timers/promises';
import grpc from '@grpc/grpc-js';
import { tokenOptions } from '../token-header.ts';
import { KvorumClientError } from './errors.ts';

/** How long a node may take to be connected before the others are dialled too. */
const HEAD_START_MS = 250;
const POLL_MS = 10;
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/** One node. */
export interface Endpoint {
  readonly address: string;
  readonly client: grpc.Client;
}

const isReady = ({ client }: Endpoint, dial: boolean): boolean =>
  client.getChannel().getConnectivityState(dial) === grpc.connectivityState.READY;

export class Endpoints {
  private readonly all: readonly Endpoint[];
  private current: number;
  private isClosed = false;

  /** @param addresses `host:port` each, one at least @param token see `KvorumClientOptions` */
  constructor(addresses: readonly string[], credentials: grpc.ChannelCredentials, token?: () => string) {
    if (addresses.length === 0) throw new TypeError('name one endpoint at least');
    this.all = addresses.map((address) => ({
      address,
      client: new grpc.Client(address, credentials, {
        ...tokenOptions(token),
        'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
        'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
        'grpc.initial_reconnect_backoff_ms': 100,
        'grpc.max_reconnect_backoff_ms': 2_000,
        'grpc.keepalive_time_ms': 10_000,
        'grpc.keepalive_timeout_ms': 5_000,
        // Attempts are counted in one place, where it is known what may be repeated.
        'grpc.enable_retries': 0,
        'grpc.enable_channelz': 0,
      }),
    }));
    // Clients that were given the same list begin at different nodes.
    this.current = Math.floor(Math.random() * addresses.length);
  }

  /**
   * A node that is connected now, the last one by preference.
   * @param deadlineMs unix milliseconds
   * @throws KvorumClientError UNREACHABLE, CANCELLED, CLOSED: nothing was sent
   */
  async connected(deadlineMs: number, signal: AbortSignal | undefined): Promise<Endpoint> {
    const sinceMs = Date.now();
    for (;;) {
      if (this.isClosed) throw new KvorumClientError('CLOSED', 'final', 'the client is closed');
      if (signal?.aborted) throw new KvorumClientError('CANCELLED', 'final', 'the call was cancelled');
      const waitedMs = Date.now() - sinceMs;
      const dialled = waitedMs < HEAD_START_MS && this.all.length > 1 ? 1 : this.all.length;
      for (let offset = 0; offset < dialled; offset++) {
        const at = (this.current + offset) % this.all.length;
        const endpoint = this.all[at]!;
        if (!isReady(endpoint, true)) continue;
        this.current = at;
        return endpoint;
      }
      // A node that is known to be down needs no head start.
      if (waitedMs < HEAD_START_MS && this.isDown(this.current)) this.current = (this.current + 1) % this.all.length;
      if (Date.now() >= deadlineMs) {
        const names = this.all.map(({ address }) => address).join(', ');
        throw new KvorumClientError('UNREACHABLE', 'wait', `none of the nodes can be reached: ${names}`);
      }
      await delay(POLL_MS);
    }
  }

  /** The next call goes to another node. */
  leave(endpoint: Endpoint): void {
    if (this.all[this.current] === endpoint) this.current = (this.current + 1) % this.all.length;
  }

  private isDown(at: number): boolean {
    const state = this.all[at]!.client.getChannel().getConnectivityState(true);
    return state === grpc.connectivityState.TRANSIENT_FAILURE;
  }

  close(): void {
    this.isClosed = true;
    for (const { client } of this.all) client.close();
  }
}
