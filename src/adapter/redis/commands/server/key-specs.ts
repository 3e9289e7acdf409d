/**
 * How commands use their keys, and where clients find them among the arguments: the key specifications of Redis 7.0, a line for all commands that have the
 * same. A line is a list of specifications (`;` between them), each of
 *
 *   access  flags  where the search begins  which arguments from there on are keys
 *
 * Access is RO, RW, OW (overwritten unread) or RM (removed unread). The search begins at an index, or behind a keyword looked for from an index
 * (`STORE@5`). Keys are a range (`last,step,limit`, the last one counted from the first, or from the end when it is negative), or a number that says how many
 * there are (`n` with its index, that of the first key, the step). `?` is not known.
 */
import { type CommandDeclaration, keyIndexes } from '../../command/index.ts';
import { MapReply, type Reply, SetReply, SimpleString, wordOf } from '../../protocol/index.ts';

const LINES: readonly (readonly [specs: string, commands: string])[] = [
  ['- not_key 1 -1,1,0', 'ssubscribe sunsubscribe'],
  ['- not_key 1 0,1,0', 'spublish'],
  ['OW insert 1 -1,2,0', 'msetnx'],
  ['OW insert 1 0,1,0', 'setnx'],
  ['OW update 1 -1,2,0', 'mset'],
  ['OW update 1 0,1,0', 'psetex restore restore-asking setex'],
  ['OW update 1 0,1,0 ; RO access 2 -1,1,0', 'sdiffstore sunionstore'],
  ['OW update 1 0,1,0 ; RO access 2 0,1,0', 'geosearchstore zrangestore'],
  ['OW update 1 0,1,0 ; RO access 2 n0,1,1', 'zdiffstore zinterstore zunionstore'],
  ['OW update 2 0,1,0 ; RO access 3 -1,1,0', 'bitop'],
  ['RM delete 1 -1,1,0', 'del unlink'],
  ['RO - 1 -1,1,0', 'exists touch watch'],
  ['RO - 1 0,1,0', 'hexists hlen hstrlen llen scard sismember strlen type xlen zcard'],
  ['RO - 2 0,1,0', 'memory|usage object|encoding object|freq object|idletime object|refcount'],
  ['RO access 1 -1,1,0', 'mget sdiff sinter sunion'],
  [
    'RO access 1 0,1,0',
    'bitcount bitfield_ro bitpos dump expiretime geodist geohash geopos georadius_ro ' +
      'georadiusbymember_ro geosearch get getbit getrange hget hgetall hkeys hmget hrandfield hscan ' +
      'hvals lindex lpos lrange pexpiretime pttl smembers smismember srandmember sscan substr ttl ' +
      'xpending xrange xrevrange zcount zlexcount zmscore zrandmember zrange zrangebylex zrangebyscore ' +
      'zrank zrevrange zrevrangebylex zrevrangebyscore zrevrank zscan zscore',
  ],
  ['RO access 1 0,1,0 ; OW update 2 0,1,0', 'copy'],
  ['RO access 1 0,1,0 ; OW update STORE@5 0,1,0 ; OW update STOREDIST@5 0,1,0', 'georadiusbymember'],
  ['RO access 1 0,1,0 ; OW update STORE@6 0,1,0 ; OW update STOREDIST@6 0,1,0', 'georadius'],
  ['RO access 1 0,1,0 ; RO access ? ?', 'sort_ro'],
  ['RO access 1 0,1,0 ; RO access ? ? ; OW update ? ?', 'sort'],
  ['RO access 1 1,1,0', 'lcs'],
  ['RO access 1 n0,1,1', 'sintercard zdiff zinter zintercard zunion'],
  ['RO access 2 0,1,0', 'xinfo|consumers xinfo|groups xinfo|stream'],
  ['RO access 2 n0,1,1', 'evalsha_ro'],
  ['RO access 2 n0,1,1', 'eval_ro fcall_ro'],
  ['RO access STREAMS@1 -1,1,2', 'xread'],
  ['RO access STREAMS@4 -1,1,2', 'xreadgroup'],
  ['RW access 1 -1,1,0', 'pfcount'],
  ['RW access 2 0,1,0', 'pfdebug'],
  ['RW access+delete 1 -2,1,0', 'blpop brpop bzpopmax bzpopmin'],
  ['RW access+delete 1 0,1,0', 'getdel lpop rpop spop zpopmax zpopmin'],
  ['RW access+delete 1 0,1,0 ; OW insert 2 0,1,0', 'renamenx'],
  ['RW access+delete 1 0,1,0 ; OW update 2 0,1,0', 'rename'],
  ['RW access+delete 1 0,1,0 ; RW insert 2 0,1,0', 'blmove brpoplpush lmove rpoplpush smove'],
  ['RW access+delete 1 n0,1,1', 'lmpop zmpop'],
  ['RW access+delete 2 n0,1,1', 'blmpop bzmpop'],
  ['RW access+delete 3 0,1,0 ; RW access+delete+incomplete KEYS@-2 -1,1,0', 'migrate'],
  ['RW access+insert 1 0,1,0 ; RO access 2 -1,1,0', 'pfmerge'],
  ['RW access+update 1 0,1,0', 'decr decrby getset hincrby hincrbyfloat incr incrby incrbyfloat move setbit zincrby'],
  ['RW access+update 1 0,1,0', 'getex'],
  ['RW access+update 2 n0,1,1', 'evalsha'],
  ['RW access+update 2 n0,1,1', 'eval fcall'],
  ['RW access+update+variable_flags 1 0,1,0', 'bitfield set'],
  [
    'RW delete 1 0,1,0',
    'hdel lrem ltrim srem xautoclaim xdel xtrim zrem zremrangebylex zremrangebyrank zremrangebyscore',
  ],
  ['RW delete 2 0,1,0', 'xgroup|delconsumer xgroup|destroy'],
  ['RW insert 1 0,1,0', 'append hsetnx linsert lpush lpushx pfadd rpush rpushx sadd'],
  ['RW insert 2 0,1,0', 'xgroup|create xgroup|createconsumer'],
  [
    'RW update 1 0,1,0',
    'expire expireat geoadd hmset hset lset persist pexpire pexpireat setrange xack xclaim xsetid ' + 'zadd',
  ],
  ['RW update 1 0,1,0', 'xadd'],
  ['RW update 1 0,1,0 ; RO access 2 -1,1,0', 'sinterstore'],
  ['RW update 2 0,1,0', 'xgroup|setid'],
];

