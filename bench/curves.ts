/**
 * `npm run bench:curves`: throughput against clients, latency against load, and cost against the number of keys, of a kvorum cluster of three
 * beside redis-server and an etcd cluster of three in the same run, drawn as SVG; docs/performance.md shows those of docs/performance.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { formatCount, formatMs, formatTable } from '../cmd/cli/table.ts';
import { type Chart, chartSvg, type Series } from './chart.ts';
import { machine } from './machine.ts';
import { count } from './options.ts';
import { othersClock, QUIET_SHARE } from './others.ts';
import { EtcdPeer } from './peers/etcd.ts';
import { KvorumPeer } from './peers/kvorum.ts';
import { type LoadFigures, type LoadSpec, MANY_KEYS, type Peer } from './peers/peer.ts';
import { RedisPeer } from './peers/redis.ts';
import { formatCpu, type RoleTimes, totalUs, withRoleTimes } from './role-cpu.ts';
import { isInstalled, Scratch } from './scratch.ts';
import { QUIET_ADVICE } from './spread.ts';

type Operation = 'set' | 'get';

interface Sample extends LoadFigures {
  readonly system: Peer['name'];
  readonly operation: Operation;
  readonly clients: number;
  /** Keys that are there, and that the commands draw from. */
  readonly keyCount: number;
  readonly cpu: RoleTimes;
  /** Of all processes of the system together, a command. */
  readonly cpuUs: number;
}

const SYSTEMS: readonly { readonly name: Peer['name']; readonly program: string; readonly colour: string }[] = [
  { name: 'kvorum', program: 'redis-benchmark', colour: '#1565c0' },
  { name: 'redis', program: 'redis-server', colour: '#c62828' },
  { name: 'etcd', program: 'etcd', colour: '#2e7d32' },
];
const OPERATIONS: readonly Operation[] = ['set', 'get'];
const CLIENTS = [1, 2, 5, 10, 25, 50, 100, 200];
const USUAL_CLIENTS = 50;
const KEY_COUNTS = [1_000, 10_000, MANY_KEYS, 1_000_000];
const QUICK_KEY_COUNTS = [1_000, MANY_KEYS];
const WARM_UP_SECONDS = 8;

interface Options {
  readonly seconds: number;
  readonly quick?: boolean;
  readonly folder?: string;
  readonly to: string;
}

const peerOf = (name: Peer['name'], scratch: Scratch): Peer =>
  name === 'kvorum' ? new KvorumPeer(scratch) : name === 'redis' ? new RedisPeer(scratch) : new EtcdPeer(scratch);

/** All loads on one system, which is started for it and has the machine to itself. */
async function measure(peer: Peer, options: Options): Promise<Sample[]> {
  const samples: Sample[] = [];
  const load = async (operation: Operation, clients: number, keyCount: number): Promise<void> => {
    const spec: LoadSpec = { operation, clients, keyCount, pipeline: 1, seconds: options.seconds };
    const processes = peer.processes();
    const { figures, cpu } = await withRoleTimes(processes, () => peer.load(spec));
    samples.push({ system: peer.name, operation, clients, keyCount, ...figures, cpu, cpuUs: totalUs(processes, cpu) });
    const what = `${operation.toUpperCase()}, ${clients} clients, ${formatCount(keyCount)} keys`;
    console.error(
      `  ${peer.name.padEnd(6)}  ${what}: ${formatCount(figures.perSecond)}/s, p99 ${formatMs(figures.p99Ms)}`,
    );
  };
  await peer.start();
  try {
    const seconds = options.quick ? 1 : WARM_UP_SECONDS;
    for (const operation of OPERATIONS)
      await peer.load({ operation, clients: USUAL_CLIENTS, keyCount: 1_000, pipeline: 1, seconds });
    for (const keyCount of options.quick ? QUICK_KEY_COUNTS : KEY_COUNTS) {
      // Those that are there are written once more; what is drawn must not be missing.
      await peer.fill(keyCount);
      const clientCounts = keyCount !== MANY_KEYS ? [USUAL_CLIENTS] : options.quick ? [1, USUAL_CLIENTS] : CLIENTS;
      for (const operation of OPERATIONS) for (const clients of clientCounts) await load(operation, clients, keyCount);
    }
  } finally {
    await peer.stop();
  }
  return samples;
}

/** A line a system of what is chosen from the samples. */
function seriesOf(
  samples: readonly Sample[],
  isMeant: (sample: Sample) => boolean,
  point: (sample: Sample) => readonly [number, number],
): Series[] {
  return SYSTEMS.flatMap(({ name, colour }) => {
    const own = samples.filter((sample) => sample.system === name && isMeant(sample));
    return own.length === 0 ? [] : [{ name, colour, points: own.map(point) }];
  });
}

