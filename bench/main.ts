/**
 * `npm run bench`: a kvorum cluster of three beside redis-server and an etcd cluster of three, on this machine, in one run.
 * The systems take turns, round by round, and the medians of the rounds are compared; figures of different runs or
 * machines are not comparable. Everything is on loopback, ends by itself and leaves only a file in bench/results.
 */
import { join } from 'node:path';
import { counted } from '../src/platform/index.ts';
import { BENCH_FILE } from './kept-figures.ts';
import { rotated, syncMs } from './machine.ts';
import { type BenchmarkOptions, benchmark, count, someOf } from './options.ts';
import { OthersWatch } from './others.ts';
import { EtcdPeer } from './peers/etcd.ts';
import { KvorumPeer } from './peers/kvorum.ts';
import { type LoadFigures, type LoadSpec, MANY_KEYS, ONE_KEY, type Peer } from './peers/peer.ts';
import { RedisPeer } from './peers/redis.ts';
import { buildReport, formatReport, MEASURES, type Measure, type Samples, type System } from './report.ts';
import { conclude } from './results.ts';
import { formatCpu, type RoleTimes, withRoleTimes } from './role-cpu.ts';
import { runRounds } from './rounds.ts';
import { isInstalled, Scratch } from './scratch.ts';

interface BenchOptions extends BenchmarkOptions {
  readonly minutes: number;
  readonly only?: readonly System[];
  readonly to?: string;
}

const SYSTEMS: readonly System[] = ['kvorum', 'redis', 'etcd'];

/**
 * Loads before the first figure: code that is compiled as it runs takes that long to be what it will be for the rest of its life. That of others was
 * compiled before; their logs and caches need less. What comes second has most of its code from the first.
 */
const WARM_UP_SECONDS: { readonly [S in System]: { readonly first: number; readonly others: number } } = {
  kvorum: { first: 12, others: 6 },
  redis: { first: 4, others: 2 },
  etcd: { first: 4, others: 2 },
};
const QUICK_WARM_UP_SECONDS = 1;
/** A client that was busier than this may have been the limit itself. */
const CLIENT_LIMIT = 0.9;

type MutableSamples = { [M in Measure]?: { [S in System]?: number[] } };

interface PlainLoad {
  readonly measure: Measure;
  readonly operation: LoadSpec['operation'];
  readonly pipeline?: number;
  readonly keyCount?: number;
}

/** What every system does that can. */
const LOADS: readonly PlainLoad[] = [
  { measure: 'set', operation: 'set' },
  { measure: 'setPipelined', operation: 'set', pipeline: 16 },
  { measure: 'get', operation: 'get' },
  { measure: 'incrHotKey', operation: 'incrHotKey' },
  { measure: 'setSpread', operation: 'set', keyCount: MANY_KEYS },
  { measure: 'setSpreadPipelined', operation: 'set', pipeline: 16, keyCount: MANY_KEYS },
  { measure: 'getSpread', operation: 'get', keyCount: MANY_KEYS },
];

const canDo = (system: System, { operation, pipeline }: PlainLoad): boolean =>
  system !== 'etcd' || (operation !== 'incrHotKey' && pipeline === undefined);

/** Measures all systems once in turn. */
class BenchRun {
  readonly samples: MutableSamples = {};
  readonly cpu: { readonly measure: Measure; readonly system: System; readonly rounds: RoleTimes[] }[] = [];
  /** Highest share of its time that the Node.js load generator was busy, by system. */
  readonly clientBusy = new Map<System, number>();
  readonly others = new OthersWatch();
  private readonly scratch: Scratch;
  private readonly seconds: number;
  private readonly isQuick: boolean;

  constructor(scratch: Scratch, seconds: number, isQuick: boolean) {
    this.scratch = scratch;
    this.seconds = seconds;
    this.isQuick = isQuick;
  }

  async round(systems: readonly System[]): Promise<void> {
    for (const system of systems) {
      switch (system) {
        case 'kvorum':
          await this.measureKvorum();
          break;
        case 'redis':
          await this.measureRedis();
          break;
        case 'etcd':
          await this.measureEtcd();
          break;
      }
    }
  }

  private record(measure: Measure, system: System, value: number): void {
    const bySystem = this.samples[measure] ?? {};
    this.samples[measure] = bySystem;
    bySystem[system] = [...(bySystem[system] ?? []), value];
    const shown = MEASURES[measure].unit === 'ms' ? `${value.toFixed(2)} ms` : `${Math.round(value)}/s`;
    console.error(`  ${system.padEnd(6)}  ${MEASURES[measure].title}: ${shown}`);
  }

  /** Runs a load, and notes its figure and what it costs. */
  private async measure(peer: Peer, measure: Measure, load: () => Promise<LoadFigures>): Promise<void> {
    const { figures, cpu } = await this.others.during(() => withRoleTimes(peer.processes(), load));
    this.record(measure, peer.name, MEASURES[measure].unit === 'ms' ? figures.p50Ms : figures.perSecond);
    let line = this.cpu.find((other) => other.measure === measure && other.system === peer.name);
    if (line === undefined) {
      line = { measure, system: peer.name, rounds: [] };
      this.cpu.push(line);
    }
    line.rounds.push(cpu);
    const { clientBusy } = figures;
    if (clientBusy !== undefined)
      this.clientBusy.set(peer.name, Math.max(clientBusy, this.clientBusy.get(peer.name) ?? 0));
  }

