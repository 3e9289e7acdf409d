/**
 * `npm run bench:snapshots`: what does it take to bring a new node up to date? A node with state of the wanted size serves a
 * client while it brings a learner up; the learner is a process of its own, the sender this one. Printed: how long the
 * learner took and what the client saw meanwhile; what of a transfer that broke was sent again; how soon a node with that state
 * serves after a restart; and how long the event loop was held, of a store that is cut and does nothing else, and of the node that
 * sends: as time, which a busy machine spoils, and as processor time of the main thread between two looks at the clock, which
 * it does not.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { keepHeapWithin } from '../cmd/cli/heap-limits.ts';
import { formatTable } from '../cmd/cli/table.ts';
import { AdminClient } from '../src/adapter/grpc/index.ts';
import { loadConfig, nodeMemoryBytes, nodeSettings, toNodeOptions } from '../src/config/index.ts';
import { type RunningNode, startNode } from '../src/node.ts';
import { hlcTimestamp, SeededRandom, SystemScheduler } from '../src/platform/index.ts';
import { openGroupStore } from '../src/store/group/open.ts';
import { CutThread } from '../src/store/segments/cut-thread.ts';
import { type BenchmarkOptions, benchmark, count } from './options.ts';
import { OthersWatch } from './others.ts';
import { percentile } from './percentile.ts';
import { conclude } from './results.ts';
import { type CpuLine, formatCpu, THIS_PROCESS, withRoleTimes } from './role-cpu.ts';
import { freePortRange, Scratch } from './scratch.ts';
import { load, sampleValue, Writer } from './snapshot-client.ts';
import type { Verdict } from './spread.ts';

const MIB = 1024 * 1024;
const GROUP = 1;
const CALL_TIMEOUT_MS = 30_000;
const CATCH_UP_MS = 600_000;
/** Bars for 1 GiB. */
const LEARNER_BAR_S = 60;
const RESTART_BAR_S = 10;
const BLOCK_BAR_MS = 5;

interface Options extends BenchmarkOptions {
  readonly mib: number;
  readonly valueBytes: number;
}

interface Figure {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** Processor time and counts are judged on a busy machine too. */
  readonly bar?: { readonly atMost: number; readonly needsClock?: boolean };
}

/** The longest that the event loop was held between two looks at it, a millisecond apart. */
class LoopWatch {
  private readonly delay = monitorEventLoopDelay({ resolution: 1 });
  private readonly timer: NodeJS.Timeout;
  private lastCpuUs: number;
  longestCpuMs = 0;

  constructor() {
    this.delay.enable();
    this.lastCpuUs = LoopWatch.cpuUs();
    this.timer = setInterval(() => {
      const now = LoopWatch.cpuUs();
      this.longestCpuMs = Math.max(this.longestCpuMs, (now - this.lastCpuUs) / 1000);
      this.lastCpuUs = now;
    }, 1);
  }

  private static cpuUs(): number {
    const { user, system } = process.threadCpuUsage();
    return user + system;
  }

  end(): { readonly longestCpuMs: number; readonly p99Ms: number; readonly longestMs: number } {
    clearInterval(this.timer);
    this.delay.disable();
    const { longestCpuMs, delay } = this;
    return { longestCpuMs, p99Ms: delay.percentile(99) / 1e6, longestMs: delay.max / 1e6 };
  }
}

