/** Ports for Redis clients, in plain text or with TLS. */
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { guardTlsPort, type TlsPort, tlsPortOptions } from '../../../security/index.ts';
import type { RedisLogger } from '../state/index.ts';
import { SharedReads } from './shared-reads.ts';

/** A server that is not bound yet, and what its clients are doing that are not accepted yet. */
export interface Listener {
  readonly server: Server;
  /** Ends connections whose handshake is not over. */
  dropHandshakes(): void;
}

/** @param onClient gets every connection that is ready, after the handshake if there is one */
export function createListener(
  tls: TlsPort | undefined,
  logger: RedisLogger | undefined,
  onClient: (socket: Socket) => void,
): Listener {
  const tcp = { noDelay: true, allowHalfOpen: true };
  if (tls === undefined) {
    const reads = new SharedReads();
    const server = createServer({ ...tcp, pauseOnConnect: true }, (socket) => onClient(reads.adopt(socket)));
    return { server, dropHandshakes: () => {} };
  }
  const server = createTlsServer({ ...tcp, ...tlsPortOptions(tls) });
  const { dropHandshakes } = guardTlsPort(server, tls, logger, 'a Redis client');
  server.on('secureConnection', (socket) => {
    if (!socket.destroyed) onClient(socket);
  });
  return { server, dropHandshakes };
}
