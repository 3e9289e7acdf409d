/**
 * What groups cost that nobody uses. Run: `node bench/idle-groups.ts [--groups 10000] [--seconds 10]`. Three processes, each
 * an engine over the real network on loopback and a real write-ahead log, with state machines that keep nothing: the stores
 * of real nodes are another question. Reports each node's CPU time over an idle stretch, memory, bytes on the wire, and how
 * long the groups were without leaders, at the start and after a node is killed.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
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
import { Scratch } from './scratch.ts';

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
  readonly cpuUs: number;
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
    const usage = process.cpuUsage();
    const isLed = (leader: number | undefined): boolean => leader !== undefined && leader !== lost;
    const sent: Report = {
      port: network.port,
      led: engine.groups().filter((group) => isLed(group.leader()?.nodeId)).length,
      awake: engine.awakeGroups,
      cpuUs: usage.user + usage.system,
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
    this.child = fork(fileURLToPath(import.meta.url), ['--node', String(self), '--folder', folder]);
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

async function measure(scratch: Scratch, groups: number, seconds: number): Promise<boolean> {
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
  await sleep(seconds * 1000);
  const after = await Promise.all(nodes.map((node) => node.ask({ kind: 'report', lost: 0 })));
  const cpuPercents = after.map((report, at) => (report.cpuUs - before[at]!.cpuUs) / seconds / 10_000);

  nodes[0]!.kill();
  const survivors = nodes.slice(1);
  const recoverySeconds = await secondsUntil(survivors, NODES[0]!, (report) => report.led === groups);
  const restAgainSeconds = await secondsUntil(survivors, NODES[0]!, (report) => report.awake === 0);

  const rows = after.map((report, at) => [
    `node ${NODES[at]}`,
    cpuPercents[at]!.toFixed(2),
    (report.rssBytes / 1024 / 1024).toFixed(0),
    ((report.sentBytes - before[at]!.sentBytes) / seconds).toFixed(0),
    String(report.awake),
  ]);
  const heading = ['', 'CPU % of a core', 'RSS MiB', 'bytes/s sent', 'awake groups'];
  console.log(formatTable([heading, ...rows], ['left', 'right', 'right', 'right', 'right']));
  console.log(`${groups} groups on three nodes, idle for ${seconds} s`);
  console.log(`all led after ${ledSeconds.toFixed(1)} s, at rest ${restSeconds.toFixed(1)} s later`);
  console.log(
    `a node killed: all led again after ${recoverySeconds.toFixed(1)} s, at rest ${restAgainSeconds.toFixed(1)} s later`,
  );
  const isWithinBar = cpuPercents.every((percent) => percent < MAX_CPU_PERCENT);
  console.log(`${isWithinBar ? 'pass' : 'FAIL'}: each node below ${MAX_CPU_PERCENT}% of a core`);
  return isWithinBar;
}

const { values } = parseArgs({
  options: {
    groups: { type: 'string', default: '10000' },
    seconds: { type: 'string', default: '10' },
    node: { type: 'string' },
    folder: { type: 'string' },
  },
});
if (values.node !== undefined) {
  await runNode(Number(values.node), values.folder!);
} else {
  const scratch = new Scratch(process.env.KVORUM_BENCH_FOLDER);
  try {
    if (!(await measure(scratch, Number(values.groups), Number(values.seconds)))) process.exitCode = 1;
  } finally {
    await scratch.clean();
  }
}
