/** What one client does to a cluster, a row each. What a row needs to be there is prepared before anything is measured. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Argument } from '../../cmd/redis/index.ts';
import { type AbuseRow, type Abuser, replyText, tallyText } from './abuser.ts';
import { STREAM_ROWS } from './stream-rows.ts';

const MIB = 1024 * 1024;
const LARGEST_VALUE = 64 * MIB;
const HUNDRED_THOUSAND = 100_000;
const MILLION = 1_000_000;
/** Arguments of one command that fills something. */
const FILL_ARGUMENTS = 1_000;

const numbered = (count: number, name: string): string[] => Array.from({ length: count }, (_, at) => `${name}${at}`);

/** A row that is one command. */
const command = (
  name: string,
  what: string,
  make: (abuser: Abuser) => Argument[],
  prepare?: AbuseRow['prepare'],
): AbuseRow => ({
  name,
  what,
  ...(prepare === undefined ? {} : { prepare }),
  act: async (abuser) => replyText(await abuser.send(make(abuser))),
});

/** Writes keys with a value of some bytes. */
const keys = (count: number, name: string) => async (abuser: Abuser) =>
  abuser.pipeline(abuser.many(count), (at) => ['SET', `${name}${at}`, `value of ${at}`]);

/** Fills a collection with elements, many in a command. */
const filled =
  (write: string, key: string, count: number, elementAt: (at: number) => Argument[]) => async (abuser: Abuser) => {
    const total = abuser.many(count);
    const tally = await abuser.pipeline(Math.ceil(total / FILL_ARGUMENTS), (at) => {
      const from = at * FILL_ARGUMENTS;
      const size = Math.min(FILL_ARGUMENTS, total - from);
      return [write, key, ...Array.from({ length: size }, (_, nth) => elementAt(from + nth)).flat()];
    });
    // Of something smaller than it says a row says nothing.
    if (tally.errors > 0) throw new Error(`${key} could not be filled: ${tallyText(tally)}`);
  };

async function several(count: number, act: (at: number) => Promise<unknown>): Promise<string> {
  let last: unknown;
  for (let at = 0; at < count; at++) last = await act(at);
  return `${count} times, the last: ${replyText(last)}`;
}

/** Opens connections that do something and stay, then closes them. */
async function crowd(abuser: Abuser, count: number, say: (socket: Socket) => unknown): Promise<string> {
  let closed = 0;
  for (let at = 0; at < count; at++) {
    const socket = await abuser.socket();
    socket.on('close', () => closed++);
    socket.resume();
    say(socket);
  }
  // A last word that comes back says that the node has seen all of them.
  await abuser.call('PING');
  const text = `${count} connections, ${closed} of them closed by the node`;
  abuser.closeAll();
  return text;
}

const VALUES: readonly AbuseRow[] = [
  {
    name: 'value-10m',
    what: 'SET, GET and APPEND of 10 MiB',
    act: async (abuser) => {
      const set = await abuser.call('SET', 'large', randomBytes(10 * MIB));
      const got = await abuser.call('GET', 'large');
      return `${replyText(set)}, ${replyText(got)}, ${replyText(await abuser.call('APPEND', 'large', 'more'))}`;
    },
  },
  {
    name: 'value-64m',
    what: 'SET and GET of 64 MiB',
    act: async (abuser) => {
      const set = await abuser.call('SET', 'largest', randomBytes(LARGEST_VALUE));
      return `${replyText(set)}, ${replyText(await abuser.call('GET', 'largest'))}`;
    },
  },
  {
    name: 'value-beyond',
    what: 'the header of a value of 64 MiB + 1',
    act: async (abuser) => {
      const socket = await abuser.socket();
      socket.write(`*3\r\n$3\r\nSET\r\n$4\r\nmore\r\n$${LARGEST_VALUE + 1}\r\n`);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      abuser.closeAll();
      return answer.toString().trim();
    },
  },
  {
    name: 'appends',
    what: '3,000 APPENDs of 1,000 bytes',
    act: async (abuser) =>
      tallyText(await abuser.pipeline(abuser.many(3_000), () => ['APPEND', 'growing', 'x'.repeat(1_000)])),
  },
  {
    name: 'bitmap',
    what: '20 SETBITs on a bitmap of 8 MiB',
    prepare: (abuser) => abuser.call('SET', 'bitmap', Buffer.alloc(8 * MIB)),
    act: (abuser) => several(20, (at) => abuser.call('SETBIT', 'bitmap', at * 3_000_000, 1)),
  },
  command(
    'bitcount',
    'BITCOUNT of a bitmap of 64 MiB',
    () => ['BITCOUNT', 'bits'],
    (abuser) => abuser.call('SET', 'bits', Buffer.alloc(LARGEST_VALUE, 0x55)),
  ),
  command(
    'lcs',
    'LCS of 4,000 by 4,000 bytes',
    () => ['LCS', '{lcs}1', '{lcs}2'],
    async (abuser) => {
      for (const key of ['{lcs}1', '{lcs}2']) await abuser.call('SET', key, randomBytes(2_000).toString('hex'));
    },
  ),
];

