/**
 * Several clients that keep keys must be told by kvorum what a real redis-server tells them: replies, who is told of which keys because of what one of them
 * does, and what INFO counts. `KVORUM_DIFFERENTIAL_RUNS` sets the number of sequences, `KVORUM_DIFFERENTIAL_SEED` replays.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { skipWithout } from '../support/programs.ts';
import { type CommandLine, type RawReply, RespConnection } from './resp-connection.ts';
import { SEED, seeded } from './seed.ts';
import { comparedTargets, type Target } from './targets.ts';

const RUNS = Number(process.env.KVORUM_DIFFERENTIAL_RUNS ?? 60);
const CLIENTS = 3;
const MAX_STEPS = 30;
const FIRST_ID = 100;
const KEYS = ['s1', 's2', 'l1', 'h1', '\xc3\xa9{}'];

/** What one client sends in one go, or `leave`: it is cut off, and another one comes in its place. `@n` stands for the number of client n. */
interface Step {
  readonly client: number;
  readonly commands: readonly CommandLine[] | 'leave';
}

const string = fc.constantFrom('s1', 's2', '\xc3\xa9{}');
const anyKey = fc.constantFrom(...KEYS);
const value = fc.nat({ max: 9 }).map(String);

const reading: fc.Arbitrary<CommandLine> = fc.oneof(
  string.map((key) => ['GET', key]),
  fc.tuple(string, string).map((keys) => ['MGET', ...keys]),
  anyKey.map((key) => ['EXISTS', key, 's1']),
  anyKey.map((key) => ['TTL', key]),
  anyKey.map((key) => ['TYPE', key]),
  fc.constantFrom<CommandLine>(
    ...[
      ['LRANGE', 'l1', '0', '-1'],
      ['HGETALL', 'h1'],
      ['GET', 'l1'],
      ['LLEN', 'l1'],
      ['HGET', 'h1', 'f'],
    ],
    ['GETRANGE', 's1', '0', '1'],
  ),
  anyKey.map((key) => ['EVAL', 'return redis.call("EXISTS", KEYS[1])', '1', key]),
  // What a script reads and does not name is not kept.
  anyKey.map((key) => ['EVAL', `return redis.call("EXISTS", "${key}")`, '0']),
  anyKey.map((key) => ['EVAL_RO', 'return redis.call("TYPE", KEYS[1])', '1', key]),
);

const ofKeys: fc.Arbitrary<CommandLine> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(string, value).map((args) => ['SET', ...args]) },
  { weight: 2, arbitrary: fc.array(anyKey, { minLength: 1, maxLength: 2 }).map((keys) => ['DEL', ...keys]) },
  { weight: 1, arbitrary: fc.tuple(string, value).map((args) => ['SET', ...args, 'XX']) },
  { weight: 1, arbitrary: fc.tuple(string, value, string, value).map((args) => ['MSET', ...args]) },
  { weight: 1, arbitrary: string.map((key) => ['APPEND', key, 'x']) },
  { weight: 1, arbitrary: value.map((one) => ['RPUSH', 'l1', one]) },
  { weight: 1, arbitrary: fc.constant<CommandLine>(['LPOP', 'l1']) },
  { weight: 1, arbitrary: fc.constant<CommandLine>(['HINCRBY', 'h1', 'f', '1']) },
  { weight: 1, arbitrary: fc.tuple(anyKey, fc.constantFrom('100000', '-1')).map((args) => ['EXPIRE', ...args]) },
  { weight: 1, arbitrary: anyKey.map((key) => ['PERSIST', key]) },
  { weight: 1, arbitrary: fc.tuple(string, string).map((keys) => ['RENAME', ...keys]) },
  { weight: 1, arbitrary: string.map((key) => ['GETDEL', key]) },
  {
    weight: 1,
    arbitrary: string.map((key) => [
      'EVAL',
      'redis.call("GET", KEYS[1]) return redis.call("SET", KEYS[1], "e")',
      '1',
      key,
    ]),
  },
);
const writing = fc.oneof(
  { weight: 20, arbitrary: ofKeys },
  { weight: 1, arbitrary: fc.constantFrom<CommandLine>(['FLUSHALL'], ['FLUSHDB']) },
);

const option = fc.oneof(
  fc.constantFrom(['BCAST'], ['OPTIN'], ['OPTOUT'], ['NOLOOP'], ['noloop'], ['PREFIX'], ['REDIRECT'], ['other']),
  fc.constantFrom('@0', '@1', '@2', '0', '999', 'x').map((id) => ['REDIRECT', id]),
  fc.constantFrom('s', 's1', 'l', '', 'h', '\xc3\xa9').map((prefix) => ['BCAST', 'PREFIX', prefix]),
);
/** Redis answers twice when the third prefix fits the second: it refuses that and accepts it. */
const hasFewPrefixes = (options: readonly string[]): boolean => options.filter((word) => word === 'PREFIX').length <= 2;
const switching: fc.Arbitrary<CommandLine> = fc
  .oneof(
    {
      weight: 3,
      arbitrary: fc.constantFrom<string[]>([], ['NOLOOP'], ['OPTIN'], ['OPTOUT'], ['BCAST'], ['BCAST', 'NOLOOP']),
    },
    {
      weight: 3,
      arbitrary: fc
        .array(option, { maxLength: 3 })
        .map((options) => options.flat())
        .filter(hasFewPrefixes),
    },
  )
  .map((options) => ['CLIENT', 'TRACKING', 'ON', ...options]);
