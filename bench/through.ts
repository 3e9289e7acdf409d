/**
 * `npm run bench:through -- --rounds 3 --seconds 4`: what does it cost that any node may be asked? Three nodes in processes of their own.
 * - One group: the same load at its leader and through a follower, by turns. Commands a second, CPU time a command of the two nodes together, frames
 *   between nodes and their bytes.
 * - Three groups, as `npm start` founds a cluster: all clients on one node, beside redis-server, which syncs every write.
 * - The same three groups with clients that know the cluster and go to each key's leader, beside one group at its leader.
 *
 * Ratios are of one round, in which the two take turns; shown are the smallest, the middle and the largest over the rounds. Bars are not judged where they
 * lie far apart or others used the machine. On such a machine only CPU time, frames and bytes tell anything.
 */
import { Redis } from 'ioredis';
import { formatCount, formatTable } from '../cmd/cli/table.ts';
import type { ClusterMember } from '../cmd/cluster/index.ts';
import { type LocalNodes, portOf, startLocalNodes } from './local-nodes.ts';
import { type BenchmarkOptions, benchmark, count, oneOf } from './options.ts';
import { OthersWatch } from './others.ts';
import { MANY_KEYS, ONE_KEY } from './peers/peer.ts';
import { RedisPeer } from './peers/redis.ts';
import { redisBenchmark } from './peers/redis-benchmark.ts';
import { conclude } from './results.ts';
import { type CpuLine, formatCpu, type RoleTimes, withRoleTimes } from './role-cpu.ts';
import { freePortRange, Scratch } from './scratch.ts';
import { areQuiet, median, rangeOf, ratioText, type Verdict } from './spread.ts';
import { sumOf, type ThreadClock, type ThreadTimes, threadClock, timesBetween } from './thread-cpu.ts';

const NODES = 3;
const CLIENTS = 50;

/** What a ratio must be. */
interface Bar {
  readonly atLeast?: number;
  readonly atMost?: number;
}

interface Load {
  readonly title: string;
  readonly operation: 'set' | 'get';
  readonly pipeline: number;
  readonly keyCount: number;
  /** Through a follower to at the leader, and the CPU time of both nodes; or one of three nodes asked, to redis-server. */
  readonly bars: { readonly rate?: Bar; readonly cpu?: Bar };
}

const HOT: readonly Load[] = [
  {
    title: 'SET',
    operation: 'set',
    pipeline: 1,
    keyCount: ONE_KEY,
    bars: { rate: { atLeast: 0.85 }, cpu: { atMost: 1.25 } },
  },
  { title: 'SET -P 16', operation: 'set', pipeline: 16, keyCount: ONE_KEY, bars: {} },
  { title: 'GET', operation: 'get', pipeline: 1, keyCount: ONE_KEY, bars: {} },
  { title: 'GET -P 16', operation: 'get', pipeline: 16, keyCount: ONE_KEY, bars: {} },
];
const MANY: readonly Load[] = [
  { title: 'SET', operation: 'set', pipeline: 1, keyCount: MANY_KEYS, bars: { rate: { atLeast: 0.35 } } },
  { title: 'SET -P 16', operation: 'set', pipeline: 16, keyCount: MANY_KEYS, bars: { rate: { atLeast: 0.22 } } },
  { title: 'GET', operation: 'get', pipeline: 1, keyCount: MANY_KEYS, bars: { rate: { atLeast: 0.7 } } },
];
/** Clients that know the cluster, to one group at its leader. */
const AWARE_BAR: Bar = { atLeast: 0.95 };

interface BenchOptions extends BenchmarkOptions {
  readonly warmUp: number;
  readonly only?: 'one' | 'three';
}

const others = new OthersWatch();
const verdicts: Verdict[] = [];

/** What the nodes have done since they began. */
interface Work {
  readonly commands: number;
  readonly clocks: readonly ThreadClock[];
  readonly counters: Counters;
}

/** What one load was. */
interface Measured {
  readonly perSecond: number;
  /** By node, microseconds a command. */
  readonly cpu: readonly ThreadTimes[];
  readonly commandsPerEntry: number;
  /** Of all nodes together. */
  readonly perCommand: Counters;
}

