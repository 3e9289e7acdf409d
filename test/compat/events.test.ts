/**
 * Events of keys: whoever listens to `__keyspace@*` and `__keyevent@*` hears from kvorum what it hears from a real redis-server, event by event, although
 * kvorum's commands are evaluated twice here. When a key is found to have expired is not compared, because Redis looks by chance.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { DEFAULT_BODY_LIMITS } from '../../src/adapter/redis/bodies/index.ts';
import { skipWithout } from '../support/programs.ts';
import { type CommandLine, callAll, RespConnection } from './resp-connection.ts';
import { SEED, seeded } from './seed.ts';
import { GROUPS, type Step, sequencesOf } from './sequences/index.ts';
import { comparedTargets, LARGE_FROM_THE_FIRST, type Target } from './targets.ts';

const RUNS = Math.ceil(Number(process.env.KVORUM_DIFFERENTIAL_RUNS ?? 200) / 10);
const ONLY = process.env.KVORUM_DIFFERENTIAL_GROUP;
const MAX_STEPS = 30;
const MARKER = 'marker';

/** A server, a client that changes keys, and one that listens. */
class Side {
  private readonly client: RespConnection;
  private readonly listener: RespConnection;
  private markers = 0;

  private constructor(client: RespConnection, listener: RespConnection) {
    this.client = client;
    this.listener = listener;
  }

  static async open({ host, port }: Target): Promise<Side> {
    const side = new Side(await RespConnection.open(host, port), await RespConnection.open(host, port));
    await side.listener.call([['PSUBSCRIBE', '__key*__:*']]);
    await side.listener.call([['SUBSCRIBE', MARKER]]);
    return side;
  }

  close(): void {
    this.client.close();
    this.listener.close();
  }

  /** Runs commands on an empty server. @returns for each, or for each transaction, its last reply and the events */
  async run(flags: string, commands: readonly CommandLine[]): Promise<{ reply: string; events: string[] }[]> {
    await this.client.call([['RESET'], ['FLUSHALL'], ['CONFIG', 'SET', 'notify-keyspace-events', flags]]);
    const lines: CommandLine[] = [];
    const marked: number[] = [];
    let isOpen = false;
    for (const command of commands) {
      lines.push(command);
      const name = command[0]!.toUpperCase();
      if (name === 'MULTI' && command.length === 1) isOpen = true;
      if (['EXEC', 'DISCARD'].includes(name) && command.length === 1) isOpen = false;
      if (isOpen) continue;
      marked.push(lines.length - 1);
      lines.push(['PUBLISH', MARKER, String(++this.markers)]);
    }
    const replies = await this.client.call(lines);
    const outcomes: { reply: string; events: string[] }[] = [];
    let events: string[] = [];
    while (outcomes.length < marked.length) {
      const { items = [] } = await this.listener.next();
      const [kind, ...rest] = items.map(({ text }) => text ?? '');
      if (kind === 'message') {
        outcomes.push({ reply: replies[marked[outcomes.length]!]!.raw, events });
        events = [];
      } else if (!rest[1]!.endsWith(':expired') && rest[2] !== 'expired') events.push(`${rest[1]} ${rest[2]}`);
    }
    return outcomes;
  }
}

/** What the server chooses, what stays on the connection, and what kvorum refuses. */
const LEFT_OUT =
  /^(spop|select|swapdb|hello|reset|flushall|flushdb|client|debug|config|quit|watch|subscribe|psubscribe|randomkey|keys|scan|dbsize|b[lrz].*)$/i;

const commandsOf = (steps: readonly Step[]): CommandLine[] =>
  steps.flatMap((step) => ('command' in step && !LEFT_OUT.test(step.command[0]!) ? [step.command] : []));

for (const [layout, bodyLimits] of [
  ['collections as usual', DEFAULT_BODY_LIMITS],
  ['collections in rows from the first element', LARGE_FROM_THE_FIRST],
] as const) {
  describe(`events of keys beside redis-server, ${layout}`, { skip: skipWithout('redis-server') }, () => {
    const targets = comparedTargets(bodyLimits);
    let sides: readonly [Side, Side];
    before(async () => {
      sides = [await Side.open(targets.reference), await Side.open(targets.tested)];
    });
    after(() => {
      for (const side of sides ?? []) side.close();
    });

    async function compare(flags: string, commands: readonly CommandLine[]): Promise<void> {
      const [expected, actual] = await Promise.all(sides.map((side) => side.run(flags, commands)));
      for (const [at, { reply, events }] of expected!.entries()) {
        // Redis' numbers out of range depend on what another command has left in C's `errno`.
        if (reply.includes("scores can't be converted")) return;
        const story = `${commands.map((line) => JSON.stringify(line)).join('\n')}\nredis: ${JSON.stringify(reply)}`;
        assert.deepEqual(actual![at]!.events, events, `events of outcome ${at} differ:\n${story}`);
      }
    }

    for (const group of GROUPS.filter(({ name }) => ONLY === undefined || ONLY === name)) {
      test(seeded(`are those of Redis: ${group.name}`), async () => {
        const sequences = sequencesOf(group, MAX_STEPS).map(commandsOf);
        await fc.assert(
          fc.asyncProperty(sequences, (commands) => compare('AKEn', commands)),
          { numRuns: RUNS, seed: SEED },
        );
      });
    }

    if (bodyLimits !== DEFAULT_BODY_LIMITS) return;

    test('are those of Redis where keys are looked for in vain', async () => {
      for (const line of SEARCHES) {
        await compare(
          'KEm',
          line.split('; ').map((command) => command.split(' ')),
        );
      }
    });

    test('come between databases, and only those that are asked for', async () => {
      const lines = ['SET a x EX 100', 'MOVE a 1', 'COPY a b DB 2', 'SET a y', 'COPY a b DB 2', 'RPUSH l 1', 'LPOP l'];
      const commands = [...lines, 'SADD s 1', 'SPOP s', 'HSET h a b', 'ZADD z 1 a', 'PERSIST a', 'DEL a h'];
      for (const flags of ['KEA', 'K$', 'El', 'Kg', 'EAn', 'KEs', 'A', 'KE', 'KEzh', 'Ex$'])
        await compare(
          flags,
          commands.map((command) => command.split(' ')),
        );
    });

    test('are set with the words of Redis', async () => {
      const values = ['KEA', 'AKE', 'g$lshzxetKEm', 'n', 'KEAmn', 'dKE', 'q', '', 'KEx', 'KK', 'E$e'];
      const script = values.flatMap((value): CommandLine[] => [
        ['CONFIG', 'SET', 'notify-keyspace-events', value],
        ['CONFIG', 'GET', 'notify-keyspace-events'],
      ]);
      const replies = await Promise.all(
        [targets.reference, targets.tested].map(async (target) =>
          (await callAll(target, script)).map(({ raw }) => raw),
        ),
      );
      assert.deepEqual(replies[1], replies[0]);
    });
  });
}