/** A store that is cut by itself, and built again from the segments. */
async function measureStore(mib: number, valueBytes: number, scratch: Scratch): Promise<Figure[]> {
  const random = new SeededRandom(1);
  const cutter = new CutThread(new SystemScheduler());
  const store = await openGroupStore({ location: scratch.newFolder('source'), cutter });
  const keys = Math.ceil((mib * MIB) / valueBytes);
  for (let at = 0; at < keys; ) {
    const writer = store.write();
    const index = store.appliedIndex + 1;
    for (let left = 64; left > 0 && at < keys; left--, at++) {
      writer.put(Buffer.from(`key:${String(at).padStart(12, '0')}`), sampleValue(random, valueBytes), ts(index), ts(0));
    }
    writer.commit(index);
    await store.pressure();
    if (index % 16 === 0) await sleep(0);
  }
  await store.flush();
  // Whatever LevelDB has to tidy up is not the cut's.
  await sleep(2000);
  const calm = new LoopWatch();
  await sleep(2000);
  const idle = calm.end();
  const watch = new LoopWatch();
  const began = { atMs: performance.now(), cpu: process.cpuUsage() };
  const cut = await store.exportSegments(() => ({}));
  const cutS = (performance.now() - began.atMs) / 1000;
  const cutCpu = process.cpuUsage(began.cpu);
  const held = watch.end();
  const target = await openGroupStore({ location: scratch.newFolder('target') });
  const ingestBegan = { atMs: performance.now(), cpu: process.cpuUsage() };
  const { segments } = cut.manifest;
  const broken = await target.stageImport(cut.manifest);
  const whole = Math.floor(segments.length / 2);
  for (const at of broken.missing.slice(0, whole)) await broken.receive(at, cut.frames(segments[at]!));
  await broken.discard();
  const staged = await target.stageImport(cut.manifest);
  const resent = segments.length - whole;
  for (const at of staged.missing) await staged.receive(at, cut.frames(segments[at]!));
  await staged.finish();
  await staged.install();
  const ingestCpu = process.cpuUsage(ingestBegan.cpu);
  const figures: Figure[] = [
    { what: 'state', value: mib, unit: 'MiB' },
    { what: 'segments', value: segments.length, unit: '' },
    {
      what: `sent after a break behind ${whole} of them`,
      value: staged.missing.length,
      unit: '',
      bar: { atMost: resent },
    },
    { what: 'segments, compressed', value: cut.manifest.bytes / MIB, unit: 'MiB' },
    { what: 'cut', value: cutS, unit: 's' },
    { what: 'cut, processor time', value: (cutCpu.user + cutCpu.system) / 1e6, unit: 's' },
    {
      what: 'loop held by the cut, processor time',
      value: held.longestCpuMs,
      unit: 'ms',
      bar: { atMost: BLOCK_BAR_MS },
    },
    { what: 'loop held by the cut, longest delay', value: held.longestMs, unit: 'ms' },
    { what: 'loop held by the cut, p99 delay', value: held.p99Ms, unit: 'ms' },
    { what: 'loop held by nothing, longest delay', value: idle.longestMs, unit: 'ms' },
    { what: 'receive, prove, ingest, swap', value: (performance.now() - ingestBegan.atMs) / 1000, unit: 's' },
    { what: 'the same, processor time', value: (ingestCpu.user + ingestCpu.system) / 1e6, unit: 's' },
  ];
  await cut.close();
  await store.close();
  await target.close();
  cutter.end();
  return figures;
}

const ts = (value: number) => hlcTimestamp(BigInt(value));

/** A node of the cluster as a process of its own. */
function serveLearner(scratch: Scratch, folder: string, ports: readonly number[], address: string) {
  return scratch.serve(process.execPath, [
    fileURLToPath(new URL('../cmd/kvorum.ts', import.meta.url)),
    'server',
    ...['--node-id', '2', '--join', '--data-folder', folder, '--members', `1=${address},2=127.0.0.1:${ports[1]}`],
    ...['--redis-port', String(ports[0]), '--grpc-port', String(ports[1]), '--metrics-port', String(ports[2])],
  ]);
}

async function untilCaughtUp(admin: AdminClient): Promise<void> {
  for (const giveUpMs = performance.now() + CATCH_UP_MS; ; ) {
    const { groups } = await admin.call('Members', { groups: [GROUP] }, CALL_TIMEOUT_MS);
    const learner = groups[0]?.members.find((member) => member.nodeId === 2);
    if (learner !== undefined && learner.state === 'replicate' && learner.lagEntries < 1000) return;
    if (performance.now() > giveUpMs) throw new Error(`the learner is still ${JSON.stringify(learner)}`);
    await sleep(100);
  }
}

