/**
 * `npm run bench:curves`: throughput against clients, latency against load, and cost against the number of keys, of a kvorum cluster of three
 * beside redis-server and an etcd cluster of three in the same run, drawn as SVG; docs/performance.md shows those of docs/performance.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Align, formatCount, formatMs, formatTable } from '../cmd/cli/table.ts';
import { type Chart, chartSvg, type Point, type Series } from './chart.ts';
import { CURVES_FILE } from './kept-figures.ts';
import { type BenchmarkOptions, benchmark } from './options.ts';
import { OthersWatch } from './others.ts';
import { EtcdPeer } from './peers/etcd.ts';
import { KvorumPeer } from './peers/kvorum.ts';
import { type LoadSpec, MANY_KEYS, type Peer } from './peers/peer.ts';
import { RedisPeer } from './peers/redis.ts';
import { conclude } from './results.ts';
import { formatCpu, type RoleTimes, totalUs, withRoleTimes } from './role-cpu.ts';
import { isInstalled, Scratch } from './scratch.ts';
import { median, rangeOf, ratiosOf, ratioText } from './spread.ts';

type Operation = 'set' | 'get';

/** What is measured at one place of the curves. */
interface Spot {
  readonly operation: Operation;
  readonly clients: number;
  /** Keys that are there, and that the commands draw from. */
  readonly keyCount: number;
}

/** One system there; a value a round. */
interface Sample extends Spot {
  readonly system: Peer['name'];
  readonly perSecond: number[];
  readonly p50Ms: number[];
  readonly p99Ms: number[];
  readonly cpu: RoleTimes[];
  /** Of all processes of the system together, a command. */
  readonly cpuUs: number[];
}

const SYSTEMS: readonly { readonly name: Peer['name']; readonly program: string; readonly colour: string }[] = [
  { name: 'kvorum', program: 'redis-benchmark', colour: '#1565c0' },
  { name: 'redis', program: 'redis-server', colour: '#c62828' },
  { name: 'etcd', program: 'etcd', colour: '#2e7d32' },
];
const OPERATIONS: readonly Operation[] = ['set', 'get'];
const CLIENTS = [1, 3, 10, 25, 50, 100, 200];
const USUAL_CLIENTS = 50;
const KEY_COUNTS = [1_000, 10_000, MANY_KEYS, 1_000_000];
const QUICK_KEY_COUNTS = [1_000, MANY_KEYS];
/** Code that is compiled as it runs takes longer to be what it will be than what was compiled before. */
const WARM_UP_SECONDS: { readonly [S in Peer['name']]: number } = { kvorum: 8, redis: 3, etcd: 3 };

interface Options extends BenchmarkOptions {
  readonly to: string;
}

const peerOf = (name: Peer['name'], scratch: Scratch): Peer =>
  name === 'kvorum' ? new KvorumPeer(scratch) : name === 'redis' ? new RedisPeer(scratch) : new EtcdPeer(scratch);

/** All loads on one system, which is started for it and has the machine to itself. */
class SystemRun {
  readonly samples: Sample[] = [];
  private readonly peer: Peer;
  private readonly options: Options;
  private readonly others: OthersWatch;

  constructor(peer: Peer, options: Options, others: OthersWatch) {
    this.peer = peer;
    this.options = options;
    this.others = others;
  }

  async run(): Promise<void> {
    const { peer, options } = this;
    const isQuick = options.quick === true;
    await peer.start();
    try {
      const seconds = isQuick ? 1 : WARM_UP_SECONDS[peer.name];
      for (const operation of OPERATIONS)
        await peer.load({ operation, clients: USUAL_CLIENTS, keyCount: 1_000, pipeline: 1, seconds });
      for (const keyCount of isQuick ? QUICK_KEY_COUNTS : KEY_COUNTS) {
        // Those that are there are written once more; what is drawn must not be missing.
        await peer.fill(keyCount);
        const clientCounts = keyCount !== MANY_KEYS ? [USUAL_CLIENTS] : isQuick ? [1, USUAL_CLIENTS] : CLIENTS;
        const spots = OPERATIONS.flatMap((operation) =>
          clientCounts.map((clients): Spot => ({ operation, clients, keyCount })),
        );
        for (let round = 0; round < (isQuick ? 1 : options.rounds); round++)
          for (const spot of spots) await this.load(spot);
      }
    } finally {
      await peer.stop();
    }
  }

  private async load(spot: Spot): Promise<void> {
    const { peer, samples } = this;
    const { operation, clients, keyCount } = spot;
    let sample = samples.find(
      (other) => other.operation === operation && other.clients === clients && other.keyCount === keyCount,
    );
    const spec: LoadSpec = {
      ...spot,
      pipeline: 1,
      seconds: this.options.seconds,
      knownPerSecond: sample?.perSecond[0],
    };
    const processes = peer.processes();
    const { figures, cpu } = await this.others.during(() => withRoleTimes(processes, () => peer.load(spec)));
    if (sample === undefined) {
      sample = { system: peer.name, ...spot, perSecond: [], p50Ms: [], p99Ms: [], cpu: [], cpuUs: [] };
      samples.push(sample);
    }
    sample.perSecond.push(figures.perSecond);
    sample.p50Ms.push(figures.p50Ms);
    sample.p99Ms.push(figures.p99Ms);
    sample.cpu.push(cpu);
    sample.cpuUs.push(totalUs(processes, cpu));
    const rate = `${formatCount(figures.perSecond)}/s, p99 ${formatMs(figures.p99Ms)}`;
    console.error(`  ${peer.name.padEnd(6)}  ${titleOf(spot)}: ${rate}`);
  }
}

