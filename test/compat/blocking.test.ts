/**
 * Clients that wait for keys while another one writes them: they must get the replies that redis-server gives, byte by byte, whatever command wrote
 * the key. `KVORUM_DIFFERENTIAL_RUNS` sets the number of random cases.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { skipWithout } from '../support/programs.ts';
import { type CommandLine, callAll, RespConnection } from './resp-connection.ts';
import { SEED, seeded } from './seed.ts';
import { comparedTargets, type Target } from './targets.ts';

const RUNS = Number(process.env.KVORUM_DIFFERENTIAL_RUNS ?? 40);

/** What waits, one command a client, and what another client does then. */
interface Case {
  readonly waiters: readonly CommandLine[];
  readonly writer: readonly CommandLine[];
}

const KEYS = ['a', 'b', 'c', 's', 'z'];

const list = (...steps: string[]): CommandLine[] => steps.map((step) => step.split(' '));

/** The clients of one server. */
class Side {
  private readonly target: Target;
  private writer!: RespConnection;
  private readonly waiters: RespConnection[] = [];
  private readonly ids: string[] = [];

  constructor(target: Target) {
    this.target = target;
  }

  async open(waiters: number): Promise<void> {
    const { host, port } = this.target;
    this.writer = await RespConnection.open(host, port);
    for (let nth = 0; nth < waiters; nth++) {
      const waiter = await RespConnection.open(host, port);
      const [id] = await waiter.call([['CLIENT', 'ID']]);
      this.waiters.push(waiter);
      this.ids.push(id!.text!);
    }
  }

  close(): void {
    for (const one of [this.writer, ...this.waiters]) one.close();
  }

  /** @returns the replies of the waiters, of the writer, and what is stored in the end */
  async run({ waiters, writer }: Case, resp: 2 | 3): Promise<string[]> {
    await this.writer.call([['FLUSHALL'], ['HELLO', String(resp)]]);
    const replies: Promise<string>[] = [];
    for (const [nth, command] of waiters.entries()) {
      const waiter = this.waiters[nth]!;
      await waiter.call([['HELLO', String(resp)]]);
      let isAnswered = false;
      replies.push(
        waiter.call([command]).then(([reply]) => {
          isAnswered = true;
          return `${command.join(' ')}: ${reply!.raw}`;
        }),
      );
      while (!isAnswered && !(await this.isBlocked(nth)));
    }
    const written = await this.writer.call(writer);
    for (const id of this.ids.slice(0, waiters.length)) await this.writer.call([['CLIENT', 'UNBLOCK', id]]);
    const got = await Promise.all(replies);
    const stored = await this.writer.call(
      KEYS.flatMap((key) => list(`TYPE ${key}`, `LRANGE ${key} 0 -1`, `ZRANGE ${key} 0 -1`)),
    );
    return [...got, ...written.map(({ raw }) => raw), ...stored.map(({ raw }) => raw)];
  }

  private async isBlocked(nth: number): Promise<boolean> {
    const [line] = await this.writer.call([['CLIENT', 'LIST', 'ID', this.ids[nth]!]]);
    return / flags=b /.test(line!.text!);
  }
}

const MAX_WAITERS = 3;

