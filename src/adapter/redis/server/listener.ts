/** Ports for Redis clients, in plain text or with TLS. */
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Certificates, LiveCertificates } from '../../../security/index.ts';
import type { RedisLogger } from '../state/index.ts';
import { SharedReads } from './shared-reads.ts';

/** How clients are served with TLS. */
export interface RedisTlsOptions {
  readonly certificates: LiveCertificates;
  /** Whether clients show a certificate; an optional one that is shown must lead to the authorities. */
  readonly clientAuth: 'none' | 'optional' | 'required';
}

/** A server that is not bound yet, and what its clients are doing that are not accepted yet. */
export interface Listener {
  readonly server: Server;
  /** Ends connections whose handshake is not over. */
  dropHandshakes(): void;
}

/** A client that opens a connection and says nothing must not hold it for ever. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Handshakes cost processor time before anybody has said who they are. */
const MAX_HANDSHAKES = 1_000;

const contextOf = ({ cert, key, ca }: Certificates) => ({ cert, key, ca });

const originOf = (socket: Socket): string => `${socket.remoteAddress} ${socket.remotePort}`;

/** @param onClient gets every connection that is ready, after the handshake if there is one */
export function createListener(
  tls: RedisTlsOptions | undefined,
  logger: RedisLogger | undefined,
  onClient: (socket: Socket) => void,
): Listener {
  const tcp = { noDelay: true, allowHalfOpen: true };
  if (tls === undefined) {
    const reads = new SharedReads();
    const server = createServer({ ...tcp, pauseOnConnect: true }, (socket) => onClient(reads.adopt(socket)));
    return { server, dropHandshakes: () => {} };
  }
  const { certificates, clientAuth } = tls;
  // Connections before and during their handshake, by where they come from.
  const greeting = new Map<string, Socket>();
  const server = createTlsServer({
    ...tcp,
    ...contextOf(certificates.current),
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    requestCert: clientAuth !== 'none',
    // An optional certificate is looked at below: here a missing one would be refused like a wrong one.
    rejectUnauthorized: clientAuth === 'required',
  });
  server.prependListener('connection', (socket: Socket) => {
    if (greeting.size >= MAX_HANDSHAKES) {
      socket.destroy();
      return;
    }
    const origin = originOf(socket);
    greeting.set(origin, socket);
    socket.once('close', () => {
      if (greeting.get(origin) === socket) greeting.delete(origin);
    });
  });
  server.on('secureConnection', (socket) => {
    greeting.delete(originOf(socket));
    if (clientAuth === 'optional' && !socket.authorized && socket.getPeerX509Certificate() !== undefined) {
      logger?.info({ address: socket.remoteAddress, error: socket.authorizationError }, 'refused a Redis client');
      socket.destroy();
      return;
    }
    onClient(socket);
  });
  server.on('tlsClientError', (error, socket) => {
    // At a low level: anybody who reaches the port can cause it.
    logger?.info({ address: socket.remoteAddress, error: error.message }, 'a Redis client broke its handshake');
    socket.destroy();
  });
  certificates.onChange((renewed) => server.setSecureContext(contextOf(renewed)));
  return {
    server,
    dropHandshakes: () => {
      for (const socket of greeting.values()) socket.destroy();
    },
  };
}
