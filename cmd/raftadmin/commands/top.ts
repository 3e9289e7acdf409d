/** `top`: a live view. Nodes tell counters; rates are the differences between two looks. */
import type { Command } from 'commander';
import type { ClusterStatus, HotRange, NodeActivity, NodeStatus } from '../../../src/cluster/index.ts';
import { counted } from '../../../src/platform/index.ts';
import { formatCount } from '../../cli/table.ts';
import { formatStart } from '../keys.ts';
import { type Column, renderRows } from '../output.ts';
import { type Declare, examples, type Session } from '../session.ts';
import { formatBytes, formatDuration, formatTime, parseDuration, wholeNumber } from '../values.ts';
import { remarks, replicaRows } from './status.ts';

/** Ranges that are shown. */
const MAX_HOT_RANGES = 5;

/** Adds the command. */
export function addTopCommand(program: Command, declare: Declare): void {
  const top = program
    .command('top')
    .summary('a live view of nodes, groups and hot ranges')
    .description(
      'Draws what nodes and groups do again and again until it is stopped with Ctrl-C. Rates are those between two looks. p50, p99: ' +
        "times within which half, and 99 of 100, of a node's Redis commands were answered.",
    )
    .option('-i, --interval <duration>', 'time between two looks', parseDuration, 2_000)
    .option('-n, --count <number>', 'stop after so many looks', wholeNumber(1, 1e9))
    .option('--once', 'look twice, an interval apart, and print what was between, for scripts');
  declare(
    examples(
      top,
      ['top', 'until Ctrl-C'],
      ['top -i 10s -n 6 >>top.log', 'a minute of it into a file'],
      ['top --once -w json', 'rates of two seconds, for a program'],
    ),
    async (session: Session, flags: TopFlags) => watchTop(session, flags),
  );
}

interface TopFlags {
  readonly interval: number;
  readonly count?: number;
  readonly once?: boolean;
}

/** A node between two looks; what is not known yet is undefined. */
interface NodeRow {
  readonly nodeId: number;
  readonly state: string;
  readonly leads: number;
  readonly replicas: number;
  readonly clients: number | undefined;
  readonly commandsPerSecond: number | undefined;
  readonly errorsPerSecond: number | undefined;
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
  readonly upMs: number | undefined;
}

interface GroupRow {
  readonly groupId: number;
  readonly leader: string;
  readonly term: number;
  readonly operationsPerSecond: number | undefined;
  readonly entriesPerSecond: number | undefined;
  readonly replicas: number;
  readonly maxLag: number | undefined;
  readonly bytes: number | undefined;
}

interface HotRow extends HotRange {
  readonly nodeId: number;
}

const rate = (value: number | undefined): string => (value === undefined ? '-' : formatCount(value));
const latency = (ms: number | undefined): string => (ms === undefined ? '-' : `${ms} ms`);

const NODE_COLUMNS: readonly Column<NodeRow>[] = [
  { name: 'node', align: 'right', value: (row) => String(row.nodeId) },
  { name: 'state', value: (row) => row.state },
  { name: 'leads', align: 'right', value: (row) => String(row.leads) },
  { name: 'replicas', align: 'right', value: (row) => String(row.replicas) },
  { name: 'clients', align: 'right', value: (row) => (row.clients === undefined ? '-' : String(row.clients)) },
  { name: 'commands/s', align: 'right', value: (row) => rate(row.commandsPerSecond) },
  { name: 'errors/s', align: 'right', value: (row) => rate(row.errorsPerSecond) },
  { name: 'p50', align: 'right', value: (row) => latency(row.p50Ms) },
  { name: 'p99', align: 'right', value: (row) => latency(row.p99Ms) },
  { name: 'up', align: 'right', value: (row) => (row.upMs === undefined ? '-' : formatDuration(row.upMs)) },
];

const GROUP_COLUMNS: readonly Column<GroupRow>[] = [
  { name: 'group', align: 'right', value: (row) => String(row.groupId) },
  { name: 'leader', align: 'right', value: (row) => row.leader },
  { name: 'term', align: 'right', value: (row) => String(row.term) },
  { name: 'ops/s', align: 'right', value: (row) => rate(row.operationsPerSecond) },
  { name: 'entries/s', align: 'right', value: (row) => rate(row.entriesPerSecond) },
  { name: 'replicas', align: 'right', value: (row) => String(row.replicas) },
  { name: 'most lag', align: 'right', value: (row) => (row.maxLag === undefined ? '-' : String(row.maxLag)) },
  { name: 'size', align: 'right', value: (row) => formatBytes(row.bytes) },
];

const HOT_COLUMNS: readonly Column<HotRow>[] = [
  { name: 'hot range', align: 'right', value: (row) => String(row.routeId) },
  { name: 'group', align: 'right', value: (row) => String(row.groupId) },
  { name: 'node', align: 'right', value: (row) => String(row.nodeId) },
  { name: 'reads/s', align: 'right', value: (row) => rate(row.readsPerSecond) },
  { name: 'writes/s', align: 'right', value: (row) => rate(row.writesPerSecond) },
  { name: 'from', value: (row) => formatStart(row.start) },
];

/** One look at the cluster. */
interface Look {
  readonly status: ClusterStatus;
  readonly atMs: number;
}

/** What happened in a second between two values of a counter; undefined when it began anew in between. */
function perSecond(before: number | undefined, now: number | undefined, elapsedMs: number): number | undefined {
  if (before === undefined || now === undefined || now < before || elapsedMs <= 0) return undefined;
  return ((now - before) * 1000) / elapsedMs;
}