/** @param costs where what the transfer took of both nodes goes, a MiB */
async function measureNodes(
  { mib, valueBytes }: Options,
  scratch: Scratch,
  others: OthersWatch,
  costs: CpuLine[],
): Promise<Figure[]> {
  const first = await freePortRange(6);
  const address = `127.0.0.1:${first + 1}`;
  const flags = {
    dataFolder: scratch.newFolder('node1'),
    'redis.port': first,
    'grpc.port': first + 1,
    'metrics.port': first + 2,
    'snapshots.bytesPerSecond': 512 * MIB,
    members: `1=${address}`,
  };
  const options = toNodeOptions(loadConfig(nodeSettings, { flags, environment: {} }).values);
  let node: RunningNode = await startNode(options, 'bench');
  scratch.own(() => node.stop());
  while (!node.readiness().ready) await sleep(20);
  console.error(`loading ${mib} MiB`);
  await load(first, Math.ceil((mib * MIB) / valueBytes), valueBytes);
  const admin = new AdminClient(address);
  scratch.own(async () => admin.close());
  const figures: Figure[] = [];

  const learnerFolder = scratch.newFolder('node2');
  const ports = [first + 3, first + 4, first + 5];
  let learner = serveLearner(scratch, learnerFolder, ports, address);
  const calm = new Writer(first);
  const calmWatch = new LoopWatch();
  await sleep(3000);
  const calmMs = await calm.end();
  const before = calmWatch.end();
  console.error('adding a learner');
  const writer = new Writer(first);
  const watch = new LoopWatch();
  const beganMs = performance.now();
  const nodes = [
    { ...THIS_PROCESS[0]!, role: 'sender' },
    { role: 'learner', pids: [learner.pid] },
  ];
  const { cpu } = await others.during(() =>
    withRoleTimes(nodes, async () => {
      const added = { groupId: GROUP, nodeId: 2, address: `127.0.0.1:${ports[1]}` };
      await admin.call('AddLearner', added, CALL_TIMEOUT_MS);
      await untilCaughtUp(admin);
      return { commands: mib };
    }),
  );
  const learnerS = (performance.now() - beganMs) / 1000;
  costs.push({ load: 'state to a new learner', system: 'kvorum', rounds: [cpu] });
  const held = watch.end();
  const latenciesMs = await writer.end();
  figures.push(
    {
      what: 'state to a new learner, while serving',
      value: learnerS,
      unit: 's',
      bar: { atMost: LEARNER_BAR_S, needsClock: true },
    },
    { what: 'SET meanwhile, p50', value: percentile(latenciesMs, 0.5), unit: 'ms' },
    { what: 'SET meanwhile, p99', value: percentile(latenciesMs, 0.99), unit: 'ms' },
    { what: 'SET before, p50', value: percentile(calmMs, 0.5), unit: 'ms' },
    { what: 'SET before, p99', value: percentile(calmMs, 0.99), unit: 'ms' },
    { what: 'loop of the sender, processor time', value: held.longestCpuMs, unit: 'ms' },
    { what: 'loop of the sender, longest delay', value: held.longestMs, unit: 'ms' },
    { what: 'loop before, processor time', value: before.longestCpuMs, unit: 'ms' },
    { what: 'loop before, longest delay', value: before.longestMs, unit: 'ms' },
  );

  console.error('restarting the learner');
  await learner.kill('SIGTERM');
  const learnerMs = performance.now();
  learner = serveLearner(scratch, learnerFolder, ports, address);
  await others.during(() => untilServing(ports[0]!));
  const restartS = (performance.now() - learnerMs) / 1000;
  figures.push({
    what: 'restart until it serves',
    value: restartS,
    unit: 's',
    bar: { atMost: RESTART_BAR_S, needsClock: true },
  });
  await learner.kill('SIGTERM');
  await node.stop();
  node = { ...node, stop: async () => {} };
  return figures;
}

async function untilServing(port: number): Promise<void> {
  const client = new Redis(port, '127.0.0.1', { retryStrategy: () => 20, maxRetriesPerRequest: null });
  client.on('error', () => {});
  await client.get('key:000000000000');
  client.disconnect();
}

const shownValue = ({ value, unit }: Figure): string => `${value.toFixed(value < 100 ? 2 : 0)} ${unit}`.trim();

function verdictsOf(figures: readonly Figure[], isQuiet: boolean): Verdict[] {
  return figures.flatMap((figure): Verdict[] => {
    const { what, value, unit, bar } = figure;
    if (bar === undefined) return [];
    const text = `${what}: ${shownValue(figure)}, <= ${bar.atMost} ${unit}`.trim();
    return [{ text, passed: value <= bar.atMost, isQuiet: isQuiet || bar.needsClock !== true }];
  });
}

async function main(options: Options): Promise<number> {
  // This process is a node too.
  keepHeapWithin(nodeMemoryBytes());
  const scratch = new Scratch(options.folder);
  const others = new OthersWatch();
  const costs: CpuLine[] = [];
  const figures: Figure[] = [];
  try {
    figures.push(...(await others.during(() => measureStore(options.mib, options.valueBytes, scratch))));
    figures.push(...(await measureNodes(options, scratch, others, costs)));
  } finally {
    await scratch.clean();
  }
  const rows = figures.map((figure) => [figure.what, shownValue(figure)]);
  return conclude(
    {
      name: 'snapshots',
      facts: { mib: options.mib, valueBytes: options.valueBytes, figures, costs },
      tables: [formatTable([['what', ''], ...rows], ['left', 'right']), formatCpu(costs, 'us of CPU a MiB')],
      verdicts: verdictsOf(figures, others.isQuiet),
      others,
    },
    options,
  );
}

const program = benchmark({
  script: 'bench:snapshots',
  says: 'Measures what it takes to bring a new node up to date. It is done once: what was quiet is known by what others used.',
  peers: 'nobody: a replica of redis-server may lose what was acknowledged, and etcd is not made for a GiB.',
})
  .option('--mib <size>', 'state; the bars are for 1024', count(1e6), 128)
  .option('--value-bytes <size>', 'length of a value', count(1e6), 1000);
program.parse();
process.exit(await main(program.opts<Options>()));
