/** Ports that clients reach with TLS: handshakes are bounded in number and time, and certificates are renewed while the port is open. */
import type { Socket } from 'node:net';
import type { Server } from 'node:tls';
import type { LiveCertificates } from './certificate-store.ts';
import type { Certificates } from './certificates.ts';

/** How clients are served with TLS. */
export interface TlsPort {
  readonly certificates: LiveCertificates;
  /** Whether clients show a certificate; an optional one that is shown must lead to the authorities. */
  readonly clientAuth: 'none' | 'optional' | 'required';
}

/** The part of a pino logger that is used. */
export interface TlsPortLogger {
  info(facts: object, message: string): void;
}

/** A client that opens a connection and says nothing must not hold it for ever. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Handshakes cost processor time before anybody has said who they are. */
const MAX_HANDSHAKES = 1_000;

const contextOf = ({ cert, key, ca }: Certificates) => ({ cert, key, ca });

const originOf = (socket: Socket): string => `${socket.remoteAddress} ${socket.remotePort}`;

/** What a server of `node:tls` or `node:https` is made with, before it is handed to `guardTlsPort`. */
export const tlsPortOptions = ({ certificates, clientAuth }: TlsPort) => ({
  ...contextOf(certificates.current),
  handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  requestCert: clientAuth !== 'none',
  // An optional certificate is looked at when it has come: here a missing one would be refused like a wrong one.
  rejectUnauthorized: clientAuth === 'required',
});

/**
 * Bounds the handshakes of a server that is not bound yet, ends connections whose certificate is wrong, and keeps its certificates up to date.
 * Listeners for `secureConnection` that were there before see connections that were ended; they are destroyed.
 * @param who connects, for the log: `a Redis client`
 * @returns ends connections whose handshake is not over
 */
export function guardTlsPort(
  server: Server,
  { certificates, clientAuth }: TlsPort,
  logger: TlsPortLogger | undefined,
  who: string,
): { dropHandshakes(): void } {
  // Connections before and during their handshake, by where they come from.
  const greeting = new Map<string, Socket>();
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
  server.prependListener('secureConnection', (socket) => {
    greeting.delete(originOf(socket));
    if (clientAuth === 'optional' && !socket.authorized && socket.getPeerX509Certificate() !== undefined) {
      logger?.info({ address: socket.remoteAddress, error: socket.authorizationError }, `refused ${who}`);
      socket.destroy();
    }
  });
  server.on('tlsClientError', (error, socket) => {
    // At a low level: anybody who reaches the port can cause it.
    logger?.info({ address: socket.remoteAddress, error: error.message }, `${who} broke its handshake`);
    socket.destroy();
  });
  certificates.onChange((renewed) => server.setSecureContext(contextOf(renewed)));
  return {
    dropHandshakes: () => {
      for (const socket of greeting.values()) socket.destroy();
    },
  };
}
