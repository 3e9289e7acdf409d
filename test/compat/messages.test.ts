/**
 * Several clients that listen and publish must see the same bytes from kvorum as from a real redis-server: replies, messages between them, and what a
 * client may do while it listens. After each command every client sends a PING with a text of its own; what comes before its answer belongs to the
 * command. `KVORUM_DIFFERENTIAL_RUNS` sets the number of sequences, `KVORUM_DIFFERENTIAL_SEED` replays.
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
const MAX_STEPS = 25;

interface Step {
  readonly client: number;
  /** Sent in one go. */
  readonly commands: readonly CommandLine[];
}

const channel = fc.constantFrom('a', 'b', 'ab', 'a*', '', '\x00\xff\r\n', 'c[');
const pattern = fc.constantFrom('a', 'a*', '*', '?', '[ab]', '\\a', 'a\\*', '\x00*', '\xff*', '[^a]*', 'c[', '');
const message = fc.constantFrom('m', '', '\r\n\x00\xff', 'x'.repeat(300));
const some = (name: fc.Arbitrary<string>): fc.Arbitrary<string[]> => fc.array(name, { maxLength: 3 });
const published = fc.tuple(channel, message);
const perhaps = (name: fc.Arbitrary<string>): fc.Arbitrary<string[]> => fc.array(name, { maxLength: 1 });
const inScript = (name: string): readonly string[] => ['EVAL', `return redis.call('${name}', ARGV[1], ARGV[2])`, '0'];

const listening: fc.Arbitrary<CommandLine> = fc.oneof(
  some(channel).map((names) => ['SUBSCRIBE', ...names]),
  some(pattern).map((names) => ['PSUBSCRIBE', ...names]),
  some(channel).map((names) => ['SSUBSCRIBE', ...names]),
  some(channel).map((names) => ['UNSUBSCRIBE', ...names]),
  some(pattern).map((names) => ['PUNSUBSCRIBE', ...names]),
  some(channel).map((names) => ['SUNSUBSCRIBE', ...names]),
);
const other: fc.Arbitrary<CommandLine> = fc.oneof(
  published.map((args) => ['PUBLISH', ...args]),
  published.map((args) => ['PUBLISH', ...args]),
  published.map((args) => ['SPUBLISH', ...args]),
  published.map((args) => [...inScript('PUBLISH'), ...args]),
  published.map((args) => [...inScript('SPUBLISH'), ...args]),
  perhaps(pattern).map((args) => ['PUBSUB', 'CHANNELS', ...args]),
  perhaps(pattern).map((args) => ['PUBSUB', 'SHARDCHANNELS', ...args]),
  some(channel).map((names) => ['PUBSUB', 'NUMSUB', ...names]),
  some(channel).map((names) => ['PUBSUB', 'SHARDNUMSUB', ...names]),
  fc.constantFrom(
    ...[['PUBSUB', 'NUMPAT'], ['PUBSUB', 'NUMPAT', 'x'], ['PUBSUB'], ['PUBSUB', 'nothing'], ['PUBLISH', 'a']],
    ...[['PUBSUB', 'CHANNELS', 'a', 'b'], ['RESET'], ['HELLO', '3'], ['HELLO', '2'], ['EXEC'], ['GET', 'k']],
    ...[['PING'], ['PING', 'x', 'y'], ['nothing'], ['CLIENT', 'GETNAME'], ['SET', 'k', 'v'], ['SELECT', '1']],
    ...[
      ['EVAL_RO', ...inScript('PUBLISH').slice(1), 'a', 'b'],
      ['EVAL', 'return redis.call("SUBSCRIBE", "a")', '0'],
    ],
    ...[['CONFIG', 'GET', 'client-output-buffer-limit']],
  ),
);
const limits = fc.constantFrom(
  ...[
    '',
    'pubsub 1 2',
    'pubsub 32mb 8mb 60',
    'foo 1 2 3',
    'replica 1 2 3 pubsub x 1 1',
    'pubsub 1 2 -3',
    'normal 0 0 0',
  ],
);

