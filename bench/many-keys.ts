/**
 * `npm run bench:many-keys`: what commands on many keys cost. This program and release 0.1.0 are started in turn, three nodes and one group each, beside a
 * redis-server that syncs every write: SET, SET with -P 16 and GET over 100,000 keys, with the processor time that a command takes of the
 * leader and of a follower, by thread; a million new keys by `redis-cli --pipe`; SET while LevelDB sorts those. Processor time is counted until the
 * nodes rest, so that nothing that is done later is left out. New keys are sent in the first round alone, and no round is begun that would not end in
 * time. Everything is on loopback and ends by itself; the figures are kept in bench/results.
 */
import { openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ReleasedProgram, skipWithoutHistory } from '../jepsen/cluster/releases.ts';
import { rotated } from './machine.ts';
import {
  BUILDS,
  type Build,
  formatManyKeys,
  LOADS,
  type Load,
  type LoadSample,
  type PipeSample,
  verdictsOf,
} from './many-keys-report.ts';
import { type BenchmarkOptions, benchmark, count, someOf } from './options.ts';
import { OthersWatch } from './others.ts';
import { KvorumPeer } from './peers/kvorum.ts';
import { type LoadSpec, MANY_KEYS, type Peer, VALUE_BYTES } from './peers/peer.ts';
import { RedisPeer } from './peers/redis.ts';
import { conclude } from './results.ts';
import { withRoleTimes } from './role-cpu.ts';
import { runRounds } from './rounds.ts';
import { areInstalled, Scratch } from './scratch.ts';
import { sumOf, threadClock, timesBetween } from './thread-cpu.ts';

interface Options extends BenchmarkOptions {
  readonly minutes: number;
  readonly keys: number;
  readonly builds?: readonly Build[];
}

const CLIENTS = 50;
const WARM_UP_SECONDS = 6;
const PIPE_TIMEOUT_MS = 600_000;
/** Nodes rest when they use less than this share of a processor, each, for so long. */
const REST_SHARE = 0.08;
const REST_MS = 2_000;
const LONGEST_UNREST_MS = 20_000;
/** Commands in one piece of the file that redis-cli sends. */
const COMMANDS_AT_ONCE = 10_000;

/** SETs of new keys, as redis-cli sends them. @returns the path */
function writeCommands(path: string, keys: number): string {
  const value = 'x'.repeat(VALUE_BYTES);
  const file = openSync(path, 'w');
  for (let at = 0; at < keys; at += COMMANDS_AT_ONCE) {
    let text = '';
    for (let key = at; key < Math.min(keys, at + COMMANDS_AT_ONCE); key++) {
      text += `*3\r\n$3\r\nSET\r\n$16\r\npip:${String(key).padStart(12, '0')}\r\n$${VALUE_BYTES}\r\n${value}\r\n`;
    }
    writeSync(file, text);
  }
  return path;
}

/** Measures one build after the other. */
class ManyKeysRun {
  readonly loads: LoadSample[] = [];
  readonly pipes: PipeSample[] = [];
  readonly others = new OthersWatch();
  private readonly scratch: Scratch;
  private readonly options: Options;
  private readonly released: ReleasedProgram | undefined;
  private readonly commands: string;

  constructor(scratch: Scratch, options: Options, released: ReleasedProgram | undefined) {
    this.scratch = scratch;
    this.options = options;
    this.released = released;
    this.commands = writeCommands(join(scratch.folder, 'commands'), options.keys);
  }

  /** @param withNewKeys sends them after the loads */
  async round(build: Build, withNewKeys: boolean): Promise<void> {
    if (build === 'redis') {
      const redis = new RedisPeer(this.scratch);
      await this.measure(build, redis, () => redis.port, withNewKeys);
      return;
    }
    const kvorum = new KvorumPeer(this.scratch, build === 'now' ? undefined : this.released!.script);
    await this.measure(build, kvorum, () => kvorum.leaderPort(), withNewKeys);
  }

  private async measure(build: Build, peer: Peer, port: () => number, withNewKeys: boolean): Promise<void> {
    await peer.start();
    try {
      for (const load of ['set', 'get'] as const) await peer.load(this.spec(load, this.warmUpSeconds));
      for (const load of Object.keys(LOADS) as Load[]) await this.measureLoad(build, load, peer);
      if (withNewKeys) await this.measurePipe(build, peer, port());
    } finally {
      await peer.stop();
    }
  }

  private get warmUpSeconds(): number {
    return this.options.quick === true ? 1 : WARM_UP_SECONDS;
  }