const about: fc.Arbitrary<CommandLine> = fc.constantFrom<CommandLine>(
  ...[
    ['CLIENT', 'TRACKINGINFO'],
    ['CLIENT', 'GETREDIR'],
    ['CLIENT', 'TRACKING', 'OFF'],
    ['CLIENT', 'TRACKING', 'OFF', 'REDIRECT', '999'],
    ['CLIENT', 'TRACKING', 'maybe'],
    ['CLIENT', 'TRACKING'],
    ['CLIENT', 'CACHING', 'YES'],
    ['CLIENT', 'CACHING', 'NO'],
    ['CLIENT', 'CACHING', 'maybe'],
    ['CLIENT', 'CACHING'],
    ['CONFIG', 'GET', 'tracking-table-max-keys'],
    ['CONFIG', 'SET', 'tracking-table-max-keys', '-1'],
    ['INFO', 'everything'],
    ['CLIENT', 'LIST'],
    ['HELLO', '3'],
    ['HELLO', '2'],
    ['RESET'],
    ['SUBSCRIBE', '__redis__:invalidate'],
    ['UNSUBSCRIBE'],
  ],
);
const caching: fc.Arbitrary<readonly CommandLine[]> = fc
  .tuple(fc.constantFrom('YES', 'NO'), fc.oneof(reading, about), reading)
  .map(([word, first, second]) => [['CLIENT', 'CACHING', word], first, second]);

/** What is compared in part is looked at alone, and kvorum keeps what is read behind TRACKING OFF of the same transaction. */
const mayBeQueued = ([name, subcommand]: CommandLine): boolean =>
  name !== 'HELLO' && name !== 'INFO' && subcommand !== 'LIST' && subcommand !== 'TRACKING';

/** In one go a client reads before it writes: kvorum notes what it is about to read when it comes in. */
const sent: fc.Arbitrary<readonly CommandLine[] | 'leave'> = fc.oneof(
  { weight: 8, arbitrary: reading.map((command) => [command]) },
  { weight: 8, arbitrary: writing.map((command) => [command]) },
  { weight: 6, arbitrary: switching.map((command) => [command]) },
  { weight: 4, arbitrary: about.map((command) => [command]) },
  { weight: 6, arbitrary: caching },
  {
    weight: 1,
    arbitrary: caching.map((commands) => [['MULTI'], ...commands.filter(mayBeQueued), ['EXEC']]),
  },
  {
    weight: 1,
    arbitrary: caching.map(([said, ...commands]) => [said!, ['MULTI'], ...commands.filter(mayBeQueued), ['EXEC']]),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.array(reading, { maxLength: 2 }), fc.array(ofKeys, { maxLength: 2 }))
      .map(([reads, writes]) => [['MULTI'], ...reads, ...writes, ['EXEC']]),
  },
  { weight: 1, arbitrary: fc.constant('leave' as const) },
);
const step: fc.Arbitrary<Step> = fc.record(
  { client: fc.nat({ max: CLIENTS - 1 }), commands: sent },
  { noNullPrototype: true },
);

/** Most sequences begin with clients that keep keys and hear what they are told. */
const beginnings: fc.Arbitrary<readonly Step[]> = fc
  .tuple(
    ...Array.from({ length: CLIENTS }, (_, client) =>
      fc.constantFrom<string[]>([], ['OPTIN'], ['OPTIN'], ['OPTOUT'], ['NOLOOP'], ['BCAST', 'PREFIX', 's']).map(
        (options): Step => ({
          client,
          commands: [
            ['HELLO', '3'],
            ['CLIENT', 'TRACKING', 'ON', ...options],
          ],
        }),
      ),
    ),
  )
  .chain((all) => fc.subarray(all));
const story = fc
  .tuple(beginnings, fc.array(step, { minLength: 5, maxLength: MAX_STEPS }))
  .map(([first, then]) => withoutTornReplies([...first, ...then]));

/** Redis puts what a client is told in place of another one into the middle of its EXEC's reply. */
function withoutTornReplies(steps: readonly Step[]): readonly Step[] {
  const words = steps.flatMap(({ commands }) => (commands === 'leave' ? [] : commands.flat()));
  return steps.filter(({ client, commands }) => commands[0]?.[0] !== 'MULTI' || !words.includes(`@${client}`));
}

/** What a step brings one client. */
interface Heard {
  readonly replies: readonly string[];
  /** Keys that it is told of, and whether it is told to forget everything: in any order, however often. */
  readonly told: readonly string[];
}

/** Clients of one server. */
class Keepers {
  private readonly target: Target;
  private readonly clients: RespConnection[] = [];
  private readonly ids: string[] = [];
  /** The names of all clients that were ever there. */
  private readonly names = new Map<string, string>();
  private pings = 0;

