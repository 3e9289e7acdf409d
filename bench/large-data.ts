/**
 * `npm run bench:large-data`: what bends when there is much data? Three nodes in processes of their own, three groups, clients on all nodes. Every key
 * is written once, then once more; then what was overwritten is collected, nodes are stopped, killed and started again, a range is moved, a replica is taken
 * away and brought back by a copy, clients ask for much and read nothing, and everything is deleted. Printed: rate and processor time by thread of each tenth of
 * the load, disk and memory of each node at each stage, what DBSIZE and SCAN find and cost, and how the bars were met. Exits with 1 when one was missed.
 *
 * The bars are ratios to what the same run had before, to the size of the data or to a stated limit, so they hold for any number of keys.
 */
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { clusterSettings, loadConfig, toClusterNodes } from '../src/config/index.ts';
import { cpuSecondsOf } from './cpu.ts';
import { fillCluster, KEY_BYTES } from './fill.ts';
import {
  BEFORE_OVERWRITING,
  COLLECTED,
  formatLargeData,
  type KeyCount,
  type LargeDataSamples,
  type LoadPart,
  type Restart,
  type Stage,
  verdictsOf,
} from './large-data/report.ts';
import { NODES, WatchedCluster } from './large-data/watched-cluster.ts';
import { type BenchmarkOptions, benchmark, count, oneOf } from './options.ts';
import { OthersWatch } from './others.ts';
import { moveRange, ownersFrom, splitAt } from './range-moves.ts';
import { conclude } from './results.ts';
import { Scratch } from './scratch.ts';
import { sumOf, timesBetween } from './thread-cpu.ts';

interface Options extends BenchmarkOptions {
  readonly keys: number;
  readonly bytes: number;
  readonly groups: number;
  readonly connections: number;
  readonly pipeline: number;
  readonly retention: number;
  readonly memory?: number;
  readonly only?: 'load';
}

const TIMES =
  'Measures a cluster with much data. Each key is written twice, and each stage waits for the one before: ' +
  'on two cores 2 million keys take half an hour, 4 million an hour, 20 million five hours. The bars are the same for all.';
const MIB = 1024 ** 2;
const PARTS = 10;
const SCAN_COUNT = 1_000;
const CALL_TIMEOUT_MS = 30_000;
const LOOK_MS = 200;
/** Collection and compaction of everything; a copy or a move of a group. */
const LONGEST_WAIT_MS = 3_600_000;
/** The first group of data has the first slots. */
const MOVED_SLOTS = 1_638;
/** Clients that read nothing: each asks for so many MGETs. */
const SLOW_CLIENTS = 50;
const SLOW_KEYS = 1_000;
const SLOW_ASKED_BYTES = 20 * MIB;
const SLOW_MS = 10_000;

/** Storage key at which a slot of database 0 begins. */
const slotStart = (slot: number): Buffer => Buffer.from([0x72, 0, slot >>> 8, slot & 0xff]);
const nameOf = (key: number): string => `key:${String(key).padStart(12, '0')}`;

/** Runs the stages one after the other, and notes what they took. */
class LargeDataRun {
  readonly stages: Stage[] = [];
  readonly counts: KeyCount[] = [];
  readonly restarts: Restart[] = [];
  readonly others = new OthersWatch();
  private readonly cluster: WatchedCluster;
  private readonly options: Options;
  private readonly logicalBytes: number;

  constructor(cluster: WatchedCluster, options: Options) {
    this.cluster = cluster;
    this.options = options;
    this.logicalBytes = options.keys * (KEY_BYTES + options.bytes);
  }

  private async stage<T>(name: string, work: () => Promise<T>): Promise<T> {
    console.error(`${new Date().toISOString().slice(11, 19)} ${name}`);
    const beganMs = performance.now();
    const result = await work();
    const seconds = (performance.now() - beganMs) / 1000;
    this.stages.push({ name, seconds, disk: this.cluster.diskUse(), peaks: this.cluster.takeMemoryPeaks() });
    return result;
  }

  /** Writes every key. */
  private async fill(): Promise<LoadPart[]> {
    const { keys, bytes: valueBytes, connections, pipeline } = this.options;
    const { cluster } = this;
    const parts: LoadPart[] = [];
    const noted: Promise<void>[] = [];
    let clocks = cluster.threadClocks();
    let atMs = performance.now();
    let writtenBytes = (await cluster.compactions()).writtenBytes;
    const onPart = (commands: number): void => {
      const nowMs = performance.now();
      const now = cluster.threadClocks();
      const cpu = now.map((clock, at) => timesBetween(clocks[at]!, clock, commands));
      const perSecond = (commands * 1000) / (nowMs - atMs);
      [clocks, atMs] = [now, nowMs];
      const what = `tenth ${noted.length + 1}`;
      const us = cpu.map((times) => sumOf(times).toFixed(1)).join(' ');
      console.error(`  ${what}: ${Math.round(perSecond)}/s, ${us} us of CPU a command`);
      noted.push(
        cluster.compactions().then((use) => {
          const rewritten = (use.writtenBytes - writtenBytes) / (commands * (KEY_BYTES + valueBytes)) / NODES;
          writtenBytes = use.writtenBytes;
          parts.push({ what, perSecond, cpu, rewritten, files: use.files });
        }),
      );
    };
    const { ports } = cluster;
    const { refused, why } = await fillCluster({
      ports,
      connections,
      pipeline,
      keys,
      valueBytes,
      parts: PARTS,
      onPart,
    });
    await Promise.all(noted);
    if (refused > 0) console.error(`  ${refused} writes were refused at first, and sent again: ${why}`);
    return parts;
  }