/** One specification of a command. */
interface KeySpec {
  readonly flags: readonly string[];
  readonly begin: string;
  readonly find: string;
}

function parsed(spec: string): KeySpec {
  const [access = '', flags = '', begin = '?', find = '?'] = spec.split(' ');
  return { flags: [access, ...flags.split('+')].filter((flag) => flag !== '' && flag !== '-'), begin, find };
}

const BY_COMMAND: ReadonlyMap<string, readonly KeySpec[]> = new Map(
  LINES.flatMap(([specs, commands]) => {
    const parts = specs.split(' ; ').map(parsed);
    return commands.split(' ').map((name): [string, readonly KeySpec[]] => [name, parts]);
  }),
);

/** Of commands that Redis 7.0 does not have: by their declaration. */
function declared({ keys, flags }: CommandDeclaration): readonly KeySpec[] {
  if (keys === undefined || typeof keys === 'function') return [];
  const last = keys.last < 0 ? keys.last : keys.last - keys.first;
  const use = flags.includes('write') ? ['RW', 'access', 'update'] : ['RO', 'access'];
  return [{ flags: use, begin: String(keys.first), find: `${last},${keys.step},0` }];
}

const specsOf = (fullName: string, declaration: CommandDeclaration): readonly KeySpec[] =>
  BY_COMMAND.get(fullName) ?? declared(declaration);

