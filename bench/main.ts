/**
 * `npm run bench`: a kvorum cluster of three beside redis-server and an etcd cluster of three, on this machine, in one run.
 * The systems take turns, round by round, and the medians of the rounds are compared; figures of different runs or
 * machines are not comparable. Everything is on loopback, ends by itself and leaves only a file in bench/results.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { counted } from '../src/platform/index.ts';
import { machine, rotated } from './machine.ts';
import { count } from './options.ts';
import { EtcdPeer } from './peers/etcd.ts';
import { KvorumPeer } from './peers/kvorum.ts';
import { type LoadFigures, type LoadSpec, MANY_KEYS, ONE_KEY, type Peer } from './peers/peer.ts';
import { RedisPeer } from './peers/redis.ts';
import { buildReport, formatReport, MEASURES, type Measure, type Samples, type System } from './report.ts';
import { formatCpu, type RoleTimes, withRoleTimes } from './role-cpu.ts';
import { isInstalled, Scratch } from './scratch.ts';
import { QUIET_ADVICE } from './spread.ts';

interface BenchOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly quick?: boolean;
  readonly only?: readonly System[];
  readonly folder?: string;
  readonly json?: boolean;
  readonly to?: string;
}

/** Of the file that docs/performance.md is made from. */
const BENCH_FILE = 'bench.json';
/** Every load before the first figure: code that is compiled as it runs takes that long to be what it will be for the rest of its life. */
const WARM_UP_SECONDS = 12;
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
  private readonly scratch: Scratch;
  private readonly seconds: number;
  private readonly warmUpSeconds: number;

  constructor(scratch: Scratch, seconds: number, warmUpSeconds: number) {
    this.scratch = scratch;
    this.seconds = seconds;
    this.warmUpSeconds = warmUpSeconds;
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
    const { figures, cpu } = await withRoleTimes(peer.processes(), load);
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
    for (const operation of new Set(loads.map((load) => load.operation)))
      await peer.load({ ...this.spec(operation), seconds: this.warmUpSeconds });
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

function systemList(text: string): System[] {
  return text.split(',').map((word) => {
    if (word !== 'kvorum' && word !== 'redis' && word !== 'etcd') {
      throw new InvalidArgumentError('Known systems are kvorum, redis and etcd.');
    }
    return word;
  });
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
  const rounds = options.quick ? 1 : options.rounds;
  const seconds = options.quick ? 1 : options.seconds;
  const systems = await available(options.only ?? ['kvorum', 'redis', 'etcd']);
  if (systems.length === 0) return 1;

  const scratch = new Scratch(options.folder);
  const run = new BenchRun(scratch, seconds, options.quick ? 1 : Math.max(WARM_UP_SECONDS, seconds));
  try {
    for (let round = 0; round < rounds; round++) {
      console.error(`round ${round + 1} of ${rounds}`);
      await run.round(rotated(systems, round));
    }
  } catch (error) {
    // What was running was ended by the clean-up; its failure is not news.
    if (scratch.isEnding) return new Promise(() => {});
    throw error;
  } finally {
    if (!scratch.isEnding) await scratch.clean();
  }

  const rows = buildReport(run.samples as Samples);
  const at = new Date().toISOString();
  const name = options.to === undefined ? `${at.replaceAll(':', '-').slice(0, 19)}.json` : BENCH_FILE;
  const folder = options.to ?? fileURLToPath(new URL('./results', import.meta.url));
  const result = {
    at,
    machine: machine(),
    rounds,
    secondsPerLoad: seconds,
    clientBusy: Object.fromEntries(run.clientBusy),
    rows,
    cpu: run.cpu,
  };
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, name), `${JSON.stringify(result, undefined, 2)}\n`);

  if (options.json) console.log(JSON.stringify(result, undefined, 2));
  else {
    const costs = run.cpu.map(({ measure, system, rounds: all }) => ({
      load: MEASURES[measure].title,
      system,
      rounds: all,
    }));
    console.log(`\n${formatReport(rows)}\n\n${formatCpu(costs)}\n`);
    console.log(
      `Medians of ${counted(rounds, 'round')}, ${seconds} s each load, 100-byte values, everything on one machine.`,
    );
    if (rows.some(({ bar }) => bar?.isQuiet === false)) console.log(QUIET_ADVICE);
    for (const [system, busy] of run.clientBusy) {
      const verdict = busy < CLIENT_LIMIT ? 'not the limit' : 'POSSIBLY THE LIMIT: the figures may be too low';
      console.log(`The ${system} load generator was busy at most ${Math.round(busy * 100)} % of the time: ${verdict}.`);
    }
    console.log(`Written to ${join(folder, name)}`);
  }
  return rows.some(({ bar }) => bar?.passed === false && bar.isQuiet) ? 1 : 0;
}

const program = new Command('npm run bench --')
  .description('Measures kvorum beside redis-server and etcd; exits with 1 when a bar is missed.')
  .option('-r, --rounds <count>', 'rounds; medians are compared', count(100), 3)
  .option('-s, --seconds <seconds>', 'length of each load', count(600), 4)
  .option('-q, --quick', 'one round of one second a load: shows that everything works, not what is fast')
  .option('--only <systems>', 'comma-separated: kvorum, redis, etcd', systemList)
  .option('--folder <folder>', 'where the data goes: its disk is what is measured (default: the temporary folder)')
  .option('--to <folder>', `keep the figures there as ${BENCH_FILE} (default: bench/results, by the time of day)`)
  .option('--json', 'print the result file instead of the table');
program.parse();
process.exit(await main(program.opts<BenchOptions>()));
