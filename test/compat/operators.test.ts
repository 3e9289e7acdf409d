/** What operators and their tools ask: the same errors, fields and shapes as redis-server; values are each server's own. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { skipWithout } from '../support/programs.ts';
import { ourCommands, redisCommands } from './redis-page.ts';
import { type CommandLine, callAll, type RawReply, RespConnection } from './resp-connection.ts';
import { startKvorum, startReference, type Target } from './targets.ts';

/** A line of words; a word between quotes may be empty or have blanks. */
const linesOf = (text: string): CommandLine[] =>
  text
    .trim()
    .split('\n')
    .map((line) => (line.match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replaceAll('"', '')));

/** Answered with the same bytes. */
const SAME = linesOf(`
  CLIENT KILL
  CLIENT KILL 1.2.3.4:5
  CLIENT KILL ID x
  CLIENT KILL ID 0
  CLIENT KILL ID 999 TYPE normal
  CLIENT KILL TYPE foo
  CLIENT KILL TYPE pubsub
  CLIENT KILL USER nosuch
  CLIENT KILL SKIPME x
  CLIENT KILL foo bar
  CLIENT KILL LADDR x SKIPME no
  CLIENT KILL ADDR 1.2.3.4:5 foo
  CLIENT LIST TYPE
  CLIENT LIST TYPE foo
  CLIENT LIST TYPE pubsub
  CLIENT LIST TYPE replica
  CLIENT LIST TYPE normal x
  CLIENT LIST ID
  CLIENT LIST ID x
  CLIENT LIST ID 0
  CLIENT LIST ID 99
  CLIENT LIST ID 1 TYPE normal
  CLIENT LIST foo
  CLIENT PAUSE
  CLIENT PAUSE x
  CLIENT PAUSE -1
  CLIENT PAUSE 1 foo
  CLIENT PAUSE 1 write x
  CLIENT PAUSE 0 write
  CLIENT UNPAUSE
  CLIENT UNPAUSE x
  CLIENT REPLY foo
  CLIENT REPLY
  CLIENT REPLY ON
  CLIENT NO-EVICT x
  CLIENT NO-EVICT on
  CLIENT NO-EVICT off
  CLIENT SETNAME
  CLIENT SETNAME ""
  CLIENT SETNAME "a b"
  CLIENT GETNAME
  CLIENT GETNAME x
  CLIENT ID x
  CLIENT INFO x
  CLIENT foo
  CLIENT
  SLOWLOG GET 0
  SLOWLOG GET -2
  SLOWLOG GET x
  SLOWLOG GET 1 2
  SLOWLOG LEN 1
  SLOWLOG RESET
  SLOWLOG RESET x
  SLOWLOG foo
  LATENCY RESET
  LATENCY RESET foo
  LATENCY LATEST
  LATENCY LATEST x
  LATENCY HISTORY foo
  LATENCY HISTORY
  LATENCY GRAPH foo
  LATENCY GRAPH
  LATENCY DOCTOR x
  LATENCY HISTOGRAM nosuch
  LATENCY foo
  MEMORY PURGE
  MEMORY PURGE x
  MEMORY STATS x
  MEMORY DOCTOR x
  MEMORY MALLOC-STATS x
  MEMORY foo
  CONFIG GET slowlog-max-len
  CONFIG GET slowlog-log-slower-than latency-tracking
  CONFIG GET latency-t*
  CONFIG GET acllog-*
  CONFIG SET slowlog-log-slower-than -2
  CONFIG SET slowlog-log-slower-than x
  CONFIG SET slowlog-max-len -1
  CONFIG SET latency-monitor-threshold -1
  CONFIG SET latency-monitor-threshold x
  CONFIG SET latency-tracking maybe
  CONFIG SET latency-tracking no slowlog-max-len x
  CONFIG GET latency-tracking
  CONFIG SET latency-tracking-info-percentiles "50 100.5"
  CONFIG SET latency-tracking-info-percentiles "50 90.5 100"
  CONFIG GET latency-tracking-info-percentiles
  CONFIG SET latency-tracking-info-percentiles ""
  CONFIG GET latency-tracking-info-percentiles
  CONFIG SET latency-tracking-info-percentiles "50 99 99.9"
  CONFIG SET
  CONFIG SET timeout
  CONFIG SET timeout 0 timeout 1
  CONFIG SET nosuch 1
  CONFIG GET
  CONFIG GET nosuch
  CONFIG REWRITE
  CONFIG REWRITE x
  CONFIG RESETSTAT
  CONFIG foo
  MONITOR x
  RESET
  LOLWUT VERSION x
  INFO nosuch
  ROLE x
  COMMAND GETKEYS
  COMMAND GETKEYS GET
  COMMAND GETKEYS PING
  COMMAND GETKEYS nosuch a
  COMMAND GETKEYS GET a b
  COMMAND GETKEYS MSET a 1 b 2
  COMMAND GETKEYS EVAL x 2 a b c
  COMMAND GETKEYS EVAL x 0 a
  COMMAND GETKEYS SORT a BY b STORE c
  COMMAND GETKEYS ZUNIONSTORE d 2 a b WEIGHTS 1 2
  COMMAND GETKEYSANDFLAGS GET a
  COMMAND GETKEYSANDFLAGS PING
  COMMAND GETKEYSANDFLAGS SET a b
  COMMAND GETKEYSANDFLAGS SET a b GET
  COMMAND GETKEYSANDFLAGS MSET a 1 b 2
  COMMAND GETKEYSANDFLAGS BITFIELD a GET u8 0
  COMMAND GETKEYSANDFLAGS BITFIELD a GET u8 0 INCRBY u8 0 1
  COMMAND GETKEYSANDFLAGS EVAL x 2 a b c
  COMMAND GETKEYSANDFLAGS SORT a STORE c
  COMMAND GETKEYSANDFLAGS SORT_RO a LIMIT 0 1
  COMMAND GETKEYSANDFLAGS ZUNIONSTORE d 2 a b WEIGHTS 1 2
  COMMAND GETKEYSANDFLAGS ZINTERCARD 2 a b
  COMMAND GETKEYSANDFLAGS BITOP AND d a b
  COMMAND GETKEYSANDFLAGS COPY a b
  COMMAND GETKEYSANDFLAGS LMOVE a b LEFT LEFT
  COMMAND GETKEYSANDFLAGS BLPOP a b 0
  COMMAND GETKEYSANDFLAGS GEORADIUS a 1 1 1 m STORE c
  COMMAND GETKEYSANDFLAGS XREADGROUP GROUP g c STREAMS a b 0 0
  COMMAND GETKEYSANDFLAGS OBJECT ENCODING a
  COMMAND GETKEYSANDFLAGS PFMERGE a b
  COMMAND COUNT x
  COMMAND INFO nosuch get|x
  COMMAND DOCS nosuch
  COMMAND LIST FILTERBY MODULE x
  COMMAND LIST FILTERBY PATTERN nosuch*
  COMMAND LIST FILTERBY PATTERN
  COMMAND LIST FILTERBY foo x
  COMMAND LIST foo
  COMMAND LIST FILTERBY ACLCAT hyperloglog
  COMMAND foo
  OBJECT foo
  DEBUG foo
  MULTI
  MONITOR
  EXEC
`);