  private spec(load: Load, seconds: number): LoadSpec {
    const { pipeline, operation } = LOADS[load];
    return { operation, clients: CLIENTS, pipeline, keyCount: MANY_KEYS, seconds };
  }

  private async measureLoad(build: Build, load: Load, peer: Peer): Promise<void> {
    const processes = peer.processes();
    const pids = processes.flatMap((role) => role.pids);
    await this.untilTheyRest(pids);
    const { figures, cpu } = await withRoleTimes(processes, async () => {
      const done = await this.others.during(() => peer.load(this.spec(load, this.options.seconds)));
      await this.untilTheyRest(pids);
      return done;
    });
    const { perSecond } = figures;
    this.loads.push({ build, load, perSecond, cpu });
    const shown = Object.entries(cpu).map(([role, times]) => `${sumOf(times).toFixed(1)} us ${role}`);
    console.error(`  ${build.padEnd(6)}  ${LOADS[load].title}: ${Math.round(perSecond)}/s, ${shown.join(', ')}`);
  }

  private async measurePipe(build: Build, peer: Peer, port: number): Promise<void> {
    const startMs = performance.now();
    const args = ['-h', '127.0.0.1', '-p', String(port), '--pipe'];
    const send = () => this.scratch.run('redis-cli', args, PIPE_TIMEOUT_MS, this.commands);
    const said = await this.others.during(send);
    const seconds = (performance.now() - startMs) / 1000;
    if (!/errors: 0, replies: \d+/.test(said)) throw new Error(`redis-cli was refused something: ${said}`);
    const { p50Ms, p99Ms } = await peer.load(this.spec('set', this.options.seconds));
    this.pipes.push({ build, seconds, p50Ms, p99Ms });
    console.error(
      `  ${build.padEnd(6)}  ${this.options.keys} keys: ${seconds.toFixed(1)} s; then p50 ${p50Ms} ms, p99 ${p99Ms} ms`,
    );
  }

  /** What was applied is written a while later, and sorted after that: it belongs to the commands. */
  private async untilTheyRest(pids: readonly number[]): Promise<void> {
    const endMs = performance.now() + LONGEST_UNREST_MS;
    for (let isAtRest = false; !isAtRest && performance.now() < endMs; ) {
      const before = pids.map(threadClock);
      const startMs = performance.now();
      await delay(REST_MS);
      const wallUs = (performance.now() - startMs) * 1000;
      isAtRest = pids.every((pid, at) => sumOf(timesBetween(before[at]!, threadClock(pid), 1)) < REST_SHARE * wallUs);
    }
  }
}

async function main(given: Options): Promise<number> {
  const options =
    given.quick === true ? { ...given, rounds: 1, seconds: 1, keys: Math.min(given.keys, 20_000) } : given;
  if (!(await areInstalled('redis-server', 'redis-benchmark', 'redis-cli'))) return 1;
  const builds = (options.builds ?? BUILDS).filter((build) => build !== '0.1.0' || skipWithoutHistory === false);
  const released = builds.includes('0.1.0') ? new ReleasedProgram('0.1.0') : undefined;
  const scratch = new Scratch(options.folder);
  scratch.own(async () => released?.remove());
  const run = new ManyKeysRun(scratch, options, released);
  let rounds = 0;
  try {
    rounds = await runRounds(options.rounds, options.minutes, async (round) => {
      for (const build of rotated(builds, round)) await run.round(build, round === 0);
    });
  } finally {
    await scratch.clean();
  }
  const { loads, pipes, others } = run;
  const samples = { loads, pipes, isQuiet: others.isQuiet };
  return conclude(
    {
      name: 'many-keys',
      facts: { rounds, secondsPerLoad: options.seconds, keys: options.keys, loads, pipes },
      tables: [formatManyKeys(samples)],
      verdicts: verdictsOf(samples),
      others,
    },
    options,
  );
}

const program = benchmark({
  script: 'bench:many-keys',
  says: 'Measures commands on many keys, this program beside release 0.1.0.',
  peers:
    'release 0.1.0 of this program, and one redis-server that syncs every write. etcd and many keys are in bench:curves.',
  rounds: 3,
  seconds: 6,
  quick: 'one round of one second a load, few keys',
})
  .option('--minutes <minutes>', 'no round is begun that would not end within this', count(600), 9)
  .option('--keys <count>', 'new keys that redis-cli sends', count(1e8), 1_000_000)
  .option('--builds <builds>', `comma-separated: ${BUILDS.join(', ')}`, someOf(BUILDS));
program.parse();
process.exit(await main(program.opts<Options>()));
