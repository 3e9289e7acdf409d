/**
 * `npm run bench:cross-group`: what does it cost that keys are in different groups? Three nodes with three groups, each a process,
 * and 50 clients in this one. Printed for each kind of request: how many a second, what it is beside SET, and the CPU
 * time that one costs each of the three nodes, which is what to compare on a machine that others use too.
 *
 *   npm run bench:cross-group -- [--seconds 4] [--rounds 3] [--clients 50] [--only 'SET;MSET, two groups']
 */
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { formatCount, formatTable } from '../cmd/cli/table.ts';
import { startLocalNodes } from './local-nodes.ts';
import { formatCpu, type Processes, type RoleTimes, withRoleTimes } from './role-cpu.ts';
import { Scratch } from './scratch.ts';
import { areQuiet, median, QUIET_ADVICE, rangeOf, ratiosOf, ratioText, verdictOf } from './spread.ts';

const NODES = 3;
const GROUPS = 3;
const KEYS = 10_000;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    clients: { type: 'string', default: '50' },
    only: { type: 'string' },
    folder: { type: 'string' },
  },
});

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

interface Figures {
  readonly rate: number;
  /** Of each of the three nodes, an operation. */
  readonly cpu: RoleTimes;
  readonly failures: number;
}

async function measure(nodes: readonly Processes[], clients: readonly Redis[], run: Run): Promise<Figures> {
  let done = 0;
  let next = 0;
  let failures = 0;
  const beganMs = performance.now();
  const untilMs = beganMs + Number(values.seconds) * 1_000;
  const { cpu } = await withRoleTimes(nodes, async () => {
    await Promise.all(
      clients.map(async (client) => {
        while (performance.now() < untilMs) {
          await run(client, next++).then(
            () => done++,
            () => failures++,
          );
        }
      }),
    );
    return { commands: done };
  });
  return { rate: (done * 1_000) / (performance.now() - beganMs), cpu, failures };
}

const scratch = new Scratch(values.folder);
try {
  const { members } = await startLocalNodes(scratch, { nodes: NODES, groups: GROUPS });
  const started = await members();
  const addresses = started.map(({ addresses: { redis } }) => redis);
  const nodes = [{ role: 'each node', pids: started.map(({ pid }) => pid) }];
  const clients = Array.from(
    { length: Number(values.clients) },
    (_, at) => new Redis(`redis://${addresses[at % NODES]}`),
  );
  const wanted = RUNS.filter(([name]) => values.only === undefined || values.only.split(';').includes(name));
  const all = new Map<string, Figures[]>(wanted.map(([name]) => [name, []]));
  for (const [, run] of wanted) await measure(nodes, clients, run);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [name, run] of wanted) all.get(name)!.push(await measure(nodes, clients, run));
  }
  for (const client of clients) client.disconnect();
  const ratesOf = (name: string): number[] => (all.get(name) ?? []).map(({ rate }) => rate);
  const rows = [...all].map(([name, figures]) => [
    name,
    `${rangeOf(ratesOf(name), formatCount)}/s`,
    ratioText(ratiosOf(ratesOf(name), ratesOf('SET'))),
    String(figures.reduce((sum, each) => sum + each.failures, 0)),
  ]);
  const costs = [...all].map(([load, figures]) => ({ load, system: 'kvorum', rounds: figures.map(({ cpu }) => cpu) }));
  const judged = BARS.map(({ name, to, atLeast }) => {
    const ratios = ratiosOf(ratesOf(name), ratesOf(to));
    const passed = ratios.length === 0 ? undefined : median(ratios) >= atLeast;
    const isQuiet = ratios.length > 1 && areQuiet(ratios);
    if (passed === false && isQuiet) process.exitCode = 1;
    return `${verdictOf(passed, isQuiet).padEnd(10)}  ${name} >= ${atLeast}x ${to}: ${ratioText(ratios)}`;
  });
  const table = formatTable(
    [['operations', 'a second', 'to SET', 'failed'], ...rows],
    ['left', 'right', 'right', 'right'],
  );
  console.log([table, formatCpu(costs), judged.join('\n'), QUIET_ADVICE].join('\n\n'));
} finally {
  await scratch.clean();
}
