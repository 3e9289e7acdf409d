/**
 * TLS of connections between nodes that are not gRPC's and come to the same port: certificates are shown and checked as there (`grpc.ts`), and the
 * name of the protocol tells such a connection before its handshake (ALPN, RFC 7301).
 */
import { type ConnectionOptions, createServer, type Server, type TLSSocket } from 'node:tls';
import type { LiveCertificates } from './certificate-store.ts';
import type { Certificates } from './certificates.ts';
import { HANDSHAKE_TIMEOUT_MS, identityCheck, SERVER_NAME } from './grpc.ts';

const PROTOCOL = 'kvorum-lane';
/** As a list of protocols has it in the first record of a handshake, which is in clear. */
const LISTED = Buffer.from(`${String.fromCharCode(PROTOCOL.length)}${PROTOCOL}`, 'latin1');

const contextOf = ({ ca, cert, key }: Certificates) => ({ ca, cert, key });

/** True when the first record of a TLS handshake asks for this kind of connection. */
export const asksForLane = (record: Buffer): boolean => record.includes(LISTED);

/** What such a connection is dialled with. @param calleeNames as of `channelSecurity` */
export const laneDialOptions = (certificates: Certificates, calleeNames: readonly string[]): ConnectionOptions => ({
  ...contextOf(certificates),
  ALPNProtocols: [PROTOCOL],
  servername: SERVER_NAME,
  checkServerIdentity: identityCheck(calleeNames),
});

/**
 * Does the handshakes of connections that somebody else accepts and hands over as the event `connection`.
 * @param onSecure the other side has shown a certificate of the authorities
 */
export function laneHandshakes(live: LiveCertificates, onSecure: (socket: TLSSocket) => void): Server {
  const options = { ALPNProtocols: [PROTOCOL], requestCert: true, rejectUnauthorized: true };
  const server = createServer(
    { ...options, ...contextOf(live.current), handshakeTimeout: HANDSHAKE_TIMEOUT_MS },
    onSecure,
  );
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  live.onChange((renewed) => server.setSecureContext(contextOf(renewed)));
  return server;
}
