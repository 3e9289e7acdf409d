/**
 * Who is who on gRPC. With TLS both sides show a certificate and check that it leads to an authority that they were given. Names
 * in it are not compared with addresses, because nodes are found by addresses that may change, and say who they are in their
 * handshake. So the authority has to be the cluster's own; names say what its holders may do. A token in a header says it too.
 */
import type { PeerCertificate } from 'node:tls';
import grpc from '@grpc/grpc-js';
import type { LiveCertificates } from './certificate-store.ts';
import type { Certificates } from './certificates.ts';

/** What a channel is opened with. */
export interface ChannelSecurity {
  readonly credentials: grpc.ChannelCredentials;
  readonly options: grpc.ChannelOptions;
}

/** Sent as the name that is meant to be reached; an IP address may not be (RFC 6066 §3). */
export const SERVER_NAME = 'kvorum';
/** A connection that does not finish its handshake must not be held for ever. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;
const PLAIN: ChannelSecurity = { credentials: grpc.credentials.createInsecure(), options: {} };

/** What a caller proves itself with and checks the callee by; `cert` and `key` are left out by one who has none. */
export type CallerCertificates = Pick<Certificates, 'ca'> & Partial<Pick<Certificates, 'cert' | 'key'>>;

/** Whether the certificate of a callee has one of the names; any will do when there are none. */
export function identityCheck(calleeNames: readonly string[]) {
  return (_address: string, shown: PeerCertificate): Error | undefined => {
    const names = namesOf(shown);
    if (calleeNames.length === 0 || names.some((name) => calleeNames.includes(name))) return undefined;
    return new Error(
      `the certificate of ${JSON.stringify(names.join(', '))} is not one of a node: see grpc.tls.nodeNames`,
    );
  };
}

/**
 * @param certificates undefined: neither side proves anything, and everything travels as it is
 * @param calleeNames names one of which the other side's certificate must have; empty: any certificate of the authorities will do
 */
export function channelSecurity(
  certificates: CallerCertificates | undefined,
  calleeNames: readonly string[] = [],
): ChannelSecurity {
  if (certificates === undefined) return PLAIN;
  const { ca = null, key = null, cert = null } = certificates;
  return {
    credentials: grpc.credentials.createSsl(ca, key, cert, { checkServerIdentity: identityCheck(calleeNames) }),
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

/** Kinds of alternative names that name somebody, as Node writes them. */
const ALTERNATIVE = /^(?:DNS|URI|email):(.*)$/;

/**
 * Common name and alternative names of a certificate. Node quotes alternative names that have commas or quotes in them; nobody
 * is listed under such a name, so they stay as they are.
 */
function namesOf({
  subject,
  subjectaltname = '',
}: Partial<Pick<PeerCertificate, 'subject' | 'subjectaltname'>>): string[] {
  const alternatives = subjectaltname.split(', ').flatMap((name) => ALTERNATIVE.exec(name)?.[1] ?? []);
  return [subject?.CN ?? [], alternatives].flat();
}

/** The names that a caller's certificate has: its common name, DNS names, URIs and mail addresses. Empty without a certificate. */
export function namesOfCaller(context: ReturnType<grpc.ServerUnaryCall<unknown, unknown>['getAuthContext']>): string[] {
  return context.sslPeerCertificate === undefined ? [] : namesOf(context.sslPeerCertificate);
}
