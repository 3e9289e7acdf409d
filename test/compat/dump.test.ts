/**
 * Payloads of DUMP go both ways between redis-server and kvorum, in every form that redis-server can be made to write, and in older ones that
 * it still reads.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { DEFAULT_BODY_LIMITS } from '../../src/adapter/redis/bodies/index.ts';
import { OLD_PAYLOADS } from '../adapter/redis/rdb/old-forms.ts';
import { skipWithout } from '../support/programs.ts';
import type { CommandLine, RawReply, RespConnection } from './resp-connection.ts';
import { SEED, seeded } from './seed.ts';
import { comparedTargets, connected, LARGE_FROM_THE_FIRST } from './targets.ts';

/** What makes redis-server choose another form than usual. */
const SETTINGS: readonly CommandLine[] = [
  [],
  ['hash-max-listpack-entries', '0', 'zset-max-listpack-entries', '0', 'set-max-intset-entries', '0'],
  ['hash-max-listpack-value', '4', 'zset-max-listpack-value', '4'],
  ['list-max-listpack-size', '4', 'list-compress-depth', '1'],
  ['list-max-listpack-size', '-1', 'rdbcompression', 'no'],
];
const USUAL: CommandLine = [
  ...['hash-max-listpack-entries', '512', 'hash-max-listpack-value', '64', 'set-max-intset-entries', '512'],
  ...['zset-max-listpack-entries', '128', 'zset-max-listpack-value', '64'],
  ...['list-max-listpack-size', '-2', 'list-compress-depth', '0', 'rdbcompression', 'yes'],
];

const word = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: -300, max: 70_000 }).map(String) },
  { weight: 2, arbitrary: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String) },
  { weight: 4, arbitrary: fc.string({ maxLength: 12 }).map((text) => Buffer.from(text).toString('latin1')) },
  { weight: 1, arbitrary: fc.constantFrom('', '\x00\xff', 'x'.repeat(70), 'ab'.repeat(300), '0123456789'.repeat(900)) },
);
const score = fc.oneof(
  fc.integer({ min: -1000, max: 1000 }).map(String),
  fc.double({ noNaN: true }).map((value) => String(value).replace('Infinity', 'inf')),
);
const many = <T>(element: fc.Arbitrary<T>) => fc.array(element, { minLength: 1, maxLength: 60 });

/** Commands that make a value at `k`. */
const made: fc.Arbitrary<CommandLine> = fc.oneof(
  word.map((value) => ['SET', 'k', value]),
  many(word).map((values) => ['RPUSH', 'k', ...values]),
  many(word).map((members) => ['SADD', 'k', ...members]),
  many(fc.integer({ min: -70_000, max: 70_000 }).map(String)).map((members) => ['SADD', 'k', ...members]),
  many(fc.tuple(word, word)).map((fields) => ['HSET', 'k', ...fields.flat()]),
  many(fc.tuple(word, word)).map((fields) => ['XADD', 'k', '1-1', ...fields.flat()]),
  many(fc.tuple(score, word)).map((members) => ['ZADD', 'k', ...members.flat()]),
);

const READS: Readonly<Record<string, CommandLine>> = {
  SET: ['GET', 'k'],
  RPUSH: ['LRANGE', 'k', '0', '-1'],
  SADD: ['SMEMBERS', 'k'],
  HSET: ['HGETALL', 'k'],
  ZADD: ['ZRANGE', 'k', '0', '-1', 'WITHSCORES'],
  XADD: ['XRANGE', 'k', '-', '+'],
};

/** A reply as it can be compared: members of sets and fields of hashes come in any order. */
function shown(command: CommandLine, { raw, items = [] }: RawReply): string {
  if (command[0] === 'SMEMBERS')
    return items
      .map((item) => item.raw)
      .sort()
      .join('');
  if (command[0] !== 'HGETALL') return raw;
  const pairs = items.flatMap((item, at) => (at % 2 === 0 ? [item.raw + items[at + 1]!.raw] : []));
  return pairs.sort().join('');
}

