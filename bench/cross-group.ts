/**
 * `npm run bench:cross-group`: what does it cost that keys are in different groups? Three nodes with three groups, each a process, and 50 clients in this
 * one, beside one redis-server that syncs every write and knows no groups. Printed for each kind of request: how many a second of both, what it is beside
 * SET, and the CPU time that one costs each node, which is what to compare on a machine that others use too.
 */
import { Redis } from 'ioredis';
import { formatTable } from '../cmd/cli/table.ts';
import { Ledger } from './ledger.ts';
import { startLocalNodes } from './local-nodes.ts';
import { rotated } from './machine.ts';
import { type BenchmarkOptions, benchmark, count, someOf } from './options.ts';
import { RedisPeer } from './peers/redis.ts';
import { conclude } from './results.ts';
import type { Processes } from './role-cpu.ts';
import { Scratch } from './scratch.ts';
import { ratiosOf, ratioText } from './spread.ts';

const NODES = 3;
const GROUPS = 3;
const KEYS = 10_000;

interface Options extends BenchmarkOptions {
  readonly clients: number;
  readonly only?: readonly string[];
}

type Run = (client: Redis, at: number) => Promise<unknown>;

/** Slots of `a` and `b` with these tags are thirds of the slots apart. */
const one = (at: number) => `{a}${at % KEYS}`;
const other = (at: number) => `{b}${at % KEYS}`;
const VALUE = 'v'.repeat(100);
const RUNS: readonly (readonly [string, Run])[] = [
  ['SET', (client, at) => client.set(one(at), VALUE)],
  ['MULTI, one group', (client, at) => client.multi().set(one(at), VALUE).exec()],
  ['MSET, one group', (client, at) => client.mset(one(at), VALUE, one(at + 1), VALUE)],
  ['MSET, two groups', (client, at) => client.mset(one(at), VALUE, other(at), VALUE)],
  [
    'MULTI, two groups',
    (client, at) =>
      client
        .multi()
        .incr(`${one(at)}n`)
        .incr(`${other(at)}n`)
        .exec(),
  ],
  ['MGET, one group', (client, at) => client.mget(one(at), one(at + 1))],
  ['MGET, two groups', (client, at) => client.mget(one(at), other(at))],
];

/** What goes over two groups is held against the same in one. */
const BARS: readonly { readonly name: string; readonly to: string; readonly atLeast: number }[] = [
  { name: 'MSET, two groups', to: 'MSET, one group', atLeast: 0.55 },
];

/** A system, and connections to it. */
interface Target {
  readonly system: 'kvorum' | 'redis';
  readonly processes: readonly Processes[];
  readonly clients: readonly Redis[];
}

/** Requests that were answered, and those that were refused. */
interface Answers {
  readonly perSecond: number;
  readonly commands: number;
  readonly refused: number;
}

async function load({ clients }: Target, run: Run, seconds: number): Promise<Answers> {
  let done = 0;
  let next = 0;
  let refused = 0;
  const beganMs = performance.now();
  const untilMs = beganMs + seconds * 1_000;
  await Promise.all(
    clients.map(async (client) => {
      while (performance.now() < untilMs) {
        await run(client, next++).then(
          () => done++,
          () => refused++,
        );
      }
    }),
  );
  return { perSecond: (done * 1_000) / (performance.now() - beganMs), commands: done, refused };
}

/** Both systems, up. */
async function targets(scratch: Scratch, count: number): Promise<Target[]> {
  const { members } = await startLocalNodes(scratch, { nodes: NODES, groups: GROUPS });
  const started = await members();
  const redis = new RedisPeer(scratch);
  await redis.start();
  const connect = (addresses: readonly string[]): Redis[] =>
    Array.from({ length: count }, (_, at) => {
      const client = new Redis(`redis://${addresses[at % addresses.length]}`);
      scratch.own(async () => client.disconnect());
      return client;
    });
  return [
    {
      system: 'kvorum',
      processes: [{ role: 'each node', pids: started.map(({ pid }) => pid) }],
      clients: connect(started.map(({ addresses }) => addresses.redis)),
    },
    { system: 'redis', processes: redis.processes(), clients: connect([`127.0.0.1:${redis.port}`]) },
  ];
}

async function main(options: Options): Promise<number> {
  const { seconds, rounds, clients, only, folder } = options;
  const scratch = new Scratch(folder);
  const ledger = new Ledger();
  const refused = new Map<string, number>();
  const wanted = RUNS.filter(([name]) => only === undefined || only.includes(name));
  try {
    const both = await targets(scratch, clients);
    for (const target of both) for (const [, run] of wanted) await load(target, run, seconds);
    for (let round = 0; round < rounds; round++) {
      for (const [name, run] of wanted) {
        for (const target of rotated(both, round)) {
          const { system, processes } = target;
          const figures = await ledger.measure(name, system, processes, () => load(target, run, seconds));
          if (system === 'kvorum') refused.set(name, (refused.get(name) ?? 0) + figures.refused);
        }
      }
    }
  } finally {
    await scratch.clean();
  }
  const ours = (load: string) => ({ load, system: 'kvorum' });
  const toSet = wanted.map(([name]) => [
    name,
    ratioText(ratiosOf(ledger.rates(name, 'kvorum'), ledger.rates('SET', 'kvorum'))),
    String(refused.get(name) ?? 0),
  ]);
  return conclude(
    {
      name: 'cross-group',
      facts: { rounds, secondsPerLoad: seconds, clients, lines: ledger.facts(), refused },
      tables: [
        ledger.formatRates(['kvorum', 'redis']),
        formatTable([['kvorum', 'to its SET', 'refused'], ...toSet], ['left', 'right', 'right']),
        ledger.formatCosts(),
      ],
      verdicts: BARS.map(({ name, to, atLeast }) => ledger.judge(ours(name), ours(to), atLeast)),
      others: ledger.others,
    },
    options,
  );
}

const NAMES = RUNS.map(([name]) => name);
const program = benchmark({
  script: 'bench:cross-group',
  says: 'Measures what it costs that keys are in different groups.',
  peers: 'one redis-server that syncs every write; it has all keys in one place.',
  rounds: 3,
  seconds: 4,
})
  .option('-c, --clients <count>', 'one request at a time each, dealt out to the nodes', count(1_000), 50)
  .option('--only <names>', `separated by semicolons: ${NAMES.join('; ')}`, someOf(NAMES, ';'));
program.parse();
process.exit(await main(program.opts<Options>()));
