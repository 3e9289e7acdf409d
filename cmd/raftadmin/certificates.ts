/** What raftadmin proves itself with to nodes that speak TLS, from flags or the environment. */
import { type CallerCertificates, readAuthorityFile, readCertificates } from '../../src/security/index.ts';
import { CommandFailure } from '../cli/failure.ts';
import { ExitCode } from './exit-code.ts';
import type { SharedFlags } from './session.ts';
import type { Terminal } from './terminal.ts';

/** Environment variables of the flags. */
export const TLS_VARIABLES = {
  ca: 'RAFTADMIN_TLS_CA',
  cert: 'RAFTADMIN_TLS_CERT',
  key: 'RAFTADMIN_TLS_KEY',
} as const;

/**
 * Reads the files that are named.
 * @returns undefined when none is named: plain text
 * @throws CommandFailure when only a part of them is named; CertificateError when one cannot be used
 */
export async function certificatesOf(
  flags: SharedFlags,
  { env }: Pick<Terminal, 'env'>,
): Promise<CallerCertificates | undefined> {
  const ca = flags.tlsCa ?? (env[TLS_VARIABLES.ca] || undefined);
  const cert = flags.tlsCert ?? (env[TLS_VARIABLES.cert] || undefined);
  const key = flags.tlsKey ?? (env[TLS_VARIABLES.key] || undefined);
  if (ca === undefined && cert === undefined && key === undefined) return undefined;
  const missing = [
    ...(ca === undefined ? [`--tls-ca (or ${TLS_VARIABLES.ca}), by which nodes are checked`] : []),
    ...(cert === undefined && key !== undefined ? [`--tls-cert (or ${TLS_VARIABLES.cert})`] : []),
    ...(key === undefined && cert !== undefined ? [`--tls-key (or ${TLS_VARIABLES.key})`] : []),
  ];
  if (ca === undefined || missing.length > 0) {
    throw new CommandFailure(`name ${missing.join(' and ')} too`, ExitCode.Usage);
  }
  const nowMs = Date.now();
  if (cert === undefined || key === undefined) return { ca: await readAuthorityFile(ca, nowMs) };
  return readCertificates({ ca, cert, key }, 'client', nowMs);
}