for (const [layout, bodyLimits] of [
  ['collections as usual', DEFAULT_BODY_LIMITS],
  ['collections in rows', LARGE_FROM_THE_FIRST],
] as const) {
  describe(`DUMP and RESTORE with redis-server, ${layout}`, { skip: skipWithout('redis-server') }, () => {
    const targets = comparedTargets(bodyLimits);
    let redis: RespConnection;
    let kvorum: RespConnection;
    before(async () => {
      [redis, kvorum] = await connected(targets);
    });
    after(() => {
      redis.close();
      kvorum.close();
    });

    const ask = async (server: RespConnection, ...command: string[]): Promise<RawReply> => {
      const [reply] = await server.call([command]);
      assert.notEqual(reply!.kind, '-', `${command.slice(0, 3).join(' ')}: ${reply!.text}`);
      return reply!;
    };

    /** Takes `k` from one server to the other, and compares what both then say. */
    async function carry(from: RespConnection, to: RespConnection, read: CommandLine): Promise<void> {
      const payload = (await ask(from, 'DUMP', 'k')).text!;
      await ask(to, 'RESTORE', 'k', '0', payload, 'REPLACE');
      const [theirs, ours] = await Promise.all([ask(from, ...read), ask(to, ...read)]);
      assert.equal(shown(read, ours), shown(read, theirs));
      assert.equal((await ask(to, 'TYPE', 'k')).text, (await ask(from, 'TYPE', 'k')).text);
    }

    for (const settings of SETTINGS) {
      test(
        seeded(`values go both ways when redis-server has ${settings.join(' ') || 'its usual settings'}`),
        async () => {
          await ask(redis, 'CONFIG', 'SET', ...USUAL);
          if (settings.length > 0) await ask(redis, 'CONFIG', 'SET', ...settings);
          await fc.assert(
            fc.asyncProperty(made, async (make) => {
              const read = READS[make[0]!]!;
              await Promise.all([redis.call([['DEL', 'k'], make]), kvorum.call([['DEL', 'k']])]);
              await carry(redis, kvorum, read);
              await redis.call([['DEL', 'k']]);
              await carry(kvorum, redis, read);
            }),
            { numRuns: 80, seed: SEED },
          );
          await ask(redis, 'CONFIG', 'SET', ...USUAL);
        },
      );
    }

    test('values of many elements go both ways', async () => {
      const numbers = Array.from({ length: 1_000 }, (_, nth) => `${nth * 7}`);
      for (const make of [
        ['RPUSH', 'k', ...numbers, 'y'.repeat(20_000), ...numbers],
        ['SADD', 'k', ...numbers, 'word'],
        ['HSET', 'k', ...numbers.flatMap((nth) => [`field ${nth}`, nth])],
        ['ZADD', 'k', ...numbers.flatMap((nth) => [nth, `member ${nth}`])],
        ['SET', 'k', 'a long text '.repeat(10_000)],
      ]) {
        await redis.call([['DEL', 'k'], make]);
        await carry(redis, kvorum, READS[make[0]!]!);
        await redis.call([['DEL', 'k']]);
        await carry(kvorum, redis, READS[make[0]!]!);
      }
    });

    test('streams go both ways with their groups', async () => {
      const made = [
        ...Array.from({ length: 250 }, (_, nth) => ['XADD', 'k', `${nth >> 2}-*`, nth % 3 === 0 ? 'f' : 'g', `${nth}`]),
        ['XDEL', 'k', '3-1', '0-1', '62-1'],
        ['XGROUP', 'CREATE', 'k', 'idle', '5'],
        ['XGROUP', 'CREATE', 'k', 'busy', '0'],
        ['XGROUP', 'CREATECONSUMER', 'k', 'busy', 'unused'],
        ...['one', 'other', 'one'].map((name) => [
          'XREADGROUP',
          'GROUP',
          'busy',
          name,
          'COUNT',
          '40',
          'STREAMS',
          'k',
          '>',
        ]),
        ['XACK', 'k', 'busy', '0-2', '5-1', '6-1', '9-3'],
        ['XDEL', 'k', '7-1', '20-2'],
      ];
      const reads = [
        ['XINFO', 'STREAM', 'k', 'FULL', 'COUNT', '0'],
        ['XINFO', 'GROUPS', 'k'],
        ['XPENDING', 'k', 'busy'],
      ];
      // The tree that Redis has of a stream that was carried is not that of one that has grown.
      const withoutTree = ({ items = [], raw }: RawReply): string =>
        items[2]?.text === 'radix-tree-keys'
          ? items
              .filter((_, at) => at < 2 || at > 5)
              .map((item) => item.raw)
              .join('')
          : raw;
      for (const [from, to] of [
        [redis, kvorum],
        [kvorum, redis],
      ] as const) {
        await Promise.all([from.call([['DEL', 'k']]), to.call([['DEL', 'k']])]);
        for (const line of made) await ask(from, ...line);
        await ask(to, 'RESTORE', 'k', '0', (await ask(from, 'DUMP', 'k')).text!);
        for (const read of reads)
          assert.equal(withoutTree(await ask(to, ...read)), withoutTree(await ask(from, ...read)));
      }
    });

    for (const [name, [payload, ...read]] of Object.entries(OLD_PAYLOADS)) {
      test(`both read an old form alike: ${name}`, async () => {
        const restore = ['RESTORE', 'k', '0', payload.toString('latin1'), 'REPLACE'];
        await Promise.all([ask(redis, ...restore), ask(kvorum, ...restore)]);
        const [theirs, ours] = await Promise.all([ask(redis, ...read), ask(kvorum, ...read)]);
        assert.equal(shown(read, ours), shown(read, theirs));
        assert.notEqual(theirs.raw, '*0\r\n');
      });
    }
  });
}
