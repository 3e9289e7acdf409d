/**
 * `npm run bench:types`: commands on hashes, lists, sets, sorted sets and streams, and scripts, on a kvorum cluster of three beside redis-server that
 * syncs every write, on this machine, in one run. The systems take turns, round by round. A ratio to Redis is held against the ratio of SET (of GET, for
 * reads): what a collection costs more than a string is what is measured, not the machine. Besides: DEL, EXPIRE and SET over a large collection against
 * one element, what other connections see while a large hash is read, how soon a client of one node has what one of another node pushes, and how many
 * messages a second reach all nodes. Everything is on loopback and ends by itself; the figures are kept in bench/results.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { formatCount } from '../cmd/cli/table.ts';
import { drawnName, fillingCommands, REFERENCES, TYPE_MEASURES, type TypeMeasure } from './collections/measures.ts';
import { fill, loadInTurn } from './collections/plain-load.ts';
import { measurePublishing } from './collections/publishing.ts';
import {
  answersMeanwhile,
  arrivesInTime,
  formatTypes,
  isAsSmall,
  type LongReadSample,
  type PublishSample,
  type TypesSystem,
  typesRows,
  type WakeUpSample,
  type WholeKeySample,
  wakesInTime,
} from './collections/types-report.ts';
import { measureWakeUps } from './collections/wake-up.ts';
import { rotated } from './machine.ts';
import { type BenchmarkOptions, benchmark, count, someOf } from './options.ts';
import { OthersWatch } from './others.ts';
import { KvorumPeer } from './peers/kvorum.ts';
import type { LoadFigures } from './peers/peer.ts';
import { RedisPeer } from './peers/redis.ts';
import { benchmarkCommand } from './peers/redis-benchmark.ts';
import { conclude } from './results.ts';
import { type Processes, type RoleTimes, withRoleTimes } from './role-cpu.ts';
import { areInstalled, Scratch } from './scratch.ts';

interface TypesOptions extends BenchmarkOptions {
  readonly fields: number;
  readonly large?: boolean;
  readonly only?: readonly string[];
}

const CLIENTS = 50;
const WARM_UP_SECONDS = 12;
/** Collections that are deleted, let expire and overwritten. */
const WHOLE_KEYS = 8;
const EXPIRY_S = 1000;
/** Of what has to be there, with `--quick`. */
const QUICK_SHARE = 0.02;
const QUICK_COMMANDS = 2_000;
const QUIET_MS = 300;
const PING_PAUSE_MS = 5;
const WAKE_UPS = 200;
const QUICK_WAKE_UPS = 10;
/** Published for each second of a load. */
const MESSAGES_A_SECOND = 50_000;
const QUICK_MESSAGES = 2_000;

/** What is needed of a system. */
interface Target {
  readonly system: TypesSystem;
  start(): Promise<void>;
  port(): number;
  /** Of each of three nodes, `port` first. */
  ports(): readonly [number, number, number];
  processes(): readonly Processes[];
  stop(): Promise<void>;
}

function targets(scratch: Scratch): Target[] {
  const kvorum = new KvorumPeer(scratch);
  const redis = new RedisPeer(scratch);
  return [
    {
      system: 'kvorum',
      start: () => kvorum.start(),
      port: () => kvorum.leaderPort(),
      ports: () => kvorum.nodePorts(),
      processes: () => kvorum.processes(),
      stop: () => kvorum.stop(),
    },
    {
      system: 'redis',
      start: () => redis.start(),
      port: () => redis.port,
      ports: () => [redis.port, redis.port, redis.port],
      processes: () => redis.processes(),
      stop: () => redis.stop(),
    },
  ];
}

/** Measures both systems once in turn. */
class TypesRun {
  readonly rates: Record<string, { [S in TypesSystem]?: number[] }> = {};
  readonly wholeKeys: WholeKeySample[] = [];
  readonly longReads: LongReadSample[] = [];
  readonly wakeUps: WakeUpSample[] = [];
  readonly publishing: PublishSample[] = [];
  readonly cpu: { readonly load: string; readonly system: TypesSystem; readonly rounds: RoleTimes[] }[] = [];
  readonly others = new OthersWatch();
  private readonly scratch: Scratch;
  private readonly options: TypesOptions;
  private readonly measures: readonly TypeMeasure[];

