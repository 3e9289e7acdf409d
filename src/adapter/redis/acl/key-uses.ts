/**
 * What commands do with their keys as permissions see it: Redis says so of each key that it declares. Left out here is what follows from a
 * command's flags: what writes reads and writes its keys, and what only reads reads them.
 */
import type { CommandDeclaration } from '../command/index.ts';
import { wordOf } from '../protocol/index.ts';
import type { KeyUse } from './selector.ts';

const READS: KeyUse = { reads: true, writes: false };
const WRITES: KeyUse = { reads: false, writes: true };
const BOTH: KeyUse = { reads: true, writes: true };
/** It says something about the key, and nothing of what is in it: any pattern will do. */
const NAMES: KeyUse = { reads: false, writes: false };

/** Of the first key, and of the others. */
type Uses = readonly [KeyUse, KeyUse] | ((args: readonly Buffer[]) => readonly [KeyUse, KeyUse]);

const each = (names: string, uses: Uses): [string, Uses][] => names.split(' ').map((name) => [name, uses]);
const has = (args: readonly Buffer[], from: number, word: string): boolean =>
  args.some((arg, at) => at >= from && wordOf(arg) === word);

/** BITFIELD writes when it has anything but GET in it. */
function bitfieldUses(args: readonly Buffer[]): readonly [KeyUse, KeyUse] {
  let writes = false;
  for (let at = 2; at < args.length; ) {
    const word = wordOf(args[at]!);
    const more = args.length - at - 1;
    if (word === 'get' && more >= 2) at += 3;
    else if ((word === 'set' || word === 'incrby') && more >= 3) {
      writes = true;
      at += 4;
    } else if (word === 'overflow' && more >= 1) at += 2;
    else return [BOTH, BOTH];
  }
  return writes ? [BOTH, BOTH] : [READS, READS];
}

const USES: ReadonlyMap<string, Uses> = new Map([
  ...each('scard sismember hstrlen watch strlen type zcard llen xlen exists memory|usage touch hlen hexists', [
    NAMES,
    NAMES,
  ]),
  ...each('object|idletime object|freq object|encoding object|refcount', [NAMES, NAMES]),
  ...each('eval_ro evalsha_ro fcall_ro xread sort_ro georadius_ro georadiusbymember_ro', [READS, READS]),
  ...each('xreadgroup pfdebug pfcount', [READS, READS]),
  ...each('eval evalsha fcall', [BOTH, BOTH]),
  ...each('setnx msetnx mset setex psetex restore restore-asking', [WRITES, WRITES]),
  ...each('xack lset xsetid xadd xclaim xautoclaim xdel xtrim xgroup|setid xgroup|create xgroup|createconsumer', [
    WRITES,
    WRITES,
  ]),
  ...each('xgroup|delconsumer xgroup|destroy expire pexpire expireat pexpireat persist hmset hset hsetnx', [
    WRITES,
    WRITES,
  ]),
  ...each('setrange append geoadd zadd pfadd sadd linsert lpush lpushx rpush rpushx srem lrem ltrim hdel', [
    WRITES,
    WRITES,
  ]),
  ...each('zrem zremrangebyscore zremrangebylex zremrangebyrank del unlink', [WRITES, WRITES]),
  ...each('hexpire hpexpire hexpireat hpexpireat hpersist', [WRITES, WRITES]),
  ...each('geosearchstore zdiffstore bitop zinterstore sunionstore zrangestore zunionstore sdiffstore', [
    WRITES,
    READS,
  ]),
  ...each('sinterstore', [WRITES, READS]),
  ...each('pfmerge', [BOTH, READS]),
  ...each('rename renamenx lmove blmove smove rpoplpush brpoplpush', [BOTH, WRITES]),
  ...each('sort georadius georadiusbymember copy', [READS, WRITES]),
  ...each('bitfield', bitfieldUses),
  ...each('set', (args) => (has(args, 3, 'get') ? [BOTH, BOTH] : [WRITES, WRITES])),
]);

/**
 * What a call does with its keys.
 * @returns of the first key, and of each other one
 */
export function keyUsesOf(
  fullName: string,
  { flags }: Pick<CommandDeclaration, 'flags'>,
  args: readonly Buffer[],
): readonly [KeyUse, KeyUse] {
  const uses = USES.get(fullName);
  if (typeof uses === 'function') return uses(args);
  if (uses !== undefined) return uses;
  return flags.includes('write') ? [BOTH, BOTH] : [READS, READS];
}