const MANY_KEYS: readonly AbuseRow[] = [
  command('mset-groups', 'MSET of 50,000 pairs over groups', (abuser) => [
    'MSET',
    ...numbered(abuser.many(50_000), 'spread:').flatMap((key) => [key, 'value']),
  ]),
  command('mset-tag', 'MSET of 50,000 pairs with one tag', (abuser) => [
    'MSET',
    ...numbered(abuser.many(50_000), '{one}:').flatMap((key) => [key, 'value']),
  ]),
  {
    name: 'multi',
    what: 'MULTI, 100,000 SETs with one tag, EXEC',
    act: async (abuser) => {
      const count = abuser.many(HUNDRED_THOUSAND);
      const tally = await abuser.pipeline(count + 2, (at) =>
        at === 0 ? ['MULTI'] : at === count + 1 ? ['EXEC'] : ['SET', `{multi}:${at}`, 'value'],
      );
      return tallyText(tally);
    },
  },
  command(
    'del',
    'DEL of 100,000 keys with one tag',
    (abuser) => ['DEL', ...numbered(abuser.many(HUNDRED_THOUSAND), '{del}:')],
    keys(HUNDRED_THOUSAND, '{del}:'),
  ),
  command(
    'unlink',
    'UNLINK of 100,000 keys with one tag',
    (abuser) => ['UNLINK', ...numbered(abuser.many(HUNDRED_THOUSAND), '{unlink}:')],
    keys(HUNDRED_THOUSAND, '{unlink}:'),
  ),
  command('unlink-absent', 'UNLINK of 1,000,000 names over groups', (abuser) => [
    'UNLINK',
    ...numbered(abuser.many(MILLION), 'absent:'),
  ]),
  {
    name: 'pipeline',
    what: '1,000,000 SETs in one pipeline',
    act: async (abuser) => tallyText(await keys(MILLION, 'key:')(abuser)),
  },
  command(
    'mget',
    'MGET of 800,000 names with one tag',
    (abuser) => ['MGET', ...numbered(abuser.many(800_000), '{mget}:')],
    keys(HUNDRED_THOUSAND, '{mget}:'),
  ),
  command(
    'mget-same',
    'MGET of one value of 1 MiB, 1,000 times',
    (abuser) => ['MGET', ...new Array<string>(abuser.many(1_000)).fill('mebibyte')],
    (abuser) => abuser.call('SET', 'mebibyte', randomBytes(MIB)),
  ),
  command('keys-none', 'KEYS of all keys, none of which match', () => ['KEYS', 'nomatch*']),
  command('keys-all', 'KEYS of all keys', () => ['KEYS', '*']),
  command(
    'keys-pattern',
    "KEYS of 'a*' thirty times and 'b', with 1,000 keys of 200 'a'",
    () => ['KEYS', `${'a*'.repeat(30)}b`],
    keys(1_000, 'a'.repeat(200)),
  ),
  command('dbsize', 'DBSIZE', () => ['DBSIZE']),
];