  constructor(scratch: Scratch, options: TypesOptions) {
    this.scratch = scratch;
    this.options = options;
    const isWanted = ({ name }: TypeMeasure): boolean => options.only?.includes(name) ?? true;
    this.measures = TYPE_MEASURES.filter(
      (measure, at) => at < REFERENCES || (isWanted(measure) && (!measure.isLarge || options.large)),
    );
  }

  async round(target: Target): Promise<void> {
    await target.start();
    try {
      const filled = new Set<unknown>();
      const warmUp = this.options.quick ? 1 : Math.max(WARM_UP_SECONDS, this.options.seconds);
      for (const measure of this.measures.slice(0, REFERENCES)) await this.load(target, measure, warmUp);
      for (const measure of this.measures) {
        const { filling } = measure;
        const name = filling === undefined || filling === 'packedHashes' ? filling : filling.key;
        if (filling !== undefined && !filled.has(name))
          await fill(target.port(), fillingCommands(filling, this.options.quick ? QUICK_SHARE : 1));
        filled.add(name);
        const load = (): Promise<LoadFigures> => this.load(target, measure, this.options.seconds);
        const { figures, cpu } = await this.others.during(() => withRoleTimes(target.processes(), load));
        this.record(target.system, measure, figures.perSecond, cpu);
      }
      await this.measureWholeKeys(target);
      await this.measureLongRead(target);
      await this.measureClients(target);
    } finally {
      await target.stop();
    }
  }

  private async load(target: Target, measure: TypeMeasure, seconds: number): Promise<LoadFigures> {
    const { args, keyCount, pipeline = 1, isRising, isPopping, filling } = measure;
    if (isRising === true) {
      const commandOf = (at: number): string[] => [...args, String(at), drawnName(at)];
      return loadInTurn(target.port(), CLIENTS, seconds, commandOf);
    }
    const load = { args, clients: CLIENTS, pipeline, keyCount, seconds };
    const there = isPopping === true && filling !== undefined && filling !== 'packedHashes' ? filling.count : Infinity;
    const mostCommands = this.options.quick ? QUICK_COMMANDS : there;
    return benchmarkCommand(this.scratch, target.port(), { ...load, mostCommands });
  }

  private record(system: TypesSystem, { name, title }: TypeMeasure, perSecond: number, cpu: RoleTimes): void {
    const bySystem = this.rates[name] ?? {};
    this.rates[name] = bySystem;
    bySystem[system] = [...(bySystem[system] ?? []), perSecond];
    const line = this.cpu.find((other) => other.load === title && other.system === system);
    if (line === undefined) this.cpu.push({ load: title, system, rounds: [cpu] });
    else line.rounds.push(cpu);
    console.error(`  ${system.padEnd(6)}  ${title}: ${formatCount(perSecond)}/s`);
  }

  private async measureWholeKeys({ system, port }: Target): Promise<void> {
    const client = new Redis(port(), '127.0.0.1');
    const count = this.options.fields / 10;
    const commands: Record<string, (key: string) => Promise<unknown>> = {
      DEL: (key) => client.del(key),
      EXPIRE: (key) => client.expire(key, EXPIRY_S),
      'SET over it': (key) => client.set(key, 'x'),
    };
    try {
      for (const [command, act] of Object.entries(commands)) {
        const timed = async (elements: number): Promise<number[]> => {
          const latenciesMs: number[] = [];
          for (let left = WHOLE_KEYS; left > 0; left--) {
            const key = `whole:${left}`;
            await client.del(key);
            await fill(port(), fillingCommands({ key, kind: 'zset', count: elements }, 1));
            // What was filled in is to be applied everywhere before: its backlog is not what is measured.
            await delay(QUIET_MS);
            await client.get(key.slice(1));
            const startMs = performance.now();
            await act(key);
            latenciesMs.push(performance.now() - startMs);
          }
          return latenciesMs;
        };
        this.wholeKeys.push({ command, system, largeMs: await timed(count), smallMs: await timed(1) });
      }
    } finally {
      client.disconnect();
    }
  }