/** File name and chart. */
function charts(samples: readonly Sample[]): [string, Chart][] {
  const byKeys = (operation: Operation): Series[] =>
    seriesOf(
      samples.filter((sample) => sample.operation === operation).toSorted((a, b) => a.keyCount - b.keyCount),
      ({ clients }) => clients === USUAL_CLIENTS,
      ({ keyCount, cpuUs }) => [keyCount, cpuUs],
    );
  return OPERATIONS.flatMap((operation): [string, Chart][] => {
    const name = operation.toUpperCase();
    const isOfClients = (sample: Sample): boolean => sample.operation === operation && sample.keyCount === MANY_KEYS;
    const clients = seriesOf(samples, isOfClients, (sample) => [sample.clients, sample.perSecond]);
    const latency = seriesOf(samples, isOfClients, (sample) => [sample.perSecond, sample.p99Ms]);
    return [
      [
        `${operation}-throughput`,
        {
          title: `${name}: commands a second by clients`,
          x: { title: 'clients', isLogarithmic: true },
          y: { title: 'commands a second', isLogarithmic: false },
          series: clients,
        },
      ],
      [
        `${operation}-latency`,
        {
          title: `${name}: p99 by load`,
          x: { title: 'commands a second', isLogarithmic: true },
          y: { title: 'p99, ms', isLogarithmic: true },
          series: latency,
        },
      ],
      [
        `${operation}-keys`,
        {
          title: `${name}: processor time of a command, by keys that are there`,
          x: { title: 'keys', isLogarithmic: true },
          y: { title: 'us of all nodes together', isLogarithmic: false },
          series: byKeys(operation),
        },
      ],
    ];
  });
}

function table(samples: readonly Sample[]): string {
  const rows = samples.map(({ system, operation, clients, keyCount, perSecond, p50Ms, p99Ms, cpuUs }) => [
    operation.toUpperCase(),
    system,
    String(clients),
    formatCount(keyCount),
    formatCount(perSecond),
    formatMs(p50Ms),
    formatMs(p99Ms),
    cpuUs.toFixed(1),
  ]);
  const heading = ['', 'system', 'clients', 'keys', 'a second', 'p50', 'p99', 'CPU us'];
  const costs = samples
    .filter(({ clients }) => clients === USUAL_CLIENTS)
    .map(({ system, operation, keyCount, cpu }) => ({
      load: `${operation.toUpperCase()}, ${formatCount(keyCount)} keys`,
      system,
      rounds: [cpu],
    }));
  const table = formatTable([heading, ...rows], ['left', 'left', ...heading.slice(2).map(() => 'right' as const)]);
  return `${table}\n\n${formatCpu(costs)}`;
}

async function main(options: Options): Promise<void> {
  const scratch = new Scratch(options.folder);
  const samples: Sample[] = [];
  let othersShare = 0;
  try {
    for (const { name, program } of SYSTEMS) {
      if (await isInstalled(program)) {
        const others = othersClock();
        samples.push(...(await measure(peerOf(name, scratch), options)));
        othersShare = Math.max(othersShare, others());
      } else console.error(`NOT MEASURED: ${name}, because ${program} is not installed (see .ci/run)`);
    }
  } finally {
    await scratch.clean();
  }
  mkdirSync(options.to, { recursive: true });
  for (const [name, chart] of charts(samples)) writeFileSync(`${options.to}/${name}.svg`, chartSvg(chart));
  const result = { at: new Date().toISOString(), machine: machine(), secondsPerLoad: options.seconds, samples };
  writeFileSync(`${options.to}/curves.json`, `${JSON.stringify(result, undefined, 2)}\n`);
  console.log(`${table(samples)}\n\nDrawn in ${options.to}`);
  if (othersShare > QUIET_SHARE) console.log(`\n${QUIET_ADVICE}`);
}

const program = new Command('npm run bench:curves --')
  .description('Draws throughput, latency and cost of kvorum, redis-server and etcd in the same pictures.')
  .option('-s, --seconds <seconds>', 'length of each load', count(600), 3)
  .option('-q, --quick', 'few points: shows that everything works, not what is fast')
  .option('--folder <folder>', 'where the data goes: its disk is what is measured (default: the temporary folder)')
  .option('--to <folder>', 'where the pictures go', 'bench/results/curves');
program.parse();
await main(program.opts<Options>());
process.exit(0);