const CONNECTIONS: readonly AbuseRow[] = [
  {
    name: 'connections',
    what: '9,000 connections, PING each',
    act: (abuser) => crowd(abuser, abuser.many(9_000), (socket) => socket.write('PING\r\n')),
  },
  {
    name: 'half-commands',
    what: '2,000 connections in the middle of a command',
    act: (abuser) => crowd(abuser, abuser.many(2_000), (socket) => socket.write('*3\r\n$3\r\nSET\r\n$5\r\nab')),
  },
  {
    name: 'announced',
    what: '500 connections that announce 64 MiB and send 100 kB',
    act: (abuser) => {
      const bytes = randomBytes(100_000);
      return crowd(abuser, abuser.many(500), (socket) => {
        socket.write(`*3\r\n$3\r\nSET\r\n$9\r\nannounced\r\n$${LARGEST_VALUE}\r\n`);
        socket.write(bytes);
      });
    },
  },
  {
    name: 'arguments',
    what: '50 connections with 50,000 of 1,048,576 arguments',
    act: (abuser) => {
      const some = Buffer.from('$1\r\nx\r\n'.repeat(abuser.many(50_000)));
      return crowd(abuser, 50, (socket) => {
        socket.write('*1048576\r\n');
        socket.write(some);
      });
    },
  },
  {
    name: 'slow-reader',
    what: '2,000 replies of 1 MiB to a client that does not read',
    prepare: (abuser) => abuser.call('SET', 'mebibyte', randomBytes(MIB)),
    act: async (abuser) => {
      const socket = await abuser.socket();
      socket.pause();
      const count = abuser.many(2_000);
      socket.write('GET mebibyte\r\n'.repeat(count));
      await several(200, () => abuser.call('GET', 'small'));
      abuser.closeAll();
      return `${count} asked for, none read`;
    },
  },
  {
    name: 'auth',
    what: '20,000 AUTHs of users that there are not',
    act: async (abuser) =>
      tallyText(await abuser.pipeline(abuser.many(20_000), (at) => ['AUTH', `nobody${at}`, 'wrong'])),
  },
  {
    name: 'random-bytes',
    what: '300 streams of random bytes',
    act: (abuser) => crowd(abuser, abuser.many(300), (socket) => socket.write(randomBytes(10_000))),
  },
];

const ELEMENTS: readonly AbuseRow[] = [
  command('hset', 'HSET of 100,000 fields', (abuser) => [
    'HSET',
    'hash:new',
    ...numbered(abuser.many(HUNDRED_THOUSAND), 'field:').flatMap((field) => [field, 'value']),
  ]),
  command('sadd', 'SADD of 100,000 members', (abuser) => [
    'SADD',
    'set:new',
    ...numbered(abuser.many(HUNDRED_THOUSAND), 'member:'),
  ]),
  command('zadd', 'ZADD of 100,000 members', (abuser) => [
    'ZADD',
    'order:new',
    ...numbered(abuser.many(HUNDRED_THOUSAND), 'member:').flatMap((member, at) => [(at * 7919) % 100_003, member]),
  ]),
  command('lpush', 'LPUSH of 100,000 elements', (abuser) => [
    'LPUSH',
    'list:new',
    ...numbered(abuser.many(HUNDRED_THOUSAND), 'element:'),
  ]),
  command(
    'hdel',
    'HDEL of 100,000 fields of a million',
    (abuser) => ['HDEL', 'hash', ...numbered(abuser.many(HUNDRED_THOUSAND), 'field:')],
    filled('HSET', 'hash', MILLION, (at) => [`field:${at}`, `value of ${at}`]),
  ),
  command('hgetall', 'HGETALL of a hash of a million', () => ['HGETALL', 'hash']),
  command(
    'lpos',
    'LPOS of what a list of a million has not',
    () => ['LPOS', 'list', 'absent'],
    filled('RPUSH', 'list', MILLION, (at) => [`element ${at}`]),
  ),
  command('sort', 'SORT of a list of a million', () => ['SORT', 'list', 'ALPHA', 'LIMIT', '0', '10']),
  command(
    'sinter',
    'SINTER of two sets of 500,000',
    () => ['SINTER', '{set}1', '{set}2'],
    async (abuser) => {
      await filled('SADD', '{set}1', MILLION / 2, (at) => [`member:${at}`])(abuser);
      await filled('SADD', '{set}2', MILLION / 2, (at) => [`member:${at * 2}`])(abuser);
    },
  ),
  command(
    'zunionstore',
    'ZUNIONSTORE of two sorted sets of 500,000',
    () => ['ZUNIONSTORE', '{order}3', 2, '{order}1', '{order}2'],
    async (abuser) => {
      await filled('ZADD', '{order}1', MILLION / 2, (at) => [at, `member:${at}`])(abuser);
      await filled('ZADD', '{order}2', MILLION / 2, (at) => [at, `member:${at * 2}`])(abuser);
    },
  ),
];

/** All rows, in the order in which they are run: what empties the cluster comes last. */
export const ABUSE_ROWS: readonly AbuseRow[] = [
  ...VALUES,
  ...ELEMENTS,
  ...STREAM_ROWS,
  ...CONNECTIONS,
  ...MANY_KEYS,
  { ...command('flushall', 'FLUSHALL of everything above', () => ['FLUSHALL']), emptiesAll: true },
];
