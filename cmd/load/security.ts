/** What a load proves itself with, from flags and the environment, under the names that `kvorum server` has for the same things. */
import { readFile } from 'node:fs/promises';
import { readAuthorityFile, readCertificates } from '../../src/security/index.ts';
import type { LoadSecurity } from './connection.ts';

export interface SecurityFlags {
  readonly redisPassword?: string;
  readonly redisPasswordFile?: string;
  readonly redisTlsCa?: string;
  readonly redisTlsCert?: string;
  readonly redisTlsKey?: string;
}

/** Environment variables of the flags; flags win. */
export const SECURITY_VARIABLES = {
  redisPassword: 'KVORUM_REDIS_PASSWORD',
  redisPasswordFile: 'KVORUM_REDIS_PASSWORD_FILE',
  redisTlsCa: 'KVORUM_REDIS_TLS_CA',
  redisTlsCert: 'KVORUM_REDIS_TLS_CERT',
  redisTlsKey: 'KVORUM_REDIS_TLS_KEY',
} as const satisfies { readonly [Flag in keyof SecurityFlags]-?: string };

/**
 * Reads what is named.
 * @throws Error for a combination that means nothing; CertificateError; the system's error for a file that cannot be read
 */
export async function securityOf(
  flags: SecurityFlags,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<LoadSecurity> {
  const value = (flag: keyof SecurityFlags): string | undefined =>
    flags[flag] ?? (environment[SECURITY_VARIABLES[flag]] || undefined);
  const [ca, cert, key] = [value('redisTlsCa'), value('redisTlsCert'), value('redisTlsKey')];
  if (ca === undefined && (cert !== undefined || key !== undefined)) {
    throw new Error('name --redis-tls-ca too: without it the server cannot be checked');
  }
  if ((cert === undefined) !== (key === undefined)) {
    throw new Error(
      `name --redis-tls-${cert === undefined ? 'cert' : 'key'} too: a certificate and its key go together`,
    );
  }
  const nowMs = Date.now();
  let tls: LoadSecurity['tls'];
  if (ca !== undefined && cert !== undefined && key !== undefined) {
    const own = await readCertificates({ ca, cert, key }, 'client', nowMs);
    tls = { ca: own.ca, cert: own.cert, key: own.key };
  } else if (ca !== undefined) tls = { ca: await readAuthorityFile(ca, nowMs) };
  const password = value('redisPassword') ?? (await firstLine(value('redisPasswordFile')));
  return { password, tls };
}

/** A file of passwords has one a line, all of which count. */
async function firstLine(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  const line = (await readFile(file, 'utf8')).split(/\r?\n/).find((each) => each !== '');
  if (line === undefined) throw new Error(`${file} has no password`);
  return line;
}
