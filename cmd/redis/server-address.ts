/** A server that is named by a URL. */
import { InvalidArgumentError } from 'commander';
import type { LinkSecurity, LinkTarget } from './connection.ts';
import { type SecurityFlags, securityOf } from './security.ts';

export interface ServerAddress extends LinkTarget {
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly isTls: boolean;
}

const DEFAULT_PORT = 6379;

/** Parses redis://[user:password@]host[:port], or rediss:// for TLS. @throws InvalidArgumentError */
export function parseServer(text: string): ServerAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'redis:' && url.protocol !== 'rediss:') || url.hostname === '')
    throw new InvalidArgumentError('It must be redis://host:port or rediss://host:port.');
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? DEFAULT_PORT : Number(url.port),
    user: url.username === '' ? undefined : decodeURIComponent(url.username),
    password: url.password === '' ? undefined : decodeURIComponent(url.password),
    isTls: url.protocol === 'rediss:',
  };
}

/**
 * How such a server is spoken to.
 * @param passwordFile its first line counts when the URL has no password
 * @param caFile authorities (PEM); undefined: those of Node.js
 * @throws CommandFailure
 */
export async function serverSecurityOf(
  { user, password, isTls }: ServerAddress,
  passwordFile: string | undefined,
  caFile: string | undefined,
): Promise<LinkSecurity> {
  const flags: SecurityFlags = {
    ...(password === undefined ? {} : { redisPassword: password }),
    ...(passwordFile === undefined ? {} : { redisPasswordFile: passwordFile }),
    ...(caFile === undefined ? {} : { redisTlsCa: caFile }),
  };
  const security = await securityOf(flags, {});
  return { ...security, user, tls: security.tls ?? (isTls ? {} : undefined) };
}