  private async count(when: string): Promise<void> {
    const client = this.cluster.client();
    try {
      const beganMs = performance.now();
      const dbsize = await client.dbsize();
      const dbsizeMs = performance.now() - beganMs;
      const cpuSeconds = this.nodesCpuSeconds();
      let scanned = 0;
      let cursor = '0';
      do {
        const [next, page] = await client.scan(cursor, 'COUNT', SCAN_COUNT);
        scanned += page.length;
        cursor = next;
      } while (cursor !== '0');
      const scanSeconds = (performance.now() - beganMs - dbsizeMs) / 1000;
      const scanCpuUs = ((this.nodesCpuSeconds() - cpuSeconds) * 1e6) / this.options.keys;
      this.counts.push({ when, dbsize, dbsizeMs, scanned, scanSeconds, scanCpuUs });
    } finally {
      client.disconnect();
    }
  }

  private readonly nodesCpuSeconds = (): number => this.cluster.pids.reduce((sum, pid) => sum + cpuSecondsOf(pid), 0);

  /** The last node, which no client of the load talks to alone. */
  private async restart(how: string, signal: NodeJS.Signals): Promise<void> {
    const { nodes, members } = this.cluster;
    const { nodeId } = members.at(-1)!;
    const ended = nodes.cluster.process(nodeId)!;
    ended.kill(signal);
    await ended.waitExit();
    const beganMs = performance.now();
    nodes.cluster.revive(nodeId);
    const since = (): number => (performance.now() - beganMs) / 1000;
    const client = this.cluster.client(members.length - 1);
    await client.get(nameOf(0));
    client.disconnect();
    const answersSeconds = since();
    await nodes.members();
    this.restarts.push({
      how,
      answersSeconds,
      readySeconds: since(),
      cpuSeconds: cpuSecondsOf(this.cluster.pids.at(-1)!),
    });
  }

  /** A tenth of all slots goes to the next group. */
  private async move(): Promise<void> {
    await this.cluster.ask(async (admin) => {
      const owners = await ownersFrom(admin, slotStart(0));
      const toGroup = owners.find((groupId) => groupId !== owners[0]);
      if (toGroup === undefined) {
        console.error('  there is no other group to move to');
        return;
      }
      await splitAt(admin, slotStart(MOVED_SLOTS));
      await moveRange(admin, slotStart(0), toGroup);
    });
  }

  /** The last node loses its replica of the last group, and has it again by a copy. */
  private async copy(): Promise<void> {
    const { nodeId } = this.cluster.members.at(-1)!;
    await this.cluster.ask(async (admin) => {
      const { groups } = await admin.call('Members', { groups: [] }, CALL_TIMEOUT_MS);
      const { groupId, leader } = groups.at(-1)!;
      if (leader === nodeId) {
        const to = this.cluster.members[0]!.nodeId;
        await admin.call('TransferLeader', { groupId, to }, CALL_TIMEOUT_MS);
      }
      await admin.call('Remove', { groupId, nodeId }, CALL_TIMEOUT_MS);
      const replica = async () => {
        const { groups: now } = await admin.call('Members', { groups: [groupId] }, CALL_TIMEOUT_MS);
        return now[0]?.members.find((member) => member.nodeId === nodeId);
      };
      await this.until('the removal', async () => (await replica()) === undefined);
      await admin.call('AddLearner', { groupId, nodeId, address: '' }, CALL_TIMEOUT_MS);
      await this.until('the copy', async () => {
        const member = await replica();
        return member?.state === 'replicate' && member.lagEntries < 1_000;
      });
      await admin.call('Promote', { groupId, nodeId }, CALL_TIMEOUT_MS);
    });
  }

  private async until(what: string, isOver: () => Promise<boolean>): Promise<void> {
    const deadlineMs = performance.now() + LONGEST_WAIT_MS;
    while (!(await isOver())) {
      if (performance.now() > deadlineMs) throw new Error(`${what} is not over after ${LONGEST_WAIT_MS / 1000} s`);
      await delay(LOOK_MS);
    }
  }