/** MONITOR's client: what it may do, and what it is shown; the last command has no reply. */
const MONITORING = linesOf(`
  MONITOR
  GET a
  SET a 1
  KEYS *
  EVAL "return 1" 0
  RESET
  GET a
`);

describe('what operators ask, compared with redis-server', { skip: skipWithout('redis-server') }, () => {
  let targets: readonly Target[];

  before(async () => {
    targets = await Promise.all([startReference(), startKvorum()]);
  });
  after(() => Promise.all((targets ?? []).map((target) => target.stop())));

  const both = async <T>(ask: (target: Target) => Promise<T>): Promise<readonly [T, T]> => {
    const [theirs, ours] = await Promise.all(targets.map(ask));
    return [theirs!, ours!];
  };

  for (const resp of ['2', '3']) {
    test(`is answered in the same words over RESP${resp}`, async () => {
      const [theirs, ours] = await both((target) => shownReplies(target, [['HELLO', resp], ...SAME]));
      assert.deepEqual(ours.slice(1), theirs.slice(1));
    });
  }

  test('is the same while a client watches with MONITOR', async () => {
    const [theirs, ours] = await both((target) => shownReplies(target, MONITORING));
    assert.deepEqual(ours, theirs);
  });

  test('has every field of INFO, in the order and of the kind that Redis has', async () => {
    const called = linesOf('GET a\nGET a b\nLPUSH l 1\nGET l\nNOSUCH');
    const [theirs, ours] = await both((target) => infoOf(target, [...called, ['INFO', 'everything']]));
    assert.ok(theirs.size > 150, String(theirs.size));
    assert.deepEqual(
      [...ours].filter(([field]) => theirs.has(field)),
      [...theirs],
    );
  });

  for (const asked of ['', 'all', 'default', 'server commandstats', 'nosuch', 'default latencystats', 'SERVER']) {
    test(`has the sections that INFO ${asked} asks for`, async () => {
      const call = ['INFO', ...asked.split(' ').filter((word) => word !== '')];
      const titles = ([reply]: RawReply[]) => reply!.text!.split('\r\n').filter((line) => line.startsWith('#'));
      const [theirs, ours] = await both(async (target) => titles(await callAll(target, [call])));
      assert.deepEqual(ours, theirs);
    });
  }

  test('has the fields of CLIENT LIST and INFO in their order', async () => {
    const fields = async (target: Target) => {
      const [list, info] = await callAll(target, linesOf('CLIENT LIST\nCLIENT INFO'));
      return [list!, info!].map(({ text }) => text!.split('\n')[0]!.replaceAll(/=\S*/g, ''));
    };
    const [theirs, ours] = await both(fields);
    // Of Redis 7.2.
    const later = ' lib-name lib-ver';
    assert.deepEqual(
      ours,
      theirs.map((line) => line + later),
    );
  });

  for (const resp of ['2', '3']) {
    test(`has the fields of MEMORY STATS and LATENCY HISTOGRAM over RESP${resp}`, async () => {
      const calls = linesOf(`HELLO ${resp}\nFLUSHALL\nSET a 1\nMEMORY STATS\nLATENCY HISTOGRAM set`);
      const shapes = async (target: Target) => (await callAll(target, calls)).slice(3).map(shapeOf);
      const [theirs, ours] = await both(shapes);
      assert.deepEqual(ours, theirs);
    });
  }

  test('finds and ends clients by what they are', async () => {
    const answers = async ({ host, port }: Target) => {
      const [listener, plain, asker] = await Promise.all([1, 2, 3].map(() => RespConnection.open(host, port)));
      const [[, , , id]] = [await listener!.call(linesOf('HELLO 3\nSUBSCRIBE c\nCLIENT SETNAME l\nCLIENT ID'))];
      await plain!.call(linesOf('CLIENT SETNAME p'));
      const asked = linesOf(`
        CLIENT LIST TYPE pubsub
        CLIENT LIST ID ${id!.text} ${id!.text}
        CLIENT KILL TYPE pubsub SKIPME no ADDR 1.2.3.4:5
        CLIENT KILL TYPE normal ID ${id!.text}
        CLIENT KILL TYPE PUBSUB ID ${id!.text}
        CLIENT LIST TYPE pubsub
        CLIENT KILL ID ${id!.text}
      `);
      const replies = await asker!.call(asked);
      for (const one of [listener, plain, asker]) one!.close();
      return replies.map(({ raw }) => raw.match(/ (name|flags|sub|psub|db|multi|resp)=\S*/g) ?? raw);
    };
    const [theirs, ours] = await both(answers);
    assert.deepEqual(ours, theirs);
  });

  test('keeps slow commands, and who sent them', async () => {
    const calls = linesOf(`
      CONFIG SET slowlog-log-slower-than 0
      SLOWLOG RESET
      CLIENT SETNAME joe
      SET a b
      AUTH x y
      MULTI
      SET k 1
      EXEC
      GET
      NOSUCH
      HELLO 2 AUTH default x SETNAME joe
      SADD set 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
      SLOWLOG GET 2
      SLOWLOG GET 100
      CONFIG SET slowlog-log-slower-than 10000
    `);
    const answers = async (target: Target) =>
      (await callAll(target, [...calls.slice(0, 8), ['SET', 'long', 'x'.repeat(200)], ...calls.slice(8)]))
        .slice(-3, -1)
        .map(({ items }) => items!.map(({ items: entry }) => slowEntry(entry!)));
    const [theirs, ours] = await both(answers);
    assert.deepEqual(ours, theirs);
  });

  test('tells of every command the arity, flags, ACL categories and keys that Redis does', async () => {
    const known = new Set(redisCommands().map(({ name }) => name));
    const names = [...ourCommands().keys()].filter((name) => known.has(name) && !LATER_ARITY.has(name));
    const [theirs, ours] = await both(async (target) => {
      const [reply] = await callAll(target, [['COMMAND', 'INFO', ...names]]);
      return reply!.items!.map((info, at) => [names[at], ...described(info)]);
    });
    assert.deepEqual(ours, theirs);
  });

  test('is shown by MONITOR in the same lines', async () => {
    const [theirs, ours] = await both(monitored);
    assert.deepEqual(ours, theirs);
  });
});