describe('clients that wait, compared with redis-server', { skip: skipWithout('redis-server') }, () => {
  const targets = comparedTargets();
  let sides: readonly Side[];

  before(async () => {
    sides = [new Side(targets.reference), new Side(targets.tested)];
    await Promise.all(sides.map((side) => side.open(MAX_WAITERS)));
  });
  after(() => {
    for (const side of sides ?? []) side.close();
  });

  async function same(one: Case, resp: 2 | 3 = 2): Promise<void> {
    const [expected, actual] = await Promise.all(sides.map((side) => side.run(one, resp)));
    assert.deepEqual(actual, expected, JSON.stringify(one));
  }

  /** Ways to bring a list about in `a`, and a sorted set in `z`. */
  const creations: Readonly<Record<'a' | 'z', readonly (readonly CommandLine[])[]>> = {
    a: [
      list('LPUSH a 1 2'),
      list('RPUSH a 1 2'),
      list('RPUSH b 1 2', 'RENAME b a'),
      list('RPUSH b 1 2', 'RENAMENX b a'),
      list('RPUSH b 1 2', 'COPY b a'),
      list('SELECT 1', 'RPUSH a 1', 'MOVE a 0', 'SELECT 0'),
      list('RPUSH b 1 2', 'LMOVE b a LEFT RIGHT'),
      list('RPUSH b 1 2', 'RPOPLPUSH b a'),
      list('RPUSH b 1 2', 'BLMOVE b a LEFT RIGHT 0'),
      list('RPUSH b 1 2', 'BRPOPLPUSH b a 0'),
      list('RPUSH b 2 1', 'SORT b STORE a'),
      [['EVAL', "redis.call('RPUSH', 'a', '1') redis.call('RPUSH', 'a', '2') return redis.call('LLEN', 'a')", '0']],
      list('MULTI', 'RPUSH a 0', 'DEL a', 'RPUSH a 1 2', 'EXEC'),
      list('MULTI', 'SET a x', 'DEL a', 'LPUSH a 1', 'LPUSH a 2', 'EXEC'),
      list('SET a x', 'DEL a', 'RPUSH a 1'),
    ],
    z: [
      list('ZADD z 1 m 2 n'),
      list('ZINCRBY z 2 m'),
      list('ZADD z INCR 2 m'),
      list('ZADD b 1 m', 'RENAME b z'),
      list('ZADD b 1 m', 'COPY b z'),
      list('ZADD b 1 m 2 n', 'ZRANGESTORE z b 0 -1'),
      list('ZADD b 1 m 2 n', 'ZUNIONSTORE z 1 b'),
      list('ZADD b 1 m 2 n', 'ZINTERSTORE z 1 b'),
      list('ZADD b 1 m 2 n', 'ZDIFFSTORE z 2 b c'),
      list('GEOADD z 13 38 m'),
      list('GEOADD b 13 38 m', 'GEOSEARCHSTORE z b FROMLONLAT 13 38 BYRADIUS 1 km'),
      list('GEOADD b 13 38 m', 'GEORADIUS b 13 38 1 km STORE z'),
      list('GEOADD b 13 38 m', 'GEORADIUSBYMEMBER b m 1 km STORE z'),
      list('SELECT 1', 'ZADD z 1 m', 'MOVE z 0', 'SELECT 0'),
      [['EVAL', "return redis.call('ZADD', 'z', '1', 'm')", '0']],
      list('MULTI', 'ZADD z 1 m', 'ZREM z m', 'ZADD z 2 n', 'EXEC'),
    ],
  };

  for (const [key, waiter] of [
    ['a', 'BLPOP b2 a 0'],
    ['z', 'BZPOPMIN z2 z 0'],
  ] as const) {
    for (const writer of creations[key]) {
      test(`${writer.map((command) => command.join(' ').slice(0, 60)).join('; ')} wakes ${waiter}`, () =>
        same({ waiters: [waiter.split(' '), waiter.split(' ')], writer }));
    }
  }

  for (const waiter of [
    'BLPOP a 0',
    'BRPOP a 0',
    'BLMOVE a c LEFT RIGHT 0',
    'BRPOPLPUSH a c 0',
    'BLMPOP 0 2 c a LEFT COUNT 3',
    'BLMPOP 0 1 a RIGHT',
  ]) {
    test(`${waiter} gets what is pushed, in both protocols`, async () => {
      for (const resp of [2, 3] as const)
        await same({ waiters: [waiter.split(' '), ['BLPOP', 'a', '0']], writer: list('RPUSH a 1 2 3') }, resp);
    });
  }

  for (const waiter of ['BZPOPMIN z 0', 'BZPOPMAX z 0', 'BZMPOP 0 2 c z MIN COUNT 3', 'BZMPOP 0 1 z MAX']) {
    test(`${waiter} gets what is added, in both protocols`, async () => {
      for (const resp of [2, 3] as const)
        await same(
          { waiters: [waiter.split(' '), ['BZPOPMIN', 'z', '0']], writer: list('ZADD z 1.5 m 2 n 3 o') },
          resp,
        );
    });
  }

  test('RESTORE wakes BLPOP and BZPOPMIN', async () => {
    const dumps = await callAll(targets.reference, [
      ['RPUSH', 'x', '1', '2'],
      ['ZADD', 'y', '1', 'm'],
      ['DUMP', 'x'],
      ['DUMP', 'y'],
    ]);
    const writer = ['a', 'z'].map((key, nth) => ['RESTORE', key, '0', dumps[2 + nth]!.text!]);
    await same({ waiters: list('BLPOP a 0', 'BZPOPMIN z 0', 'BRPOP a 0'), writer });
  });

  const stories: readonly (readonly [what: string, story: Case])[] = [
    [
      'a key of another type is passed over, and the target of BLMOVE is not',
      {
        waiters: list('BLPOP a b 0', 'BLMOVE a s LEFT LEFT 0', 'BZPOPMIN a 0'),
        writer: list('SET a x', 'SET s x', 'RPUSH b 1', 'DEL a', 'RPUSH a 1 2'),
      },
    ],
    [
      'the key that became ready first is taken',
      { waiters: list('BLPOP a b 0'), writer: list('MULTI', 'RPUSH b 1', 'RPUSH a 2', 'EXEC') },
    ],
    [
      'one BLMOVE feeds the next',
      { waiters: list('BLPOP c 0', 'BLMOVE b c LEFT LEFT 0', 'BLMOVE a b LEFT LEFT 0'), writer: list('RPUSH a 1') },
    ],
    ['a list turns round', { waiters: list('BLMOVE a a LEFT RIGHT 0', 'BLPOP a 0'), writer: list('RPUSH a 1 2') }],
    [
      'those who wait for a list do not stand behind those who wait for a sorted set',
      { waiters: list('BZPOPMIN a 0', 'BLPOP a 0'), writer: list('RPUSH a 1', 'ZADD a 1 m') },
    ],
    [
      'what a transaction takes back wakes nobody',
      { waiters: list('BLPOP a 0'), writer: list('MULTI', 'RPUSH a 1', 'LPOP a', 'EXEC', 'LLEN a') },
    ],
  ];
  for (const [what, story] of stories) test(what, () => same(story));

  const key = fc.constantFrom('a', 'b', 'c');
  const end = fc.constantFrom('LEFT', 'RIGHT');
  const waiting = fc.oneof(
    fc.tuple(fc.constantFrom('BLPOP', 'BRPOP', 'BZPOPMIN', 'BZPOPMAX'), key, key).map((parts) => [...parts, '0']),
    fc.tuple(key, key, end, end).map((parts) => ['BLMOVE', ...parts, '0']),
    fc
      .tuple(key, key, end, fc.constantFrom('1', '2'))
      .map(([one, other, side, count]) => ['BLMPOP', '0', '2', one, other, side, 'COUNT', count]),
    fc.tuple(key, fc.constantFrom('MIN', 'MAX')).map(([one, side]) => ['BZMPOP', '0', '1', one, side]),
  );
  const writing = fc.oneof(
    fc.tuple(fc.constantFrom('RPUSH', 'LPUSH'), key, fc.constantFrom('1', '2')).map((parts) => [...parts, 'x']),
    fc.tuple(key).map(([one]) => ['ZADD', one, '1', 'm', '2', 'n']),
    fc.tuple(key).map(([one]) => ['SET', one, 'x']),
    fc.tuple(key).map(([one]) => ['DEL', one]),
    fc.tuple(key, key).map(([one, other]) => ['RENAME', one, other]),
    fc.tuple(key, key).map(([one, other]) => ['COPY', one, other, 'REPLACE']),
    fc.tuple(key, key, end, end).map((parts) => ['LMOVE', ...parts]),
    fc.tuple(key).map(([one]) => ['LPOP', one]),
    fc
      .tuple(key)
      .map(([one]) => ['EVAL', "redis.call('RPUSH', KEYS[1], 'e') return redis.call('LPOP', KEYS[1])", '1', one]),
  );
  const cases = fc.record({
    waiters: fc.array(waiting, { minLength: 1, maxLength: MAX_WAITERS }),
    writer: fc
      .tuple(fc.array(writing, { minLength: 1, maxLength: 6 }), fc.boolean())
      .map(([commands, isAtOnce]) => (isAtOnce ? [['MULTI'], ...commands, ['EXEC']] : commands)),
  });

  test(seeded('random waiters and random writes'), async () => {
    await fc.assert(
      fc.asyncProperty(cases, fc.constantFrom<2 | 3>(2, 3), (one, resp) => same(one, resp)),
      { numRuns: RUNS, seed: SEED },
    );
  });
});
