/** What `npm run bench:types` measures, and what it is held against. */

/** How many elements or keys are there before, and what random numbers are drawn from. */
export const ELEMENTS = 100_000;
/** So many that a random name is nearly always a new one. */
const UNUSED = 1_000_000_000;

const RANDOM = '__rand_int__';
const VALUE = 'x'.repeat(100);
const INCREMENT = "return redis.call('INCR', KEYS[1])";
/** XADD says the id in more than one line. */
const ADD_ENTRIES = "for nth = 1, tonumber(ARGV[1]) do redis.call('XADD', KEYS[1], '*', 'field', ARGV[2]) end return 1";
/** Six fields of 44 bytes: a hash of 300 bytes, one row. */
const PACKED_FIELDS = ['a', 'b', 'c', 'd', 'e', 'f'];
const PACKED_VALUE = 'x'.repeat(44);

export interface Filling {
  readonly key: string;
  /** A stream comes with a group of its name, which has read nothing. */
  readonly kind: 'zset' | 'set' | 'hash' | 'list' | 'stream';
  readonly count: number;
}

/** A load of one kind of command from 50 clients. */
export interface TypeMeasure {
  readonly name: string;
  readonly title: string;
  readonly args: readonly string[];
  readonly keyCount: number;
  /** Commands that a client has under way; left out: one. */
  readonly pipeline?: number;
  /** What is there before. */
  readonly filling?: Filling | 'packedHashes';
  /** Scores rise from command to command, which redis-benchmark cannot do. */
  readonly isRising?: boolean;
  /** Takes elements away, of so many that there are. */
  readonly isPopping?: boolean;
  /** Only beside collections of ten million. */
  readonly isLarge?: boolean;
  /** The least that its ratio to Redis may be of the ratio of SET, and what is aimed at. */
  readonly bar?: number;
  readonly goal?: number;
  /** What it is held against: GET for what only reads. */
  readonly reference: Reference;
}

type Reference = 'set' | 'get' | 'setPipelined';

const zset = (count: number): Filling => ({ key: `zset:${count}`, kind: 'zset', count });
const LARGE = 10_000_000;

/** So many come first that others are held against. */
export const REFERENCES = 3;
const PIPELINE = 16;