  /** They ask for a GiB together, and read nothing of it. */
  private async slowClients(): Promise<void> {
    const { keys, bytes } = this.options;
    const names = Array.from({ length: SLOW_KEYS }, (_, at) => nameOf(Math.floor((keys / SLOW_KEYS) * at)));
    const asked = `MGET ${names.join(' ')}\r\n`.repeat(Math.ceil(SLOW_ASKED_BYTES / (SLOW_KEYS * bytes)));
    const sockets = Array.from({ length: SLOW_CLIENTS }, () => {
      const socket = connect(this.cluster.ports[0]!, '127.0.0.1');
      // Nobody listens to 'data', so nothing is read. A node that has enough of it closes the connection.
      socket.on('error', () => {});
      socket.write(asked);
      return socket;
    });
    await delay(SLOW_MS);
    for (const socket of sockets) socket.destroy();
  }

  /** Everything is deleted, and its disk comes back. */
  private async flush(): Promise<LargeDataSamples['flushed']> {
    const beforeBytes = this.dataBytes();
    const client = this.cluster.client();
    const beganMs = performance.now();
    await client.flushall();
    client.disconnect();
    await this.cluster.untilCollected(Date.now(), beganMs + LONGEST_WAIT_MS);
    return { beforeBytes, leftBytes: this.dataBytes(), seconds: (performance.now() - beganMs) / 1000 };
  }

  private readonly dataBytes = (): number => this.cluster.diskUse().reduce((sum, { dataBytes }) => sum + dataBytes, 0);

  async run(memoryLimitBytes: number): Promise<LargeDataSamples> {
    const { keys } = this.options;
    const { logicalBytes, stages, counts, restarts } = this;
    const load = await this.stage('load', () => this.others.during(() => this.fill()));
    const common = { keys, logicalBytes, memoryLimitBytes, load, stages, counts, restarts };
    if (this.options.only === 'load')
      return { ...common, overwrite: [], flushed: undefined, isQuiet: this.others.isQuiet };
    await this.stage('files settle', () => this.cluster.untilSettled(performance.now() + LONGEST_WAIT_MS));
    await this.stage('count', () => this.count(BEFORE_OVERWRITING));
    const overwrite = await this.stage('overwrite', () => this.others.during(() => this.fill()));
    const overwrittenMs = Date.now();
    await this.stage('count again', () => this.count('right after overwriting'));
    await this.stage(COLLECTED, () => this.cluster.untilCollected(overwrittenMs, performance.now() + LONGEST_WAIT_MS));
    await this.stage('count collected', () => this.count('after collection'));
    await this.stage('restart', () => this.others.during(() => this.restart('a stop', 'SIGTERM')));
    await this.stage('restart after a kill', () => this.others.during(() => this.restart('kill -9', 'SIGKILL')));
    await this.stage('move of a tenth', () => this.move());
    await this.stage('copy of a replica', () => this.copy());
    await this.stage('clients that do not read', () => this.slowClients());
    const flushed = await this.stage('FLUSHALL', () => this.flush());
    return { ...common, overwrite, flushed, isQuiet: this.others.isQuiet };
  }
}

async function main(options: Options): Promise<number> {
  const scratch = new Scratch(options.folder);
  try {
    const flags = { retentionMs: options.retention * 1000, ...(options.memory && { memory: options.memory * MIB }) };
    const { values } = loadConfig(clusterSettings, { flags: { nodes: NODES, ...flags }, environment: {} });
    const memoryLimitBytes = toClusterNodes(values)[0]!.memory;
    const cluster = await WatchedCluster.start(scratch, options.groups, flags);
    const run = new LargeDataRun(cluster, options);
    const samples = await run.run(memoryLimitBytes);
    return conclude(
      {
        name: 'large-data',
        facts: { options, ...samples },
        tables: [formatLargeData(samples)],
        verdicts: verdictsOf(samples),
        others: run.others,
      },
      options,
    );
  } finally {
    await scratch.clean();
  }
}

const STAGES = ['load'] as const;
const program = benchmark({
  script: 'bench:large-data',
  says: TIMES,
  peers:
    'nobody: what is asked is how the cluster with much data is to itself with little. redis-server and etcd with up to a million keys are in bench:curves.',
})
  .option('--keys <count>', 'how many; 20 million are 4 GiB on each node', count(1e9), 4_000_000)
  .option('--bytes <count>', 'of a value', count(1e6), 200)
  .option('--groups <count>', 'groups of data', count(100), 3)
  .option('--connections <count>', 'of the load, dealt out to the nodes', count(1000), 6)
  .option('--pipeline <count>', 'commands that a connection has under way', count(10_000), 64)
  .option('--retention <seconds>', 'how long overwritten versions stay', count(86_400), 60)
  .option('--memory <mib>', 'what a node is to stay within (default: its own)', count(1e6))
  .option('--only <stage>', 'load: nothing after the new keys', oneOf(STAGES));
program.parse();
process.exit(await main(program.opts<Options>()));