/** Upper end of the range that the `share`th of the values between two looks lies in; undefined without any. */
function quantile(before: NodeActivity | undefined, now: NodeActivity | undefined, share: number): number | undefined {
  if (before === undefined || now === undefined) return undefined;
  const counts = now.latencyCounts.map((count, at) => Math.max(0, count - (before.latencyCounts[at] ?? 0)));
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  let below = 0;
  for (const [at, count] of counts.entries()) {
    below += count;
    if (below >= share * total) return now.latencyBoundsMs[at] ?? now.latencyBoundsMs.at(-1);
  }
  return undefined;
}

/** A node that was started again in between has begun to count anew. */
function activityBefore(node: NodeStatus, before: Look | undefined): NodeActivity | undefined {
  const earlier = before?.status.nodes.find(({ nodeId }) => nodeId === node.nodeId)?.activity;
  const hasRestarted = earlier !== undefined && node.activity !== undefined && node.activity.upMs < earlier.upMs;
  return hasRestarted ? undefined : earlier;
}

function nodeRows({ status, atMs }: Look, before: Look | undefined): NodeRow[] {
  const elapsedMs = atMs - (before?.atMs ?? atMs);
  return status.nodes.map((node) => {
    const { activity, replicas } = node;
    const earlier = activityBefore(node, before);
    return {
      nodeId: node.nodeId,
      state: node.isReachable ? 'up' : 'no answer',
      leads: replicas.filter(({ role }) => role === 'leader').length,
      replicas: replicas.length,
      clients: activity?.clients,
      commandsPerSecond: perSecond(earlier?.commands, activity?.commands, elapsedMs),
      errorsPerSecond: perSecond(earlier?.commandErrors, activity?.commandErrors, elapsedMs),
      p50Ms: quantile(earlier, activity, 0.5),
      p99Ms: quantile(earlier, activity, 0.99),
      upMs: activity?.upMs,
    };
  });
}

/** Sums of a replica counter by group, and of which nodes they are. */
function groupRows({ status, atMs }: Look, before: Look | undefined): GroupRow[] {
  const elapsedMs = atMs - (before?.atMs ?? atMs);
  const earlier = before === undefined ? undefined : byGroupOf(before.status);
  return [...byGroupOf(status)].map(([groupId, rows]) => {
    const replicas = rows.map(({ replica }) => replica);
    const leader = rows
      .filter(({ replica }) => replica.role === 'leader')
      .sort((left, right) => right.replica.term - left.replica.term)[0];
    const known = earlier?.get(groupId);
    const largest = (values: readonly (number | undefined)[]): number | undefined => {
      const told = values.filter((value) => value !== undefined);
      return told.length === 0 ? undefined : Math.max(...told);
    };
    // Counted where it is led; a leader that is new in between has counted something before.
    const operationsBefore = known?.find(({ node }) => node.nodeId === leader?.node.nodeId)?.replica.operations;
    return {
      groupId,
      leader: leader === undefined ? 'none' : String(leader.node.nodeId),
      term: Math.max(...replicas.map(({ term }) => term)),
      operationsPerSecond: perSecond(operationsBefore, leader?.replica.operations, elapsedMs),
      entriesPerSecond: perSecond(
        largest(known?.map(({ replica }) => replica.commitIndex) ?? []),
        largest(replicas.map(({ commitIndex }) => commitIndex)),
        elapsedMs,
      ),
      replicas: replicas.length,
      maxLag: largest(replicas.map(({ lagEntries }) => lagEntries)),
      bytes: largest(replicas.map(({ storedBytes }) => storedBytes)),
    };
  });
}

const byGroupOf = (status: ClusterStatus) =>
  Map.groupBy(replicaRows(status), ({ replica }) => replica.groupId as number);

function hotRows(status: ClusterStatus): HotRow[] {
  const rows = status.nodes.flatMap(({ nodeId, activity }) =>
    (activity?.hotRanges ?? []).map((range) => ({ ...range, nodeId })),
  );
  rows.sort((a, b) => b.readsPerSecond + b.writesPerSecond - a.readsPerSecond - a.writesPerSecond);
  return rows.slice(0, MAX_HOT_RANGES);
}

function draw(session: Session, look: Look, before: Look | undefined): void {
  const { terminal, format } = session;
  const { status } = look;
  const [nodes, groups, hot] = [nodeRows(look, before), groupRows(look, before), hotRows(status)];
  if (format !== 'table') {
    session.rows({ nodes, groups, hotRanges: hot }, GROUP_COLUMNS, groups);
    return;
  }
  const up = status.nodes.filter(({ isReachable }) => isReachable).length;
  const total = nodes.reduce((sum, { commandsPerSecond }) => sum + (commandsPerSecond ?? 0), 0);
  const heading =
    `${formatTime(Date.now())}  ${up} of ${counted(nodes.length, 'node')} up  ${counted(groups.length, 'group')}  ` +
    `${formatCount(total)} commands/s`;
  const tables = [renderRows(NODE_COLUMNS, nodes, format), renderRows(GROUP_COLUMNS, groups, format)];
  if (hot.length > 0) tables.push(renderRows(HOT_COLUMNS, hot, format));
  const text = [heading, '', tables.join('\n\n'), ...remarks(status)].join('\n');
  session.line(terminal.isScreen ? `\x1b[H\x1b[2J${text}` : `${text}\n`);
}

async function watchTop(session: Session, flags: TopFlags): Promise<void> {
  let before: Look | undefined;
  for (let count = 1; ; count++) {
    const status = await session.cluster.call('Status', { groups: [] });
    const look = { status, atMs: performance.now() };
    const isFirstOfOnce = flags.once === true && before === undefined;
    if (!isFirstOfOnce) draw(session, look, before);
    if (flags.once === true ? !isFirstOfOnce : count === flags.count) return;
    before = look;
    try {
      await session.pause(flags.interval);
    } catch {
      // Being stopped is how this ends.
      return;
    }
  }
}