/** A cluster and what it takes to measure it. */
class MeasuredCluster {
  readonly nodes: LocalNodes;
  readonly members: readonly ClusterMember[];
  private readonly scratch: Scratch;

  private constructor(scratch: Scratch, nodes: LocalNodes, members: readonly ClusterMember[]) {
    this.scratch = scratch;
    this.nodes = nodes;
    this.members = members;
  }

  static async start(scratch: Scratch, groups: number): Promise<MeasuredCluster> {
    const clusterPort = await freePortRange(NODES);
    const nodes = await startLocalNodes(scratch, { nodes: NODES, groups, flags: { 'redis.clusterPort': clusterPort } });
    const cluster = new MeasuredCluster(scratch, nodes, await nodes.members());
    cluster.clusterPort = clusterPort;
    return cluster;
  }

  /** Of the first node, for clients that know the cluster. */
  clusterPort = 0;

  /** The leader of the last group, which has data; then the others. */
  get byRole(): readonly [ClusterMember, ClusterMember, ClusterMember] {
    const leaderId = this.members[0]!.groups.at(-1)!.leader;
    const leader = this.members.find(({ nodeId }) => nodeId === leaderId)!;
    const [one, other] = this.members.filter((member) => member !== leader);
    return [leader, one!, other!];
  }

  async load(member: ClusterMember, load: Load, seconds: number): Promise<Measured> {
    const before = await this.work();
    const spec = { ...load, clients: CLIENTS, seconds };
    const port = portOf(member.addresses.redis);
    const { perSecond } = await others.during(() => redisBenchmark(this.scratch, port, spec));
    const after = await this.work();
    const commands = after.commands - before.commands;
    const perCommand = countersOf((name) => (after.counters[name] - before.counters[name]) / commands);
    return {
      perSecond,
      cpu: after.clocks.map((clock, at) => timesBetween(before.clocks[at]!, clock, commands)),
      commandsPerEntry: 1 / perCommand.entries,
      perCommand,
    };
  }

  /** Commands a second of clients that go to the leader of each key. */
  async loadAware(load: Load, seconds: number): Promise<number> {
    const spec = { ...load, clients: CLIENTS, seconds };
    const more = ['--cluster'];
    const { perSecond } = await others.during(() => redisBenchmark(this.scratch, this.clusterPort, spec, more));
    return perSecond;
  }

  private async work(): Promise<Work> {
    const counted = await Promise.all(this.members.map((member) => readCounters(member)));
    const commands = await Promise.all(this.members.map((member) => commandsOf(member)));
    return {
      commands: commands.reduce((sum, one) => sum + one, 0),
      clocks: this.members.map(({ nodeId }) => threadClock(this.nodes.cluster.process(nodeId)!.pid!)),
      counters: countersOf((name) => counted.reduce((sum, one) => sum + one[name], 0)),
    };
  }
}

/** What is counted, as a pattern of lines of the metrics. */
const COUNTED = {
  entries: 'kvorum_group_entries_total',
  logWrites: 'kvorum_log_fsync_duration_seconds_count',
  forwardFrames: 'kvorum_network_frames_total(?=.*lane="forward")(?=.*direction="sent")',
  forwardBytes: 'kvorum_network_bytes_total(?=.*lane="forward")(?=.*direction="sent")',
  bulkFrames: 'kvorum_network_frames_total(?=.*lane="bulk")(?=.*direction="sent")',
} as const;
type Counted = keyof typeof COUNTED;
type Counters = Readonly<Record<Counted, number>>;

const countersOf = (of: (name: Counted) => number): Counters =>
  Object.fromEntries(Object.keys(COUNTED).map((name) => [name, of(name as Counted)])) as Counters;

async function readCounters(member: ClusterMember): Promise<Counters> {
  const text = await (await fetch(`http://${member.addresses.metrics}/metrics`)).text();
  return countersOf((name) => {
    const lines = text.match(new RegExp(`^${COUNTED[name]}\\S* [\\d.e+]+$`, 'gm')) ?? [];
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  });
}

