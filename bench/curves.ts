/**
 * `npm run bench:curves`: throughput against clients, latency against load, and cost against the number of keys, of a kvorum cluster of three
 * beside redis-server and an etcd cluster of three in the same run, drawn as SVG beside docs/performance.md.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { formatCount, formatMs, formatTable } from '../cmd/cli/table.ts';
import { type Chart, chartSvg, type Series } from './chart.ts';
import { machine } from './machine.ts';
import { count } from './options.ts';
import { EtcdPeer } from './peers/etcd.ts';
import { KvorumPeer } from './peers/kvorum.ts';
import { type LoadFigures, type LoadSpec, MANY_KEYS, type Peer } from './peers/peer.ts';
import { RedisPeer } from './peers/redis.ts';
import { isInstalled, Scratch } from './scratch.ts';

type Operation = 'set' | 'get';

interface Sample extends LoadFigures {
  readonly system: Peer['name'];
  readonly operation: Operation;
  readonly clients: number;
  readonly keyCount: number;
}

const SYSTEMS: readonly { readonly name: Peer['name']; readonly program: string; readonly colour: string }[] = [
  { name: 'kvorum', program: 'redis-benchmark', colour: '#1565c0' },
  { name: 'redis', program: 'redis-server', colour: '#c62828' },
  { name: 'etcd', program: 'etcd', colour: '#2e7d32' },
];
const OPERATIONS: readonly Operation[] = ['set', 'get'];
const CLIENTS = [1, 2, 5, 10, 25, 50, 100, 200];
const USUAL_CLIENTS = 50;
const KEY_COUNTS = [1, 1000, 10_000, 100_000, 1_000_000];
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
    const figures = await peer.load(spec);
    samples.push({ system: peer.name, operation, clients, keyCount, ...figures });
    const what = `${operation.toUpperCase()}, ${clients} clients, ${formatCount(keyCount)} keys`;
    console.error(
      `  ${peer.name.padEnd(6)}  ${what}: ${formatCount(figures.perSecond)}/s, p99 ${formatMs(figures.p99Ms)}`,
    );
  };
  await peer.start();
  try {
    const seconds = options.quick ? 1 : WARM_UP_SECONDS;
    for (const operation of OPERATIONS)
      await peer.load({ operation, clients: USUAL_CLIENTS, keyCount: MANY_KEYS, pipeline: 1, seconds });
    for (const operation of OPERATIONS)
      for (const clients of options.quick ? [1, USUAL_CLIENTS] : CLIENTS) await load(operation, clients, MANY_KEYS);
    for (const keyCount of options.quick ? [1, 1000] : KEY_COUNTS)
      for (const operation of OPERATIONS) if (keyCount !== MANY_KEYS) await load(operation, USUAL_CLIENTS, keyCount);
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
      ({ keyCount, perSecond }) => [keyCount, 1e6 / perSecond],
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
          title: `${name}: microseconds of the machine a command, by keys`,
          x: { title: 'keys', isLogarithmic: true },
          y: { title: 'microseconds a command', isLogarithmic: true },
          series: byKeys(operation),
        },
      ],
    ];
  });
}

function table(samples: readonly Sample[]): string {
  const rows = samples.map(({ system, operation, clients, keyCount, perSecond, p50Ms, p99Ms }) => [
    operation.toUpperCase(),
    system,
    String(clients),
    formatCount(keyCount),
    formatCount(perSecond),
    formatMs(p50Ms),
    formatMs(p99Ms),
  ]);
  const heading = ['', 'system', 'clients', 'keys', 'a second', 'p50', 'p99'];
  return formatTable([heading, ...rows], ['left', 'left', 'right', 'right', 'right', 'right', 'right']);
}

async function main(options: Options): Promise<void> {
  const scratch = new Scratch(options.folder);
  const samples: Sample[] = [];
  try {
    for (const { name, program } of SYSTEMS) {
      if (await isInstalled(program)) samples.push(...(await measure(peerOf(name, scratch), options)));
      else console.error(`NOT MEASURED: ${name}, because ${program} is not installed (see .ci/run)`);
    }
  } finally {
    await scratch.clean();
  }
  mkdirSync(options.to, { recursive: true });
  for (const [name, chart] of charts(samples)) writeFileSync(`${options.to}/${name}.svg`, chartSvg(chart));
  const result = { at: new Date().toISOString(), machine: machine(), secondsPerLoad: options.seconds, samples };
  writeFileSync(`${options.to}/curves.json`, `${JSON.stringify(result, undefined, 2)}\n`);
  console.log(`${table(samples)}\n\nDrawn in ${options.to}`);
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