/** The first ones are what the others are held against. */
export const TYPE_MEASURES: readonly TypeMeasure[] = [
  {
    name: 'set',
    title: 'SET, 100,000 keys',
    args: ['SET', `key:${RANDOM}`, VALUE],
    keyCount: ELEMENTS,
    reference: 'set',
  },
  { name: 'get', title: 'GET, 100,000 keys', args: ['GET', `key:${RANDOM}`], keyCount: ELEMENTS, reference: 'get' },
  {
    name: 'setPipelined',
    title: `SET, 100,000 keys, ${PIPELINE} under way`,
    args: ['SET', `key:${RANDOM}`, VALUE],
    keyCount: ELEMENTS,
    pipeline: PIPELINE,
    reference: 'setPipelined',
  },
  {
    name: 'lpush',
    title: 'LPUSH, one list',
    args: ['LPUSH', 'list', VALUE],
    keyCount: 1,
    bar: 0.7,
    goal: 1,
    reference: 'set',
  },
  {
    name: 'rpush',
    title: 'RPUSH, one list',
    args: ['RPUSH', 'list', VALUE],
    keyCount: 1,
    bar: 0.7,
    goal: 1,
    reference: 'set',
  },
  ...(['lpop', 'rpop'] as const).map(
    (name): TypeMeasure => ({
      name,
      title: `${name.toUpperCase()}, one list`,
      args: [name, `list:${name}`],
      keyCount: 1,
      filling: { key: `list:${name}`, kind: 'list', count: 2 * ELEMENTS },
      isPopping: true,
      bar: 0.7,
      goal: 1,
      reference: 'set',
    }),
  ),
  {
    name: 'saddNew',
    title: 'SADD new, one set of 100,000',
    args: ['SADD', 'set:new', `member:${RANDOM}`],
    keyCount: UNUSED,
    filling: { key: 'set:new', kind: 'set', count: ELEMENTS },
    bar: 0.6,
    goal: 0.9,
    reference: 'set',
  },
  {
    name: 'hsetNew',
    title: 'HSET new, one hash of 100,000',
    args: ['HSET', 'hash:new', `member:${RANDOM}`, VALUE],
    keyCount: UNUSED,
    filling: { key: 'hash:new', kind: 'hash', count: ELEMENTS },
    bar: 0.6,
    goal: 0.9,
    reference: 'set',
  },
  {
    name: 'hsetExisting',
    title: 'HSET existing, one hash of 100,000',
    args: ['HSET', 'hash:old', `member:${RANDOM}`, VALUE],
    keyCount: ELEMENTS,
    filling: { key: 'hash:old', kind: 'hash', count: ELEMENTS },
    bar: 0.7,
    goal: 0.95,
    reference: 'set',
  },
  {
    name: 'hincrby',
    title: 'HINCRBY existing, one hash of 100,000',
    args: ['HINCRBY', 'hash:count', `member:${RANDOM}`, '1'],
    keyCount: ELEMENTS,
    filling: { key: 'hash:count', kind: 'hash', count: ELEMENTS },
    bar: 0.7,
    goal: 0.95,
    reference: 'set',
  },
  {
    name: 'hsetPacked',
    title: 'HSET, 100,000 hashes of 300 bytes',
    args: ['HSET', `packed:${RANDOM}`, 'c', PACKED_VALUE],
    keyCount: ELEMENTS,
    filling: 'packedHashes',
    bar: 0.7,
    goal: 0.9,
    reference: 'set',
  },
  {
    name: 'zaddRising',
    title: 'ZADD rising scores',
    args: ['ZADD', 'zset:rising'],
    keyCount: 1,
    isRising: true,
    bar: 0.6,
    goal: 0.9,
    reference: 'set',
  },
  {
    name: 'zaddRandom',
    title: 'ZADD random scores, into 100,000',
    args: ['ZADD', zset(ELEMENTS).key, RANDOM, `member:${RANDOM}`],
    keyCount: UNUSED,
    filling: zset(ELEMENTS),
    bar: 0.4,
    goal: 0.55,
    reference: 'set',
  },
  {
    name: 'zaddLarge',
    title: 'ZADD random scores, into 10 million',
    args: ['ZADD', zset(LARGE).key, RANDOM, `member:${RANDOM}`],
    keyCount: UNUSED,
    filling: zset(LARGE),
    isLarge: true,
    bar: 0.25,
    goal: 0.4,
    reference: 'set',
  },
  {
    name: 'eval',
    title: 'EVAL of INCR, 100,000 keys',
    args: ['EVAL', INCREMENT, '1', `count:${RANDOM}`],
    keyCount: ELEMENTS,
    reference: 'set',
  },
  {
    name: 'evalPipelined',
    title: `EVAL of INCR, 100,000 keys, ${PIPELINE} under way`,
    args: ['EVAL', INCREMENT, '1', `count:${RANDOM}`],
    keyCount: ELEMENTS,
    pipeline: PIPELINE,
    bar: 0.5,
    goal: 0.8,
    reference: 'setPipelined',
  },
  {
    name: 'xadd',
    title: 'XADD, one stream',
    args: ['XADD', 'stream', '*', 'field', VALUE],
    keyCount: 1,
    bar: 0.6,
    goal: 0.9,
    reference: 'set',
  },
  {
    name: 'xreadgroup',
    title: 'XREADGROUP, one entry of one stream',
    args: ['XREADGROUP', 'GROUP', 'stream:read', 'consumer', 'COUNT', '1', 'STREAMS', 'stream:read', '>'],
    keyCount: 1,
    filling: { key: 'stream:read', kind: 'stream', count: 2 * ELEMENTS },
    isPopping: true,
    reference: 'set',
  },
  ...[ELEMENTS, LARGE].flatMap((count): TypeMeasure[] => {
    const { key } = zset(count);
    const size = count === LARGE ? '10 million' : '100,000';
    const isLarge = count === LARGE;
    // Those that were added meanwhile have other names.
    const rest = { keyCount: count, filling: zset(count), isLarge, reference: 'get' } as const;
    return [
      {
        name: isLarge ? 'zrankLarge' : 'zrank',
        title: `ZRANK, of ${size}`,
        args: ['ZRANK', key, `member:${RANDOM}`],
        ...rest,
      },
      {
        name: isLarge ? 'zrangeLarge' : 'zrange',
        title: `ZRANGE by index, 10 in the middle of ${size}`,
        args: ['ZRANGE', key, String(count / 2), String(count / 2 + 9)],
        ...rest,
      },
    ];
  }),
];

/** Names and values as redis-benchmark draws them: twelve digits. */
export const drawnName = (id: number): string => `member:${String(id).padStart(12, '0')}`;

const ELEMENTS_A_COMMAND = 100;

/** The commands that make what has to be there, or a share of it. */
export function* fillingCommands(filling: Filling | 'packedHashes', share: number): Generator<string[]> {
  if (filling === 'packedHashes') {
    for (let id = 0; id < ELEMENTS * share; id++) {
      const key = `packed:${String(id).padStart(12, '0')}`;
      yield ['HSET', key, ...PACKED_FIELDS.flatMap((field) => [field, PACKED_VALUE])];
    }
    return;
  }
  const { key, kind, count } = filling;
  const wanted = Math.ceil(count * share);
  if (kind === 'stream') yield ['XGROUP', 'CREATE', key, key, '0', 'MKSTREAM'];
  for (let from = 0; from < wanted; from += ELEMENTS_A_COMMAND) {
    const ids = Array.from({ length: Math.min(ELEMENTS_A_COMMAND, wanted - from) }, (_, at) => from + at);
    if (kind === 'zset') yield ['ZADD', key, ...ids.flatMap((id) => [String((id * UNUSED) / count), drawnName(id)])];
    else if (kind === 'hash') yield ['HSET', key, ...ids.flatMap((id) => [drawnName(id), '1'])];
    else if (kind === 'stream') yield ['EVAL', ADD_ENTRIES, '1', key, String(ids.length), VALUE];
    else if (kind === 'set') yield ['SADD', key, ...ids.map(drawnName)];
    else yield ['RPUSH', key, ...ids.map(() => VALUE)];
  }
}