async function commandsOf(member: ClusterMember): Promise<number> {
  const client = new Redis(portOf(member.addresses.redis), '127.0.0.1');
  const stats = await client.info('stats');
  client.disconnect();
  return Number(/total_commands_processed:(\d+)/.exec(stats)![1]);
}

const two = (value: number): string => value.toFixed(2);

/** Ratios of rounds; what they are held against, if anything, is judged in the end. @param what it is the ratio of */
function judged(what: string, ratios: readonly number[], bar: Bar | undefined): string {
  const shown = ratioText(ratios);
  if (bar === undefined) return shown;
  const { atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY } = bar;
  const ratio = median(ratios);
  const text = bar.atLeast === undefined ? `<= ${two(atMost)}` : `>= ${two(atLeast)}`;
  verdicts.push({
    text: `${what} ${text}x: ${shown}`,
    passed: ratio >= atLeast && ratio <= atMost,
    isQuiet: others.isQuiet && areQuiet(ratios),
  });
  return shown;
}

const micros = (all: readonly ThreadTimes[]): string => median(all.map(sumOf)).toFixed(1);
/** What is counted beside processor time, of all nodes together. */
const COUNTED_TEXT =
  'Commands an entry of the log; writes of the log, frames of both lanes and bytes of forwarding a command, of all nodes together.';
const COUNTED_HEADERS = ['an entry', 'log writes', 'bulk', 'forward', 'bytes'];
function countedCells(all: readonly Measured[]): string[] {
  const perCommand = (name: Counted, digits: number): string =>
    median(all.map((one) => one.perCommand[name])).toFixed(digits);
  return [
    median(all.map(({ commandsPerEntry }) => commandsPerEntry)).toFixed(1),
    perCommand('logWrites', 3),
    perCommand('bulkFrames', 3),
    perCommand('forwardFrames', 3),
    perCommand('forwardBytes', 0),
  ];
}
const rate = (all: readonly number[]): string => `${rangeOf(all, formatCount)}/s`;

/** At the leader, and through a follower. */
async function oneGroup(scratch: Scratch, { rounds, seconds, warmUp }: BenchOptions): Promise<readonly string[]> {
  const cluster = await MeasuredCluster.start(scratch, 0);
  const [leader, follower] = cluster.byRole;
  const placeOf = (member: ClusterMember): number => cluster.members.indexOf(member);
  const both = ({ cpu }: Measured): number => sumOf(cpu[placeOf(leader)]!) + sumOf(cpu[placeOf(follower)]!);
  const costs: CpuLine[] = [];
  const roles = ({ cpu }: Measured) => ({ leader: cpu[placeOf(leader)]!, follower: cpu[placeOf(follower)]! });
  const rows = [
    [
      'one group, 50 clients',
      'at the leader',
      'through a follower',
      'ratio',
      'CPU leader',
      'CPU asked',
      'CPU ratio',
      ...COUNTED_HEADERS,
    ],
  ];
  for (const load of HOT) {
    for (const member of [leader, follower]) await cluster.load(member, load, warmUp);
    const direct: Measured[] = [];
    const through: Measured[] = [];
    for (let round = 0; round < rounds; round++) {
      direct.push(await cluster.load(leader, load, seconds));
      through.push(await cluster.load(follower, load, seconds));
    }
    rows.push([
      load.title,
      rate(direct.map(({ perSecond }) => perSecond)),
      rate(through.map(({ perSecond }) => perSecond)),
      judged(
        `${load.title} through a follower, to at the leader`,
        through.map(({ perSecond }, round) => perSecond / direct[round]!.perSecond),
        load.bars.rate,
      ),
      micros(through.map(({ cpu }) => cpu[placeOf(leader)]!)),
      micros(through.map(({ cpu }) => cpu[placeOf(follower)]!)),
      judged(
        `${load.title} through a follower, CPU of both nodes to at the leader`,
        through.map((measured, round) => both(measured) / both(direct[round]!)),
        load.bars.cpu,
      ),
      ...countedCells(through),
    ]);
    costs.push({ load: load.title, system: 'at the leader', rounds: direct.map(roles) });
    costs.push({ load: load.title, system: 'through the follower', rounds: through.map(roles) });
  }
  await cluster.nodes.stop();
  const note = 'CPU in microseconds a command, through a follower; its ratio is of both nodes together.';
  return [formatTable(rows), note, COUNTED_TEXT, formatCpu(costs)];
}

