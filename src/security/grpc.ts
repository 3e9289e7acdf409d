/**
 * Mutual TLS for gRPC. Both sides show a certificate and check that it leads to an authority that they were given; names in
 * it do not matter, because nodes are found by addresses that may change, and say who they are in their handshake. So the
 * authority has to be the cluster's own: whoever has a certificate of it is trusted.
 */
import grpc from '@grpc/grpc-js';
import type { LiveCertificates } from './certificate-store.ts';
import type { Certificates } from './certificates.ts';

/** What a channel is opened with. */
export interface ChannelSecurity {
  readonly credentials: grpc.ChannelCredentials;
  readonly options: grpc.ChannelOptions;
}

/** Sent as the name that is meant to be reached; an IP address may not be (RFC 6066 §3). */
const SERVER_NAME = 'kvorum';
/** A connection that does not finish its handshake must not be held for ever. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
const PLAIN: ChannelSecurity = { credentials: grpc.credentials.createInsecure(), options: {} };

/** What a caller proves itself with and checks the callee by; `cert` and `key` are left out by one who has none. */
export type CallerCertificates = Pick<Certificates, 'ca'> & Partial<Pick<Certificates, 'cert' | 'key'>>;

/** @param certificates undefined: neither side proves anything, and everything travels as it is */
export function channelSecurity(certificates: CallerCertificates | undefined): ChannelSecurity {
  if (certificates === undefined) return PLAIN;
  const { ca = null, key = null, cert = null } = certificates;
  return {
    credentials: grpc.credentials.createSsl(ca, key, cert, { checkServerIdentity: () => undefined }),
    options: { 'grpc.ssl_target_name_override': SERVER_NAME },
  };
}

/** Credentials of a server that change with their certificates: connections from then on use the new ones. */
class RenewedServerCredentials extends grpc.ServerCredentials {
  constructor(live: LiveCertificates) {
    const contextOf = ({ ca, cert, key }: Certificates) => ({ ca, cert, key });
    super(
      { requestCert: true, rejectUnauthorized: true, handshakeTimeout: HANDSHAKE_TIMEOUT_MS },
      contextOf(live.current),
    );
    live.onChange((renewed) => this.updateSecureContextOptions(contextOf(renewed)));
  }

  override _equals(other: grpc.ServerCredentials): boolean {
    return this === other;
  }
}

/** @param live undefined: no TLS */
export function serverCredentials(live: LiveCertificates | undefined): grpc.ServerCredentials {
  return live === undefined ? grpc.ServerCredentials.createInsecure() : new RenewedServerCredentials(live);
}

/** The names that a caller's certificate has: its common name and its DNS names. Empty without a certificate. */
export function namesOfCaller(context: ReturnType<grpc.ServerUnaryCall<unknown, unknown>['getAuthContext']>): string[] {
  const certificate = context.sslPeerCertificate;
  if (certificate === undefined) return [];
  const alternatives = (certificate.subjectaltname ?? '').split(', ').filter((name) => name.startsWith('DNS:'));
  return [certificate.subject?.CN ?? [], alternatives.map((name) => name.slice('DNS:'.length))].flat();
}