const shownReplies = async (target: Target, calls: readonly CommandLine[]): Promise<string[]> =>
  (await callAll(target, calls)).map((reply, at) => `${calls[at]!.join(' ')} -> ${shown(reply, calls[at]!)}`);

/** What has no order is put into one. */
function shown({ raw, items }: RawReply, [name, sub]: CommandLine): string {
  if (items === undefined || !(name === 'CONFIG' || sub === 'LIST')) return raw;
  const size = name === 'CONFIG' ? 2 : 1;
  const groups = Array.from({ length: items.length / size }, (_, at) =>
    items.slice(at * size, (at + 1) * size).map((item) => item.text),
  );
  return groups
    .map((group) => group.join('='))
    .sort()
    .join(' ');
}

/** The fields of INFO with the kind of what they have. */
async function infoOf(target: Target, calls: readonly CommandLine[]): Promise<ReadonlyMap<string, string>> {
  const replies = await callAll(target, calls);
  const fields = new Map<string, string>();
  for (const line of replies.at(-1)!.text!.split('\r\n')) {
    const [, field, value] = /^(\w[^:]*):(.*)$/.exec(line) ?? [];
    // What was called before the test differs.
    if (field !== undefined && !/^(cmdstat|latency_percentiles|errorstat)/.test(field))
      fields.set(field, kindOf(value!));
  }
  return fields;
}