/** What a client sends in one go. A transaction that publishes does not listen: Redis puts such messages inside its reply. */
const sent: fc.Arbitrary<readonly CommandLine[]> = fc.oneof(
  { weight: 5, arbitrary: listening.map((command) => [command]) },
  { weight: 6, arbitrary: other.map((command) => [command]) },
  { weight: 1, arbitrary: listening.map((command) => [['CLIENT', 'REPLY', 'SKIP'], command]) },
  { weight: 1, arbitrary: limits.map((text) => [['CONFIG', 'SET', 'client-output-buffer-limit', text]]) },
  {
    weight: 1,
    arbitrary: fc.tuple(listening, listening).map((commands) => [['MULTI'], ['GET', 'k'], ...commands, ['EXEC']]),
  },
  {
    weight: 1,
    arbitrary: published.map((args) => [['RESET'], ['MULTI'], ['SET', 'k', 'v'], ['PUBLISH', ...args], ['EXEC']]),
  },
);
const step: fc.Arbitrary<Step> = fc.record(
  { client: fc.nat({ max: CLIENTS - 1 }), commands: sent },
  { noNullPrototype: true },
);

/** Clients of one server. */
class Listeners {
  private readonly clients: RespConnection[] = [];
  private pings = 0;

  static async open({ host, port }: Target): Promise<Listeners> {
    const listeners = new Listeners();
    for (let nth = 0; nth < CLIENTS; nth++) listeners.clients.push(await RespConnection.open(host, port));
    return listeners;
  }

  /** What each client gets because of what one of them sends. */
  async run({ client, commands }: Step): Promise<string[][]> {
    const heard: string[][] = [];
    // Messages are on their way to everybody once the sender has its replies.
    heard[client] = await this.upToPing(client, commands);
    for (let nth = 0; nth < CLIENTS; nth++) if (nth !== client) heard[nth] = await this.upToPing(nth, []);
    return heard;
  }

  private async upToPing(nth: number, commands: readonly CommandLine[]): Promise<string[]> {
    const token = `ping ${this.pings++}`;
    const replies = await this.clients[nth]!.callUpTo(
      [...commands, ['PING', token]],
      ({ text, items }) => text === token || items?.[1]?.text === token,
    );
    return comparable(replies, commands);
  }

  /** Nobody listens any more when it is over. */
  async close(): Promise<void> {
    for (const client of this.clients) {
      await client.callUpTo([['RESET']], ({ raw }) => raw === '+RESET\r\n');
      client.abort();
    }
  }
}

/** Redis goes through channels and patterns in the order of a hash table. */
function comparable(replies: readonly RawReply[], commands: readonly CommandLine[]): string[] {
  const isUnordered = commands.some(([name = '', ...args]) => /UNSUBSCRIBE$/.test(name) && args.length === 0);
  const lines = replies.map(({ raw, items }) =>
    commands[0]?.[0] === 'PUBSUB' && /CHANNELS/.test(String(commands[0][1]))
      ? (items ?? [])
          .map((item) => item.raw)
          .toSorted()
          .join()
      : // HELLO has the number of the connection.
        raw.replace(/(\$2\r\nid\r\n):\d+/, '$1'),
  );
  if (isUnordered) return lines.map((line) => line.replace(/:\d+\r\n$/, '')).toSorted();
  const isPattern = (line: string): boolean => /^[*>]4\r\n\$8\r\npmessage/.test(line);
  const patterns = lines.filter(isPattern).toSorted();
  return lines.map((line) => (isPattern(line) ? patterns.shift()! : line));
}

describe('clients that listen and publish', { skip: skipWithout('redis-server') }, () => {
  const targets = comparedTargets();

  test(seeded('see what they see with Redis'), async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: MAX_STEPS }), async (steps) => {
        const [expected, actual] = [await Listeners.open(targets.reference), await Listeners.open(targets.tested)];
        try {
          for (const [at, one] of steps.entries()) {
            const story = JSON.stringify(steps.slice(0, at + 1));
            assert.deepEqual(await actual.run(one), await expected.run(one), story);
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