const typed = (type: string, fields: readonly (readonly [Reply, Reply])[]): Reply =>
  new MapReply([
    ['type', type],
    ['spec', new MapReply(fields)],
  ]);

function beginReply(begin: string): Reply {
  if (begin === '?') return typed('unknown', []);
  const [word, from] = begin.split('@');
  if (from === undefined) return typed('index', [['index', Number(begin)]]);
  return typed('keyword', [
    ['keyword', word!],
    ['startfrom', Number(from)],
  ]);
}

function findReply(find: string): Reply {
  if (find === '?') return typed('unknown', []);
  const numbers = find.replace('n', '').split(',').map(Number);
  const names = find.startsWith('n') ? ['keynumidx', 'firstkey', 'keystep'] : ['lastkey', 'keystep', 'limit'];
  return typed(
    find.startsWith('n') ? 'keynum' : 'range',
    names.map((name, at) => [name, numbers[at]!]),
  );
}

const flagsReply = (flags: readonly string[]): Reply => new SetReply(flags.map((flag) => new SimpleString(flag)));

/** The key specifications of a command as COMMAND INFO answers them. */
export const keySpecsReply = (fullName: string, declaration: CommandDeclaration): Reply =>
  specsOf(fullName, declaration).map(
    ({ flags, begin, find }) =>
      new MapReply([
        ['flags', flagsReply(flags)],
        ['begin_search', beginReply(begin)],
        ['find_keys', findReply(find)],
      ]),
  );

/** Positions that a specification names in a call. */
function positionsOf({ begin, find }: KeySpec, args: readonly Buffer[]): number[] {
  const [word, from] = begin.split('@');
  const first = from === undefined ? Number(begin) : keywordBehind(args, word!, Number(from));
  if (!(first > 0)) return [];
  const numbers = find.replace('n', '').split(',').map(Number);
  if (find.startsWith('n')) {
    const [countAt = 0, firstKey = 0, step = 1] = numbers;
    const count = Number(args[first + countAt]?.toString('latin1'));
    return Array.from({ length: count }, (_, nth) => first + firstKey + nth * step);
  }
  const [last = 0, step = 1] = numbers;
  const end = last < 0 ? args.length + last : first + last;
  const positions: number[] = [];
  for (let at = first; at <= end; at += step) positions.push(at);
  return positions;
}

/** Behind a keyword; -1 when it is not there. */
function keywordBehind(args: readonly Buffer[], word: string, from: number): number {
  const at = args.findIndex((arg, index) => index >= from && wordOf(arg) === word.toLowerCase());
  return at < 0 ? -1 : at + 1;
}

/** What depends on the options of a call. */
const BY_OPTIONS: Readonly<Record<string, (args: readonly Buffer[]) => readonly string[]>> = {
  set: (args) => (args.slice(3).some((arg) => wordOf(arg) === 'get') ? ['RW', 'access', 'update'] : ['OW', 'update']),
  bitfield: (args) =>
    args.slice(2).some((arg) => ['set', 'incrby'].includes(wordOf(arg)))
      ? ['RW', 'access', 'update']
      : ['RO', 'access'],
};

/** The flags of each key of a call, as COMMAND GETKEYSANDFLAGS answers them. Its keys are those of the declaration. */
export function keysWithFlags(fullName: string, declaration: CommandDeclaration, args: readonly Buffer[]): Reply {
  const specs = specsOf(fullName, declaration);
  const found = new Map<number, readonly string[]>();
  for (const spec of specs) for (const position of positionsOf(spec, args)) found.set(position, spec.flags);
  // Of keys that no specification finds (the destination of SORT) the last one knows.
  const unknown = specs.at(-1)?.flags ?? [];
  const byOptions = BY_OPTIONS[fullName]?.(args);
  return keyIndexes(declaration, args).map((at) => [args[at]!, flagsReply(byOptions ?? found.get(at) ?? unknown)]);
}