  private constructor(target: Target) {
    this.target = target;
  }

  static async open(target: Target): Promise<Keepers> {
    const keepers = new Keepers(target);
    for (let nth = 0; nth <= CLIENTS; nth++) await keepers.enter(nth);
    // While somebody keeps keys nothing is forgotten of those who do not any more.
    await keepers.clients[CLIENTS]!.call([
      ['FLUSHALL'],
      ['CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', 'nothing begins so'],
    ]);
    return keepers;
  }

  private async enter(nth: number): Promise<void> {
    for (;;) {
      const client = await RespConnection.open(this.target.host, this.target.port);
      const id = (await client.call([['CLIENT', 'ID']]))[0]!.text!;
      this.clients[nth] = client;
      this.ids[nth] = id;
      // Small numbers are lengths and values.
      if (Number(id) >= FIRST_ID) break;
      client.abort();
    }
    this.names.set(this.ids[nth]!, `@${nth}.${this.names.size}`);
  }

  private async leave(nth: number): Promise<void> {
    this.clients[nth]!.abort();
    const other = this.clients[CLIENTS]!;
    for (;;) {
      const [list] = await other.call([['CLIENT', 'LIST', 'ID', this.ids[nth]!]]);
      if (list!.text === '') break;
    }
    await this.enter(nth);
  }

  async run({ client, commands }: Step): Promise<Heard[]> {
    const heard: Heard[] = [];
    if (commands === 'leave') await this.leave(client);
    const own = commands === 'leave' ? [] : commands;
    heard[client] = await this.upToPing(client, own);
    for (let nth = 0; nth < CLIENTS; nth++) if (nth !== client) heard[nth] = await this.upToPing(nth, []);
    return heard;
  }

  private async upToPing(nth: number, commands: readonly CommandLine[]): Promise<Heard> {
    const token = `ping ${this.pings++}`;
    const lines = commands.map((command) =>
      command.map((word) => (/^@\d$/.test(word) ? this.ids[Number(word[1])]! : word)),
    );
    const client = this.clients[nth]!;
    let unanswered = lines.length;
    const all = [
      ...(await client.callUpTo(lines, (reply) => toldBy(reply) === undefined && --unanswered === 0)),
      // Then another one: kvorum tells at the end of a turn, behind its replies, and a long turn leaves that to the next one.
      ...(await client.callUpTo([['PING', token]], ({ text, items }) => text === token || items?.[1]?.text === token)),
    ];
    const replies: string[] = [];
    const told = new Set<string>();
    for (const reply of all) {
      const keys = toldBy(reply);
      if (keys === undefined) replies.push(this.comparable(reply));
      else for (const key of keys) told.add(this.names.get(key) ?? key);
    }
    return { replies, told: [...told].toSorted() };
  }

  private comparable({ raw, text }: RawReply): string {
    if (text?.includes('tracking_clients') === true) return text.match(/tracking_\w+:\d+/g)!.join();
    if (text?.includes('redir=') === true) {
      const lines = text
        .split('\n')
        .flatMap((line) => /(^id=\d+|flags=\w+|redir=-?\d+|resp=\d)/g[Symbol.match](line)?.join(' ') ?? []);
      return lines
        .map((line) => line.replace(/\d{3,}/g, (id) => this.names.get(id) ?? id))
        .toSorted()
        .join('\n');
    }
    return raw.replace(/:(\d+)\r\n/g, (whole, id: string) =>
      this.names.has(id) ? `:${this.names.get(id)}\r\n` : whole,
    );
  }

  async close(): Promise<void> {
    for (const client of this.clients) {
      await client.callUpTo([['RESET']], ({ raw }) => raw === '+RESET\r\n');
      client.abort();
    }
  }
}

/** Keys of an invalidation, `*` for all, or who is gone; undefined for replies. */
function toldBy({ kind, items }: RawReply): readonly string[] | undefined {
  const word = items?.[0]?.text;
  const body = items?.at(-1);
  if (kind === '>' && word === 'tracking-redir-broken') return ['broken', body!.text!];
  const isInvalidation =
    (kind === '>' && word === 'invalidate') || (word === 'message' && items?.[1]?.text === '__redis__:invalidate');
  if (!isInvalidation) return undefined;
  return body!.items?.map(({ text }) => text!) ?? ['*'];
}

describe('clients that keep keys', { skip: skipWithout('redis-server') }, () => {
  const targets = comparedTargets();

  test(seeded('are told what they are told by Redis'), async () => {
    await fc.assert(
      fc.asyncProperty(story, async (steps) => {
        const [expected, actual] = [await Keepers.open(targets.reference), await Keepers.open(targets.tested)];
        try {
          for (const [at, one] of steps.entries()) {
            const soFar = JSON.stringify(steps.slice(0, at + 1));
            assert.deepEqual(await actual.run(one), await expected.run(one), soFar);
          }
        } finally {
          await expected.close();
          await actual.close();
        }
      }),
      { numRuns: RUNS, seed: SEED },
    );
  });
});
