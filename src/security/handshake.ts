/** Says in words why a server cannot be reached with or without TLS, where the protocol above only says "no connection". */
import { connect as connectTls } from 'node:tls';
import type { Millis } from '../platform/index.ts';
import type { CallerCertificates } from './grpc.ts';

/** Sent after the handshake to hear whether the server goes on. */
const HTTP2_PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

/** True when the other side answers a handshake, whatever it thinks of it. Nothing is sent and nothing is believed. */
function speaksTls(host: string, port: number, timeoutMs: Millis): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTls({ host, port, ALPNProtocols: ['h2'], rejectUnauthorized: false }, () => finish(true));
    const finish = (isTls: boolean): void => {
      socket.destroy();
      resolve(isTls);
    };
    socket.setTimeout(timeoutMs, () => finish(false));
    socket.once('error', ({ code = '' }: NodeJS.ErrnoException) => finish(/ALERT/.test(code)));
    socket.once('close', () => finish(false));
  });
}

function tlsFailure(
  host: string,
  port: number,
  { ca, cert, key }: CallerCertificates,
  timeoutMs: Millis,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connectTls(
      { host, port, ca, cert, key, ALPNProtocols: ['h2'], checkServerIdentity: () => undefined },
      // A server that refuses the certificate of the caller says so after the handshake (RFC 8446 §4.4.2.4).
      () => socket.write(HTTP2_PREFACE),
    );
    const finish = (reason: string | undefined): void => {
      socket.destroy();
      resolve(reason);
    };
    socket.setTimeout(timeoutMs, () => finish(undefined));
    socket.once('data', () => finish(undefined));
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const { code = '', message } = error;
      if (code === 'ECONNREFUSED') finish(undefined);
      else if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code.startsWith('ERR_SSL_PACKET')) {
        finish('it does not speak TLS');
      } else if (/CERTIFICATE_REQUIRED|ALERT|HANDSHAKE_FAILURE/.test(code)) {
        finish(`it refuses the certificate of this side (${code.replace(/^ERR_SSL_/, '').toLowerCase()})`);
      } else if (code === 'ECONNRESET') finish('it broke the handshake off');
      else finish(`its certificate is not accepted here: ${message}`);
    });
    socket.once('close', () => finish('it broke the handshake off'));
  });
}

/**
 * What is wrong between a caller with these certificates and the server at `address`, as far as TLS is the reason.
 * @param address `host:port`
 * @returns undefined when nothing of that kind was found
 */
export async function explainHandshake(
  address: string,
  certificates: CallerCertificates | undefined,
  timeoutMs: Millis,
): Promise<string | undefined> {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, at).replace(/^\[(.*)\]$/, '$1');
  const port = Number(address.slice(at + 1));
  if (certificates !== undefined) return tlsFailure(host, port, certificates, timeoutMs);
  return (await speaksTls(host, port, timeoutMs)) ? 'it speaks TLS only' : undefined;
}