function kindOf(value: string): string {
  if (/^-?\d+$/.test(value)) return 'integer';
  if (/^-?\d+\.\d+%?$/.test(value)) return 'fraction';
  return /^\d+(\.\d+)?[BKMGT]$/.test(value) ? 'size' : 'text';
}

/** Names as they are, numbers by their kind; what looks the same once, since there may be more of it. */
function shapeOf({ kind, text, items }: RawReply): unknown {
  if (items !== undefined) return [kind, ...new Set(items.map((item) => JSON.stringify(shapeOf(item))))];
  return /^[\d.e+-]+$/.test(text ?? '') ? kind : `${kind}${text}`;
}

/** An entry of the slow log without its number, moments and ports. */
const slowEntry = ([, , , args, address, name]: readonly RawReply[]): unknown => [
  args!.items!.map(({ text }) => text),
  address!.text!.replace(/:\d+$/, ''),
  name!.text,
];

/** They have options of a later Redis. */
const LATER_ARITY = new Set(['zrank', 'zrevrank']);

/** Arity, flags, ACL categories, key specifications. */
const described = ({ items }: RawReply): unknown[] => [
  items![1]!.text,
  ...[2, 6].map((at) => items![at]!.items!.map(({ text }) => text).sort()),
  // Key specifications, without the notes that some have.
  items![8]!.items!.map((spec) => spec.raw.replace(/^\*8\r\n\$5\r\nnotes\r\n\$\d+\r\n[^\r]*\r\n/, '*6\r\n')),
];

const WATCHED = linesOf(`
  SET a "x y"
  AUTH p
  HELLO 3 AUTH default p SETNAME joe
  HELLO 2
  MULTI
  SET k 1
  GET k
  PING
  EXEC
  MULTI
  SET k 1
  DISCARD
  EVAL "redis.call('set','x','1') redis.call('select',3) return redis.call('get',KEYS[1])" 1 x
  EVAL "return redis.pcall('nosuch')" 0
  EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
  CONFIG GET port
  SELECT 2
  GET a
  NOSUCH a
  GET
  CLIENT GETNAME
  CLIENT LIST
  SLOWLOG LEN
  INFO server
  KEYS *
  RESET
  ECHO last
`);

/** The lines that a client with MONITOR is shown, without moments and ports. */
async function monitored(target: Target): Promise<string[]> {
  const monitor = await RespConnection.open(target.host, target.port);
  await monitor.call([['MONITOR']]);
  await callAll(target, [...WATCHED.slice(0, 1), ['ECHO', 'a\u0000\n\r\t\u0007\b\\"\u00ff~'], ...WATCHED.slice(1)]);
  const lines: string[] = [];
  while (!lines.at(-1)?.includes('"last"')) {
    const [line] = await monitor.call([[]]);
    lines.push(line!.raw.replace(/^\+\d+\.\d{6} /, '').replace(/127\.0\.0\.1:\d+/, 'client'));
  }
  monitor.close();
  return lines;
}
