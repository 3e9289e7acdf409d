/** What raftadmin proves itself with to nodes: certificates where they speak TLS, and a token, from flags or the environment. */
import {
  type CallerCertificates,
  readAuthorityFile,
  readCertificates,
  readSecretFile,
  Secret,
} from '../../src/security/index.ts';
import { CommandFailure } from '../cli/failure.ts';
import { ExitCode } from './exit-code.ts';
import type { OwnProof, SharedFlags } from './session.ts';
import type { Terminal } from './terminal.ts';

/** Environment variables of the flags. */
export const TLS_VARIABLES = {
  ca: 'RAFTADMIN_TLS_CA',
  cert: 'RAFTADMIN_TLS_CERT',
  key: 'RAFTADMIN_TLS_KEY',
} as const;

/** Environment variables with the token: a file, or itself. There is no flag for itself, since every user can read command lines. */
export const TOKEN_VARIABLES = { file: 'RAFTADMIN_TOKEN_FILE', token: 'RAFTADMIN_TOKEN' } as const;

const MAX_TOKEN_LENGTH = 512;
const MAX_FILE_LENGTH = 1024;

/**
 * Reads what is named.
 * @throws CommandFailure when only a part of the files is named, or the token is none; CertificateError when one cannot be used
 */
export async function proofOf(flags: SharedFlags, terminal: Pick<Terminal, 'env'>): Promise<OwnProof> {
  return { certificates: await certificatesOf(flags, terminal), token: await tokenOf(flags, terminal) };
}

/** @returns undefined when no file is named: plain text */
async function certificatesOf(
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

/** @returns undefined when there is none */
async function tokenOf(flags: SharedFlags, { env }: Pick<Terminal, 'env'>): Promise<Secret | undefined> {
  const file = flags.tokenFile ?? (env[TOKEN_VARIABLES.file] || undefined);
  const refuse = (reason: string): never => {
    throw new CommandFailure(
      `the token ${file === undefined ? `in ${TOKEN_VARIABLES.token}` : `file ${file}`} ${reason}`,
      ExitCode.Usage,
    );
  };
  const text =
    file === undefined ? (env[TOKEN_VARIABLES.token] ?? '') : await readSecretFile(file, MAX_FILE_LENGTH, refuse);
  const token = text.trim();
  if (token === '' && file === undefined) return undefined;
  // It goes into a header, where nothing else may stand.
  if (!/^[\x21-\x7e]+$/.test(token) || token.length > MAX_TOKEN_LENGTH) refuse('holds no token, which is one word');
  return new Secret(token);
}
