/**
 * `npm run bench:cross-group`: what does it cost that keys are in different groups? Three nodes with three groups, each a process,
 * and 50 clients in this one. Printed for each kind of request: how many a second, what it is beside SET, and the CPU
 * time of the three nodes for a thousand of them, which is what to compare on a machine that others use too.
 *
 *   npm run bench:cross-group -- [--seconds 4] [--rounds 3] [--clients 50] [--only 'SET;MSET, two groups']
 */
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { childrenCpuSeconds } from './cpu.ts';
import { startLocalNodes } from './local-nodes.ts';
import { Scratch } from './scratch.ts';

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

const median = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? NaN;

interface Figures {
  readonly rate: number;
  /** Of the nodes, for a thousand operations. */
  readonly cpuMs: number;
  readonly failures: number;
}

async function measure(clients: readonly Redis[], run: Run): Promise<Figures> {
  let done = 0;
  let next = 0;
  let failures = 0;
  const beganMs = performance.now();
  const untilMs = beganMs + Number(values.seconds) * 1_000;
  const cpuSeconds = childrenCpuSeconds();
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
  const rate = (done * 1_000) / (performance.now() - beganMs);
  return { rate, cpuMs: ((childrenCpuSeconds() - cpuSeconds) * 1_000_000) / done, failures };
}

const scratch = new Scratch(values.folder);
try {
  const { members } = await startLocalNodes(scratch, { nodes: NODES, groups: GROUPS });
  const addresses = (await members()).map(({ addresses: { redis } }) => redis);
  const clients = Array.from(
    { length: Number(values.clients) },
    (_, at) => new Redis(`redis://${addresses[at % NODES]}`),
  );
  const wanted = RUNS.filter(([name]) => values.only === undefined || values.only.split(';').includes(name));
  const all = new Map<string, Figures[]>(wanted.map(([name]) => [name, []]));
  for (const [, run] of wanted) await measure(clients, run);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [name, run] of wanted) all.get(name)!.push(await measure(clients, run));
  }
  for (const client of clients) client.disconnect();
  const rateOf = (name: string): number => median((all.get(name) ?? []).map(({ rate }) => rate));
  for (const [name, figures] of all) {
    const rate = rateOf(name);
    const cpuMs = median(figures.map((each) => each.cpuMs));
    const share = `${(rate / rateOf('SET')).toFixed(2)} x SET`;
    const failures = figures.reduce((sum, each) => sum + each.failures, 0);
    const cpu = `${cpuMs.toFixed(0).padStart(6)} ms CPU a thousand`;
    console.log(
      `${name.padEnd(18)} ${rate.toFixed(0).padStart(8)} ops/s ${share.padStart(12)} ${cpu}, ${failures} failed`,
    );
  }
} finally {
  await scratch.clean();
}