/** All commands that look for keys; there are none, or none of those that are named last. */
const SEARCHES: readonly string[] = [
  ...[
    'GET a',
    'MGET a b a',
    'EXISTS a a b',
    'TOUCH a',
    'TYPE a',
    'TTL a',
    'PTTL a',
    'EXPIRETIME a',
    'STRLEN a',
    'LCS a b',
  ],
  ...[
    'GETRANGE a 0 1',
    'BITCOUNT a',
    'BITPOS a 1',
    'GETBIT a 1',
    'BITFIELD_RO a GET u8 0',
    'HGET a b',
    'HMGET a b',
    'HGETALL a',
  ],
  ...[
    'HRANDFIELD a 2',
    'HSCAN a 0',
    'LLEN a',
    'LINDEX a 0',
    'LRANGE a 0 1',
    'LPOS a b',
    'SCARD a',
    'SMISMEMBER a b',
    'SMEMBERS a',
  ],
  ...[
    'SINTER a b',
    'SUNION a b',
    'SDIFF a b',
    'SINTERCARD 2 a b',
    'SRANDMEMBER a',
    'SSCAN a 0',
    'ZCARD a',
    'ZMSCORE a b',
  ],
  ...[
    'ZRANGE a 0 1',
    'ZRANGEBYSCORE a 0 1',
    'ZRANK a b',
    'ZUNION 2 a b',
    'ZINTER 2 a b',
    'ZDIFF 2 a b',
    'ZINTERCARD 2 a b',
  ],
  ...[
    'ZRANDMEMBER a 2',
    'GEOPOS a b',
    'GEODIST a b c',
    'GEOSEARCH a FROMLONLAT 1 1 BYRADIUS 1 m',
    'GEORADIUS_RO a 1 1 1 m',
  ],
  ...[
    'PFCOUNT a',
    'PFCOUNT a b',
    'DUMP a',
    'OBJECT ENCODING a',
    'OBJECT FREQ a',
    'OBJECT IDLETIME a',
    'MEMORY USAGE a',
    'SORT_RO a',
  ],
  ...[
    'SORT a',
    'SORT a STORE d',
    'SET a x GET',
    'SET a x NX',
    'SET b x XX',
    'GETSET a b',
    'GETDEL a',
    'GETEX a',
    'SETNX a b',
  ],
  ...[
    'APPEND a b',
    'INCR a',
    'SETBIT a 1 1',
    'BITOP AND d a b',
    'BITFIELD a GET u8 0',
    'BITFIELD a SET u8 0 1',
    'PFADD a',
  ],
  ...[
    'PFMERGE a b c',
    'LPUSH a b',
    'LPOP a',
    'LMPOP 2 a b LEFT',
    'LMOVE a b LEFT LEFT',
    'LREM a 0 b',
    'LTRIM a 0 1',
    'SREM a b',
  ],
  ...[
    'SMOVE a b c',
    'SUNIONSTORE d a b',
    'SINTERSTORE d a b',
    'SDIFFSTORE d a b',
    'HDEL a b',
    'HINCRBY a b 1',
    'ZREM a b',
  ],
  ...[
    'ZPOPMIN a',
    'ZMPOP 2 a b MIN',
    'ZUNIONSTORE d 2 a b',
    'ZINTERSTORE d 2 a b',
    'ZDIFFSTORE d 2 a b',
    'ZRANGESTORE d a 0 1',
  ],
  ...[
    'ZREMRANGEBYRANK a 0 1',
    'GEOSEARCHSTORE d a FROMLONLAT 1 1 BYRADIUS 1 m',
    'GEORADIUS a 1 1 1 m',
    'GEORADIUS a 1 1 1 m STORE d',
  ],
  ...['DEL a', 'COPY a b', 'MOVE a 1', 'EXPIRE a 1', 'PERSIST a', 'RPUSH l 1 2; SORT l BY w_* GET g_* GET #'],
  ...['RPUSH l 1; SORT_RO l BY w_*->f', 'XLEN a', 'XRANGE a - +', 'XDEL a 1-1', 'XADD a NOMKSTREAM * f v'],
];
