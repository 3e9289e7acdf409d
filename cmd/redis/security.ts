/** What a client proves itself with, from flags and the environment, under the names that `kvorum server` has for the same things. */
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { readAuthorityFile, readCertificates } from '../../src/security/index.ts';
import { CommandFailure } from '../cli/failure.ts';
import type { LinkSecurity } from './connection.ts';

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

/** Adds the options that say how servers are spoken to. */
export function addSecurityOptions(command: Command): void {
  command
    .option('--redis-password <text>', `password that the nodes ask for (env ${SECURITY_VARIABLES.redisPassword})`)
    .option('--redis-password-file <file>', `file whose first line it is (env ${SECURITY_VARIABLES.redisPasswordFile})`)
    .option(
      '--redis-tls-ca <file>',
      `authorities (PEM) that certificates of the nodes must lead to; makes it speak TLS (env ${SECURITY_VARIABLES.redisTlsCa})`,
    )
    .option(
      '--redis-tls-cert <file>',
      `certificate (PEM) that nodes are shown (env ${SECURITY_VARIABLES.redisTlsCert})`,
    )
    .option('--redis-tls-key <file>', `private key (PEM) of that certificate (env ${SECURITY_VARIABLES.redisTlsKey})`);
}

/**
 * Reads what is named.
 * @throws CommandFailure for a combination that means nothing, a certificate that is of no use, a file that cannot be read
 */
export async function securityOf(
  flags: SecurityFlags,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<LinkSecurity> {
  try {
    return await readSecurity(flags, environment);
  } catch (error) {
    throw new CommandFailure((error as Error).message);
  }
}

async function readSecurity(
  flags: SecurityFlags,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<LinkSecurity> {
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
  let tls: LinkSecurity['tls'];
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
