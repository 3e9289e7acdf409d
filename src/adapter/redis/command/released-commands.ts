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

/** True for data commands that release 0.1.0 does not know. @param fullName `container|sub` for a subcommand */
export const isLaterCommand = (fullName: string, kind: string | undefined): boolean =>
  kind === 'data' && !COMMANDS_OF_0_1_0.has(fullName);