const titleOf = ({ operation, clients, keyCount }: Spot): string =>
  `${operation.toUpperCase()}, ${clients} clients, ${formatCount(keyCount)} keys`;

const pointOf = (x: number, values: readonly number[]): Point => ({
  x,
  y: median(values),
  lowest: Math.min(...values),
  highest: Math.max(...values),
});

/** A line a system of what is chosen from the samples. */
function seriesOf(
  samples: readonly Sample[],
  isMeant: (sample: Sample) => boolean,
  point: (sample: Sample) => Point,
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
      ({ keyCount, cpuUs }) => pointOf(keyCount, cpuUs),
    );
  return OPERATIONS.flatMap((operation): [string, Chart][] => {
    const name = operation.toUpperCase();
    const isOfClients = (sample: Sample): boolean => sample.operation === operation && sample.keyCount === MANY_KEYS;
    const clients = seriesOf(samples, isOfClients, (sample) => pointOf(sample.clients, sample.perSecond));
    const latency = seriesOf(samples, isOfClients, (sample) => pointOf(median(sample.perSecond), sample.p99Ms));
    return [
      [
        `${operation}-throughput`,
        {
          title: `${name} over ${formatCount(MANY_KEYS)} keys: commands a second by clients`,
          x: { title: 'clients', isLogarithmic: true },
          y: { title: 'commands a second', isLogarithmic: false },
          series: clients,
        },
      ],
      [
        `${operation}-latency`,
        {
          title: `${name} over ${formatCount(MANY_KEYS)} keys: p99 by load`,
          x: { title: 'commands a second', isLogarithmic: true },
          y: { title: 'p99, ms', isLogarithmic: true },
          series: latency,
        },
      ],
      [
        `${operation}-keys`,
        {
          title: `${name} with ${USUAL_CLIENTS} clients: processor time of a command, by keys that are there`,
          x: { title: 'keys', isLogarithmic: true },
          y: { title: 'us of all nodes together', isLogarithmic: false },
          series: byKeys(operation),
        },
      ],
    ];
  });
}

/** A row a place: rates and p99 of all systems, and ours over theirs. */
function table(samples: readonly Sample[]): string {
  const of = (title: string, name: Peer['name']): Sample | undefined =>
    samples.find((sample) => sample.system === name && titleOf(sample) === title);
  const names = SYSTEMS.map(({ name }) => name);
  const rows = [...new Set(samples.map(titleOf))].map((title) => [
    title,
    ...names.map((name) => rangeOf(of(title, name)?.perSecond ?? [], formatCount)),
    ...names.slice(1).map((name) => ratioText(ratiosOf(of(title, 'kvorum')?.perSecond, of(title, name)?.perSecond))),
    ...names.map((name) => rangeOf(of(title, name)?.p99Ms ?? [], (ms) => ms.toPrecision(3))),
  ]);
  const heading = [
    'smallest / middle / largest round',
    ...names.map((name) => `${name}, /s`),
    ...names.slice(1).map((name) => `to ${name}`),
    ...names.map((name) => `p99 ${name}, ms`),
  ];
  return formatTable(
    [heading, ...rows],
    heading.map((_, at): Align => (at === 0 ? 'left' : 'right')),
  );
}

async function main(options: Options): Promise<number> {
  const scratch = new Scratch(options.folder);
  const samples: Sample[] = [];
  const others = new OthersWatch();
  try {
    for (const { name, program } of SYSTEMS) {
      if (await isInstalled(program)) {
        const run = new SystemRun(peerOf(name, scratch), options, others);
        await run.run();
        samples.push(...run.samples);
      } else console.error(`NOT MEASURED: ${name}, because ${program} is not installed (see .ci/run)`);
    }
  } finally {
    await scratch.clean();
  }
  mkdirSync(options.to, { recursive: true });
  for (const [name, chart] of charts(samples)) writeFileSync(join(options.to, `${name}.svg`), chartSvg(chart));
  const costs = samples
    .filter(({ clients }) => clients === USUAL_CLIENTS)
    .map((sample) => ({ load: titleOf(sample), system: sample.system, rounds: sample.cpu }));
  const findings = {
    name: 'curves',
    facts: { rounds: options.rounds, secondsPerLoad: options.seconds, samples },
    tables: [table(samples), formatCpu(costs), `Drawn in ${options.to}`],
    verdicts: [],
    others,
    file: join(options.to, CURVES_FILE),
  };
  return conclude(findings, options);
}

const program = benchmark({
  script: 'bench:curves',
  says: 'Draws throughput, latency and cost of kvorum, redis-server and etcd in the same pictures. Pictures judge nothing.',
  peers: 'one redis-server that syncs every write, and an etcd cluster of three, in the same pictures.',
  rounds: 3,
  seconds: 1,
  quick: 'few points, one round',
}).option('--to <folder>', 'where the pictures go', 'bench/results/curves');
program.parse();
process.exit(await main(program.opts<Options>()));
