/** Which addresses only this machine reaches. */
import { BlockList, isIP } from 'node:net';

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/**
 * True for `localhost`, 127.0.0.0/8 and ::1, also written `::ffff:127.0.0.1` or in brackets. Any other name is taken to be
 * reachable from elsewhere: what it means may change between now and later.
 */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  const family = isIP(bare);
  if (family === 0) return /^localhost\.?$/i.test(bare);
  return LOOPBACK.check(bare, family === 6 ? 'ipv6' : 'ipv4');
}