  private spec(operation: LoadSpec['operation'], pipeline = 1, keyCount = ONE_KEY): LoadSpec {
    return { operation, clients: 50, pipeline, keyCount, seconds: this.seconds };
  }

  /** Steady state is what is compared: caches are filled, hot code is compiled, logs have their first segments. */
  private async measureLoads(peer: Peer): Promise<void> {
    const loads = LOADS.filter((load) => canDo(peer.name, load));
    const { first, others } = WARM_UP_SECONDS[peer.name];
    for (const [at, operation] of [...new Set(loads.map((load) => load.operation))].entries()) {
      const seconds = this.isQuick ? QUICK_WARM_UP_SECONDS : at === 0 ? first : others;
      await peer.load({ ...this.spec(operation), seconds });
    }
    for (const { measure, operation, pipeline, keyCount } of loads)
      await this.measure(peer, measure, () => peer.load(this.spec(operation, pipeline, keyCount)));
  }

  private async measureKvorum(): Promise<void> {
    const peer = new KvorumPeer(this.scratch);
    await peer.start();
    try {
      await this.measureLoads(peer);
      await this.measure(peer, 'setThroughFollower', () => peer.loadThroughFollower(this.spec('set')));
      await this.measure(peer, 'sequentialP50', () => peer.sequentialSet(this.seconds));
      this.record('failover', 'kvorum', await peer.failover());
    } finally {
      await peer.stop();
    }
  }

  private async measureRedis(): Promise<void> {
    const peer = new RedisPeer(this.scratch);
    await peer.start();
    try {
      await this.measureLoads(peer);
    } finally {
      await peer.stop();
    }
  }

  private async measureEtcd(): Promise<void> {
    const peer = new EtcdPeer(this.scratch);
    await peer.start();
    try {
      await this.measureLoads(peer);
      await this.measure(peer, 'sequentialP50', () => peer.load({ ...this.spec('set'), clients: 1 }));
      this.record('failover', 'etcd', await peer.failover());
    } finally {
      await peer.stop();
    }
  }
}

const NEEDED_PROGRAMS: { readonly [S in System]: readonly string[] } = {
  kvorum: ['redis-benchmark'],
  redis: ['redis-server', 'redis-benchmark'],
  etcd: ['etcd'],
};

/** Systems whose programs are here; says loudly which are not. */
async function available(wanted: readonly System[]): Promise<System[]> {
  const usable: System[] = [];
  for (const system of wanted) {
    const missing: string[] = [];
    for (const program of NEEDED_PROGRAMS[system]) if (!(await isInstalled(program))) missing.push(program);
    if (missing.length === 0) usable.push(system);
    else console.error(`NOT MEASURED: ${system}, because ${missing.join(' and ')} is not installed (see .ci/run)`);
  }
  return usable;
}

async function main(options: BenchOptions): Promise<number> {
  const isQuick = options.quick === true;
  const seconds = isQuick ? 1 : options.seconds;
  const systems = await available(options.only ?? SYSTEMS);
  if (systems.length === 0) return 1;

  const scratch = new Scratch(options.folder);
  const run = new BenchRun(scratch, seconds, isQuick);
  let rounds = 0;
  let sync = Number.NaN;
  try {
    sync = syncMs(scratch.folder);
    const wanted = isQuick ? 1 : options.rounds;
    rounds = await runRounds(wanted, options.minutes, (round) => run.round(rotated(systems, round)));
  } catch (error) {
    // What was running was ended by the clean-up; its failure is not news.
    if (scratch.isEnding) return new Promise(() => {});
    throw error;
  } finally {
    if (!scratch.isEnding) await scratch.clean();
  }

  const rows = buildReport(run.samples as Samples, run.others.isQuiet);
  const costs = run.cpu.map(({ measure, system, rounds: all }) => ({
    load: MEASURES[measure].title,
    system,
    rounds: all,
  }));
  const told = [
    `Medians of ${counted(rounds, 'round')}, ${seconds} s each load, 100-byte values, everything on one machine, a sync takes ${sync.toFixed(2)} ms.`,
  ];
  for (const [system, busy] of run.clientBusy) {
    const verdict = busy < CLIENT_LIMIT ? 'not the limit' : 'POSSIBLY THE LIMIT: the figures may be too low';
    told.push(`The ${system} load generator was busy at most ${Math.round(busy * 100)} % of the time: ${verdict}.`);
  }
  const facts = { rounds, secondsPerLoad: seconds, syncMs: sync, clientBusy: run.clientBusy, rows, cpu: run.cpu };
  const findings = {
    name: 'bench',
    facts,
    tables: [formatReport(rows), formatCpu(costs), told.join('\n')],
    verdicts: [],
    judged: rows.map(({ bar }) => bar),
    others: run.others,
    file: options.to === undefined ? undefined : join(options.to, BENCH_FILE),
  };
  return conclude(findings, options);
}

const program = benchmark({
  script: 'bench',
  says: 'Measures kvorum beside redis-server and etcd; exits with 1 when a bar is missed.',
  peers: 'one redis-server that syncs every write, and an etcd cluster of three.',
  rounds: 3,
  seconds: 4,
  quick: 'one round of one second a load',
})
  .option('--minutes <minutes>', 'no round is begun that would not end within this', count(600), 60)
  .option('--only <systems>', `comma-separated: ${SYSTEMS.join(', ')}`, someOf(SYSTEMS))
  .option('--to <folder>', `keep the figures there as ${BENCH_FILE} (default: bench/results, by the time of day)`);
program.parse();
process.exit(await main(program.opts<BenchOptions>()));
