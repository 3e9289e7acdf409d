/**
 * `npm run bench:idle`: what groups cost that nobody uses. Three processes, each an engine over the real network on loopback and a real write-ahead log, with state machines that keep nothing: the stores
 * of real nodes are another question. Reports each node's CPU time over an idle stretch, memory, bytes on the wire, and how
 * long the groups were without leaders, at the start and after a node is killed.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Option } from 'commander';
import { formatTable } from '../cmd/cli/table.ts';
import {
  groupId,
  nodeId,
  type PeerNetwork,
  SystemClock,
  SystemDisk,
  SystemRandom,
  SystemScheduler,
} from '../src/platform/index.ts';
import type { CommittedEntry, StateMachine } from '../src/raftengine/contract/types.ts';
import type { ConfState, SnapshotMeta } from '../src/raftengine/core/types.ts';
import { RaftEngine } from '../src/raftengine/engine/engine.ts';
import { NodeRecord } from '../src/raftengine/founding/node-record.ts';
import { PeerBook } from '../src/raftengine/founding/peer-book.ts';
import { WalLogStore } from '../src/raftengine/log/wal-log-store.ts';
import { createGrpcNetwork } from '../src/raftengine/transport/grpc-network.ts';
import { Ledger } from './ledger.ts';
import { type BenchmarkOptions, benchmark, count } from './options.ts';
import { conclude } from './results.ts';
import { Scratch } from './scratch.ts';
import { areQuiet, median, rangeOf } from './spread.ts';
import { sumOf, threadClock, timesBetween } from './thread-cpu.ts';

const NODES = [1, 2, 3];
/** Of a core, on each node, for ten thousand idle groups. */
const MAX_CPU_PERCENT = 5;
const DEADLINE_MS = 120_000;
const FOUNDERS: ConfState = {
  voters: NODES.map(nodeId),
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

/** Parent to child. */
type Order =
  | { readonly kind: 'start'; readonly groups: number; readonly ports: readonly number[] }
  | { readonly kind: 'report'; readonly lost: number };

/** Child to parent. */
interface Report {
  readonly port: number;
  /** Groups that have a leader other than the node that was lost, as this node knows. */
  readonly led: number;
  readonly awake: number;
  readonly rssBytes: number;
  readonly sentBytes: number;
}

/** Applies everything and keeps nothing. */
class NothingMachine implements StateMachine {
  private meta: SnapshotMeta = { index: 0, term: 0, conf: { ...FOUNDERS, voters: [] } };

  applied(): SnapshotMeta {
    return this.meta;
  }
  durableIndex(): number {
    return this.meta.index;
  }
  logStable(): void {}
  apply(entries: readonly CommittedEntry[]): unknown[] {
    const last = entries.at(-1)!;
    let { conf } = this.meta;
    for (const entry of entries) conf = entry.conf ?? conf;
    this.meta = { index: last.index, term: last.term, conf };
    return entries.map(() => undefined);
  }
  applyPressure(): undefined {
    return undefined;
  }
  onLeadership(): void {}
  openSnapshot(): Promise<never> {
    return Promise.reject(new Error('nobody falls behind here'));
  }
  stageSnapshot(): Promise<never> {
    return Promise.reject(new Error('nobody falls behind here'));
  }
  async close(): Promise<void> {}
}

/** Counts the bytes of the frames that leave. */
function countSent(network: PeerNetwork, count: (bytes: number) => void): void {
  const send = network.send.bind(network);
  network.send = (to, lane, frame) => {
    count(frame.length);
    return send(to, lane, frame);
  };
}

/** One node: listens, says where, and does as the parent orders. */
async function runNode(self: number, folder: string): Promise<void> {
  const clock = new SystemClock();
  const random = new SystemRandom();
  const scheduler = new SystemScheduler();
  const listen = { host: '127.0.0.1', port: 0 };
  const disk = new SystemDisk();
  await disk.makeFolder(folder);
  const record = await NodeRecord.open({ disk, folder, incarnation: random.bytes(16).toString('hex') });
  const admission = new PeerBook(nodeId(self), record, console.error);
  const identity = { self: nodeId(self), clusterName: 'idle', admission };
  const network = createGrpcNetwork({ ...identity, listen, clock, random, scheduler });
  let sentBytes = 0;
  countSent(network, (bytes) => {
    sentBytes += bytes;
  });
  const logStore = await WalLogStore.open({ disk, folder: join(folder, 'log'), random, record });
  const engine = new RaftEngine({
    nodeId: nodeId(self),
    clock,
    random,
    scheduler,
    network,
    logStore,
    installs: record.installs(console.error),
    onFatal: (error) => {
      throw error;
    },
  });
  await network.start();

  const report = (lost: number): void => {
    const isLed = (leader: number | undefined): boolean => leader !== undefined && leader !== lost;
    const sent: Report = {
      port: network.port,
      led: engine.groups().filter((group) => isLed(group.leader()?.nodeId)).length,
      awake: engine.awakeGroups,
      rssBytes: process.memoryUsage.rss(),
      sentBytes,
    };
    process.send!(sent);
  };
  process.on('message', (order: Order) => {
    if (order.kind === 'start') {
      order.ports.forEach((port, at) => {
        if (NODES[at] !== self) network.setPeer(nodeId(NODES[at]!), `127.0.0.1:${port}`);
      });
      for (let group = 1; group <= order.groups; group++) {
        engine.addGroup({ groupId: groupId(group), stateMachine: new NothingMachine(), bootstrap: FOUNDERS });
      }
      engine.start();
    }
    report(order.kind === 'report' ? order.lost : 0);
  });
  process.on('disconnect', () => process.exit());
  report(0);
}

/** A node as the parent sees it. */
class NodeProcess {
  private readonly child: ChildProcess;

  constructor(self: number, folder: string) {
    this.child = fork(fileURLToPath(import.meta.url), ['--node', String(self), '--data-folder', folder]);
  }

  /** The child's next word. */
  next(): Promise<Report> {
    return new Promise((resolve, reject) => {
      const onExit = (): void => reject(new Error('a node ended early'));
      this.child.once('exit', onExit);
      this.child.once('message', (message) => {
        this.child.off('exit', onExit);
        resolve(message as Report);
      });
    });
  }

  ask(order: Order): Promise<Report> {
    const answer = this.next();
    this.child.send(order);
    return answer;
  }

  get pid(): number {
    return this.child.pid!;
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** @returns seconds until every node reports what was waited for */
async function secondsUntil(
  nodes: readonly NodeProcess[],
  lost: number,
  isReached: (report: Report) => boolean,
): Promise<number> {
  const startMs = performance.now();
  for (;;) {
    const reports = await Promise.all(nodes.map((node) => node.ask({ kind: 'report', lost })));
    const elapsedMs = performance.now() - startMs;
    if (reports.every(isReached)) return elapsedMs / 1000;
    if (elapsedMs > DEADLINE_MS) throw new Error(`not reached in time: ${JSON.stringify(reports)}`);
    await sleep(50);
  }
}

/** What one round found. */
interface Round {
  /** Of each node while nothing happens. */
  readonly cpuPercents: readonly number[];
  readonly rssMib: readonly number[];
  readonly sentBytesPerSecond: readonly number[];
  /** Until all groups have a leader, and until they are at rest after that; the same after a node was killed. */
  readonly ledSeconds: number;
  readonly restSeconds: number;
  readonly recoverySeconds: number;
  readonly restAgainSeconds: number;
}

/** Three nodes that begin anew. */
async function measure({ folder, groups, seconds }: Options, ledger: Ledger): Promise<Round> {
  const scratch = new Scratch(folder);
  try {
    const nodes = NODES.map((self) => new NodeProcess(self, join(scratch.newFolder(`n${self}`), 'log')));
    scratch.own(async () => {
      for (const node of nodes) node.kill();
    });
    const ports = (await Promise.all(nodes.map((node) => node.next()))).map((report) => report.port);
    const startMs = performance.now();
    await Promise.all(nodes.map((node) => node.ask({ kind: 'start', groups, ports })));
    await secondsUntil(nodes, 0, (report) => report.led === groups);
    const ledSeconds = (performance.now() - startMs) / 1000;
    const restSeconds = await secondsUntil(nodes, 0, (report) => report.awake === 0);

    const before = await Promise.all(nodes.map((node) => node.ask({ kind: 'report', lost: 0 })));
    const clocks = nodes.map(({ pid }) => threadClock(pid));
    // An idle second of a group counts as a command.
    const processes = [{ role: 'each node', pids: nodes.map(({ pid }) => pid) }];
    await ledger.measure('idle', 'kvorum', processes, async () => {
      await sleep(seconds * 1000);
      return { perSecond: groups, commands: groups * seconds };
    });
    const cpuPercents = nodes.map(
      ({ pid }, at) => sumOf(timesBetween(clocks[at]!, threadClock(pid), seconds)) / 10_000,
    );
    const after = await Promise.all(nodes.map((node) => node.ask({ kind: 'report', lost: 0 })));

    nodes[0]!.kill();
    const survivors = nodes.slice(1);
    const recoverySeconds = await secondsUntil(survivors, NODES[0]!, (report) => report.led === groups);
    const restAgainSeconds = await secondsUntil(survivors, NODES[0]!, (report) => report.awake === 0);
    return {
      cpuPercents,
      rssMib: after.map(({ rssBytes }) => rssBytes / 1024 / 1024),
      sentBytesPerSecond: after.map(({ sentBytes }, at) => (sentBytes - before[at]!.sentBytes) / seconds),
      ...{ ledSeconds, restSeconds, recoverySeconds, restAgainSeconds },
    };
  } finally {
    await scratch.clean();
  }
}

interface Options extends BenchmarkOptions {
  readonly groups: number;
  /** Of a process that is one of the nodes. */
  readonly node?: number;
  readonly dataFolder?: string;
}

async function main(options: Options): Promise<number> {
  const ledger = new Ledger();
  const rounds: Round[] = [];
  for (let left = options.rounds; left > 0; left--) rounds.push(await measure(options, ledger));
  const row = (what: string, of: (round: Round) => number, decimals: number): string[] => [
    what,
    rangeOf(rounds.map(of), (value) => value.toFixed(decimals)),
  ];
  const busiest = rounds.map(({ cpuPercents }) => Math.max(...cpuPercents));
  const shown = [
    [`${options.groups} groups on three nodes, idle for ${options.seconds} s`, ''],
    row('busiest node, % of a core', ({ cpuPercents }) => Math.max(...cpuPercents), 2),
    row('largest node, MiB', ({ rssMib }) => Math.max(...rssMib), 0),
    row('bytes a second that a node sends at most', ({ sentBytesPerSecond }) => Math.max(...sentBytesPerSecond), 0),
    row('all led after, s', ({ ledSeconds }) => ledSeconds, 1),
    row('at rest after that, s', ({ restSeconds }) => restSeconds, 1),
    row('a node killed: all led again after, s', ({ recoverySeconds }) => recoverySeconds, 1),
    row('at rest after that, s', ({ restAgainSeconds }) => restAgainSeconds, 1),
  ];
  return conclude(
    {
      name: 'idle',
      facts: { groups: options.groups, seconds: options.seconds, rounds },
      tables: [formatTable(shown, ['left', 'right']), ledger.formatCosts('us of CPU of a group in an idle second')],
      verdicts: [
        {
          text: `each node below ${MAX_CPU_PERCENT} % of a core: ${rangeOf(busiest, (percent) => percent.toFixed(2))} %`,
          passed: median(busiest) < MAX_CPU_PERCENT,
          // Below the bar, it does not matter how far rounds lie apart.
          isQuiet: median(busiest) < MAX_CPU_PERCENT || areQuiet(busiest),
        },
      ],
      others: ledger.others,
    },
    options,
  );
}

const program = benchmark({
  script: 'bench:idle',
  says: 'Measures what groups cost that nobody uses.',
  peers: 'nobody: etcd has one group, and redis-server none.',
  rounds: 1,
  seconds: 10,
}).option('--groups <count>', 'on three nodes', count(100_000), 10_000);
program.addOption(new Option('--node <id>').argParser(Number).hideHelp());
program.addOption(new Option('--data-folder <folder>').hideHelp());
program.parse();
const options = program.opts<Options>();
if (options.node !== undefined) await runNode(options.node, options.dataFolder!);
else process.exit(await main(options));