/** All clients on one node of a cluster with three groups, and clients that know the cluster. */
async function threeGroups(scratch: Scratch, { rounds, seconds, warmUp }: BenchOptions): Promise<readonly string[]> {
  const redis = new RedisPeer(scratch);
  await redis.start();
  const cluster = await MeasuredCluster.start(scratch, 3);
  const alone = await MeasuredCluster.start(scratch, 0);
  const asked = cluster.members[0]!;
  const [leader] = alone.byRole;
  const costs: CpuLine[] = [];
  const spec = (load: Load, forSeconds: number) => ({ ...load, clients: CLIENTS, seconds: forSeconds });
  const rows = [
    [
      'three groups, 100,000 keys',
      'one node asked',
      'to redis',
      'CPU by node',
      ...COUNTED_HEADERS,
      'aware clients',
      'to one group',
    ],
  ];
  for (const load of MANY) {
    await cluster.load(asked, load, warmUp);
    await cluster.loadAware(load, warmUp);
    await alone.load(leader, load, warmUp);
    await redis.load(spec(load, warmUp));
    const here: Measured[] = [];
    const peers: number[] = [];
    const peerCpu: RoleTimes[] = [];
    const aware: number[] = [];
    const single: number[] = [];
    for (let round = 0; round < rounds; round++) {
      here.push(await cluster.load(asked, load, seconds));
      const { figures, cpu } = await others.during(() =>
        withRoleTimes(redis.processes(), () => redis.load(spec(load, seconds))),
      );
      peers.push(figures.perSecond);
      peerCpu.push(cpu);
      aware.push(await cluster.loadAware(load, seconds));
      single.push((await alone.load(leader, load, seconds)).perSecond);
    }
    rows.push([
      load.title,
      rate(here.map(({ perSecond }) => perSecond)),
      judged(
        `${load.title} of three groups through one node, to redis`,
        here.map(({ perSecond }, round) => perSecond / peers[round]!),
        load.bars.rate,
      ),
      cluster.members.map((_, at) => micros(here.map(({ cpu }) => cpu[at]!))).join(', '),
      ...countedCells(here),
      rate(aware),
      judged(
        `${load.title} of three groups by clients that know the cluster, to one group`,
        aware.map((perSecond, round) => perSecond / single[round]!),
        AWARE_BAR,
      ),
    ]);
    const nodeOf = (at: number): string => (cluster.members[at] === asked ? 'asked node' : `node ${at + 1}`);
    const byNode = ({ cpu }: Measured) => Object.fromEntries(cpu.map((times, at) => [nodeOf(at), times]));
    costs.push({ load: load.title, system: 'three groups', rounds: here.map(byNode) });
    costs.push({ load: load.title, system: 'redis', rounds: peerCpu });
  }
  await cluster.nodes.stop();
  await alone.nodes.stop();
  await redis.stop();
  return [formatTable(rows), COUNTED_TEXT, formatCpu(costs)];
}

const PARTS = ['one', 'three'] as const;
const program = benchmark({
  script: 'bench:through',
  says: 'Measures what it costs to ask a node that does not lead.',
  peers: 'one redis-server that syncs every write, for three groups; the same cluster asked at its leader, for one.',
  rounds: 3,
  seconds: 4,
})
  .option(
    '-w, --warm-up <seconds>',
    'each load before its first round: code that is compiled as it runs takes that long',
    count(100),
    6,
  )
  .option('--only <part>', 'one (group) or three (groups)', oneOf(PARTS));
program.parse();
const options = program.opts<BenchOptions>();
const scratch = new Scratch(options.folder);
const tables: string[] = [];
try {
  if (options.only !== 'three') tables.push(...(await oneGroup(scratch, options)));
  if (options.only !== 'one') tables.push(...(await threeGroups(scratch, options)));
} finally {
  await scratch.clean();
}
process.exit(conclude({ name: 'through', facts: { options, tables }, tables, verdicts, others }, options));