  private async measureLongRead({ system, port }: Target): Promise<void> {
    const { fields } = this.options;
    await fill(port(), fillingCommands({ key: 'long', kind: 'hash', count: fields }, 1));
    const [reader, other] = [new Redis(port(), '127.0.0.1'), new Redis(port(), '127.0.0.1')];
    try {
      await Promise.all([reader.ping(), other.ping()]);
      let isOver = false;
      let slowestPingMs = 0;
      const startMs = performance.now();
      // As the server sends it: to make an object of a million fields would hold the loop of this process.
      const reading = this.readWhole(port()).finally(() => {
        isOver = true;
      });
      while (!isOver) {
        const sentMs = performance.now();
        await other.ping();
        slowestPingMs = Math.max(slowestPingMs, performance.now() - sentMs);
        await delay(PING_PAUSE_MS);
      }
      await reading;
      const readMs = performance.now() - startMs;
      this.longReads.push({ system, fields, readMs, slowestPingMs });
    } finally {
      reader.disconnect();
      other.disconnect();
    }
  }

  /** What clients of different nodes have from each other. */
  private async measureClients({ system, ports }: Target): Promise<void> {
    const { quick, seconds } = this.options;
    const [first, second, third] = ports();
    const wakeUps = await measureWakeUps([second, third], quick ? QUICK_WAKE_UPS : WAKE_UPS);
    this.wakeUps.push({ system, ...wakeUps });
    const messages = quick ? QUICK_MESSAGES : MESSAGES_A_SECOND * seconds;
    this.publishing.push({ system, ...(await measurePublishing(this.scratch, [first, second, third], messages)) });
  }

  private async readWhole(port: number): Promise<void> {
    await this.scratch.run(
      'redis-benchmark',
      ['-h', '127.0.0.1', '-p', String(port), '-c', '1', '-n', '1', '-q', 'HGETALL', 'long'],
      600_000,
    );
  }
}

async function main(given: TypesOptions): Promise<number> {
  const options = given.quick ? { ...given, rounds: 1, seconds: 1, fields: Math.min(given.fields, 20_000) } : given;
  if (!(await areInstalled('redis-server', 'redis-benchmark'))) return 1;
  const scratch = new Scratch(options.folder);
  const run = new TypesRun(scratch, options);
  try {
    for (let round = 0; round < options.rounds; round++) {
      console.error(`round ${round + 1} of ${options.rounds}`);
      for (const target of rotated(targets(scratch), round)) await run.round(target);
    }
  } finally {
    await scratch.clean();
  }
  const { wholeKeys, longReads, wakeUps, publishing, cpu, others } = run;
  const { isQuiet } = others;
  const rows = typesRows(run.rates, isQuiet);
  const facts = { rows, wholeKeys, longReads, wakeUps, publishing, cpu };
  const ours = <T extends { readonly system: TypesSystem }>(samples: readonly T[], hasPassed: (sample: T) => boolean) =>
    samples.flatMap((sample) => (sample.system === 'kvorum' ? [{ passed: hasPassed(sample), isQuiet }] : []));
  return conclude(
    {
      name: 'types',
      facts: { rounds: options.rounds, secondsPerLoad: options.seconds, ...facts },
      tables: [formatTypes({ ...facts, isQuiet })],
      verdicts: [],
      judged: [
        ...rows,
        ...ours(wholeKeys, isAsSmall),
        ...ours(longReads, answersMeanwhile),
        ...ours(wakeUps, wakesInTime),
        ...ours(publishing, arrivesInTime),
      ],
      others,
    },
    options,
  );
}

const NAMES = TYPE_MEASURES.map(({ name }) => name);
const program = benchmark({
  script: 'bench:types',
  says: 'Measures commands on collections, scripts and messages.',
  peers: 'one redis-server that syncs every write.',
  rounds: 3,
  seconds: 4,
  quick: 'one round of one second a load, small collections',
})
  .option(
    '--fields <count>',
    'fields of the hash that is read as a whole; a tenth of it is what DEL, EXPIRE and SET meet',
    count(1e8),
    1_000_000,
  )
  .option('--large', 'also a sorted set of ten million members; takes long to fill')
  .option('--only <measures>', `besides SET and GET, comma-separated: ${NAMES.join(', ')}`, someOf(NAMES));
program.parse();
process.exit(await main(program.opts<TypesOptions>()));
