import type { CommandSpec } from './command.ts';
import type { RedisFeature } from './declaration.ts';

/**
 * The data commands of release 0.1.0. A leader that still runs it knows no other, so later ones are sent to leaders only once the feature
 * `redis.collections` says that every node knows them. Never changes.
 */
const COMMANDS_OF_0_1_0: ReadonlySet<string> = new Set(
  (
    'append bitcount bitfield bitfield_ro bitop bitpos copy decr decrby del exists expire expireat expiretime get getbit getdel getex getrange ' +
    'getset incr incrby incrbyfloat lcs memory|usage mget move mset msetnx object|encoding object|freq object|idletime object|refcount persist ' +
    'pexpire pexpireat pexpiretime psetex pttl rename renamenx set setbit setex setnx setrange strlen substr touch ttl type unlink'
  ).split(' '),
);

/**
 * What a command waits for: what it says itself, else the collections, or streams, for data commands that release 0.1.0 does not know.
 * @param fullName `container|sub` for a subcommand
 */
export function featureOf(
  fullName: string,
  { feature, group, handler }: Pick<CommandSpec, 'feature' | 'group' | 'handler'>,
): RedisFeature | undefined {
  if (feature !== undefined) return feature;
  if (handler?.kind !== 'data' || COMMANDS_OF_0_1_0.has(fullName)) return undefined;
  return group === 'stream' ? 'redis.streams' : 'redis.collections';
}
