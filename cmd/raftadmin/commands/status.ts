/** `status`, `health`, `nodes`, `top`: how the cluster is. */
import type { Command } from 'commander';
import type { ClusterStatus, HealthProblem, NodeStatus, NodeView, ReplicaStatus } from '../../../src/kv/index.ts';
import { CommandFailure } from '../../cli/failure.ts';
import { formatCount } from '../../cli/table.ts';
import { type Column, renderRows } from '../output.ts';
import { type Declare, examples, type Session } from '../session.ts';
import { collectGroupIds, formatBytes, formatDuration, formatTime, parseDuration, wholeNumber } from '../values.ts';

interface Row {
  readonly node: NodeStatus;
  readonly replica: ReplicaStatus;
}

const REPLICA_COLUMNS: readonly Column<Row>[] = [
  { name: 'group', align: 'right', value: ({ replica }) => String(replica.groupId) },
  { name: 'node', align: 'right', value: ({ node }) => String(node.nodeId) },
  { name: 'address', value: ({ node }) => node.address },
  { name: 'role', value: ({ replica }) => (replica.suffrage === 'learner' ? 'learner' : replica.role) },
  { name: 'term', align: 'right', value: ({ replica }) => String(replica.term) },
  { name: 'commit', align: 'right', value: ({ replica }) => String(replica.commitIndex) },
  { name: 'applied', align: 'right', value: ({ replica }) => String(replica.appliedIndex) },
  {
    name: 'lag',
    align: 'right',
    value: ({ replica }) => (replica.lagEntries === undefined ? '-' : String(replica.lagEntries)),
  },
  {
    name: 'lease',
    align: 'right',
    value: ({ replica }) => (replica.leaseRemainingMs > 0 ? `${Math.round(replica.leaseRemainingMs)} ms` : '-'),
  },
  {
    name: 'hlc ceiling',
    value: ({ replica }) => (replica.hlcCeilingMs === undefined ? '-' : formatTime(replica.hlcCeilingMs)),
  },
  { name: 'size', align: 'right', value: ({ replica }) => formatBytes(replica.storedBytes) },
];

const NODE_COLUMNS: readonly Column<NodeView>[] = [
  { name: 'node', align: 'right', value: (node) => String(node.nodeId) },
  { name: 'address', value: (node) => node.address },
  { name: 'state', value: (node) => (node.isAlive ? 'alive' : 'gone') },
  { name: 'heard', align: 'right', value: (node) => `${formatDuration(node.heartbeatAgeMs)} ago` },
  { name: 'leads', align: 'right', value: (node) => String(node.leaderCount) },
  { name: 'replicas', align: 'right', value: (node) => String(node.replicaCount) },
  { name: 'size', align: 'right', value: (node) => formatBytes(node.storedBytes) },
  { name: 'locality', value: (node) => node.locality || '-' },
  { name: 'incarnation', value: (node) => node.incarnation.slice(0, 8) },
];

const PROBLEM_COLUMNS: readonly Column<HealthProblem>[] = [
  { name: 'severity', value: (problem) => problem.severity },
  { name: 'subject', value: (problem) => problem.subject },
  { name: 'what is wrong', value: (problem) => problem.message },
];

function replicaRows(status: ClusterStatus): Row[] {
  const rows = status.nodes.flatMap((node) => node.replicas.map((replica) => ({ node, replica })));
  return rows.sort((a, b) => a.replica.groupId - b.replica.groupId || a.node.nodeId - b.node.nodeId);
}

function* remarks(status: ClusterStatus): Generator<string> {
  for (const node of status.nodes) {
    if (!node.isReachable)
      yield `node ${node.nodeId} (${node.address || 'no address'}) does not answer: ${node.problem}`;
  }
  if (status.catalogProblem !== '') yield `the catalog cannot be asked, nodes may be missing: ${status.catalogProblem}`;
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

const GROUPS = ['[group...]', 'only these groups', collectGroupIds] as const;

/** Adds the commands. */
export function addStatusCommands(program: Command, declare: Declare): void {
  const status = program
    .command('status')
    .summary("every replica's role, term, progress, lease and size, as its node says")
    .description('Asks every node for its replicas. lag: entries that the leader has and the replica lacks.')
    .argument(...GROUPS);
  declare(
    examples(
      status,
      ['status', 'all groups on all nodes'],
      ['status 1 3 -w json', 'groups 1 and 3, for a program'],
      ['--endpoints 10.0.0.1:50051,10.0.0.2:50051 status', 'through the first of the two that is up'],
    ),
    async (session: Session, groups: number[] | undefined) => {
      const cluster = await session.cluster.call('Status', { groups: groups ?? [] });
      session.rows(cluster, REPLICA_COLUMNS, replicaRows(cluster));
      for (const remark of remarks(cluster)) session.note(remark);
    },
  );

  const health = program
    .command('health')
    .summary('what is broken or about to be; exit code 1 when something is not served')
    .description('Judges what all nodes and the catalog say. Warnings alone leave the exit code at 0.');
  declare(
    examples(health, ['health', 'one line a problem'], ['health || page-somebody', 'for a watchdog']),
    async (session: Session) => {
      const report = await session.cluster.call('Health', {});
      const { problems, nodeCount, groupCount } = report;
      if (session.format === 'json' || problems.length > 0) session.rows(report, PROBLEM_COLUMNS, problems);
      else session.line(`healthy: ${counted(groupCount, 'group')} on ${counted(nodeCount, 'node')}`);
      if (!report.isHealthy) {
        const count = problems.filter(({ severity }) => severity === 'critical').length;
        throw new CommandFailure(counted(count, 'critical problem'));
      }
    },
  );

  const nodes = program
    .command('nodes')
    .summary('the nodes of the cluster as the catalog last heard of them')
    .description('Nodes report to the catalog every second; one that was not heard of for 10 s is shown as gone.');
  declare(examples(nodes, ['nodes', 'where nodes are and what they carry']), async (session: Session) => {
    const reply = await session.cluster.call('Nodes', {});
    session.rows(reply.nodes, NODE_COLUMNS, reply.nodes);
  });

  const top = program
    .command('top')
    .summary('a live view of all groups')
    .description('Draws leaders, rates and lags again and again until it is stopped with Ctrl-C.')
    .option('-i, --interval <duration>', 'time between two looks', parseDuration, 2_000)
    .option('-n, --count <number>', 'stop after so many looks', wholeNumber(1, 1e9));
  declare(
    examples(top, ['top', 'until Ctrl-C'], ['top -i 10s -n 6 >>top.log', 'a minute of it into a file']),
    async (session: Session, flags: { interval: number; count?: number }) => watchTop(session, flags),
  );
}

interface TopRow {
  readonly groupId: number;
  readonly leader: string;
  readonly term: number;
  readonly entriesPerSecond: number | undefined;
  readonly replicas: number;
  readonly maxLag: number | undefined;
  readonly bytes: number | undefined;
}

const TOP_COLUMNS: readonly Column<TopRow>[] = [
  { name: 'group', align: 'right', value: (row) => String(row.groupId) },
  { name: 'leader', align: 'right', value: (row) => row.leader },
  { name: 'term', align: 'right', value: (row) => String(row.term) },
  {
    name: 'entries/s',
    align: 'right',
    value: (row) => (row.entriesPerSecond === undefined ? '-' : formatCount(row.entriesPerSecond)),
  },
  { name: 'replicas', align: 'right', value: (row) => String(row.replicas) },
  { name: 'most lag', align: 'right', value: (row) => (row.maxLag === undefined ? '-' : String(row.maxLag)) },
  { name: 'size', align: 'right', value: (row) => formatBytes(row.bytes) },
];

/** Highest commit index of each group and when it was seen. */
type Seen = ReadonlyMap<number, number>;

function topRows(status: ClusterStatus, before: Seen, elapsedMs: number): TopRow[] {
  const byGroup = Map.groupBy(replicaRows(status), ({ replica }) => replica.groupId as number);
  return [...byGroup].map(([groupId, rows]) => {
    const replicas = rows.map(({ replica }) => replica);
    const leader = rows
      .filter(({ replica }) => replica.role === 'leader')
      .sort((left, right) => right.replica.term - left.replica.term)[0];
    const commit = Math.max(...replicas.map((replica) => replica.commitIndex));
    const known = before.get(groupId);
    const lags = replicas.flatMap(({ lagEntries }) => (lagEntries === undefined ? [] : [lagEntries]));
    const sizes = replicas.flatMap(({ storedBytes }) => (storedBytes === undefined ? [] : [storedBytes]));
    return {
      groupId,
      leader: leader === undefined ? 'none' : String(leader.node.nodeId),
      term: Math.max(...replicas.map((replica) => replica.term)),
      entriesPerSecond: known === undefined ? undefined : (Math.max(0, commit - known) * 1000) / elapsedMs,
      replicas: replicas.length,
      maxLag: lags.length === 0 ? undefined : Math.max(...lags),
      bytes: sizes.length === 0 ? undefined : Math.max(...sizes),
    };
  });
}

async function watchTop(session: Session, flags: { interval: number; count?: number }): Promise<void> {
  const { terminal, format } = session;
  let before: Seen = new Map();
  let beforeMs = 0;
  for (let look = 1; ; look++) {
    const status = await session.cluster.call('Status', { groups: [] });
    const nowMs = performance.now();
    const rows = topRows(status, before, nowMs - beforeMs);
    if (format === 'table') {
      const up = status.nodes.filter(({ isReachable }) => isReachable).length;
      const heading = `${formatTime(Date.now())}  ${up} of ${status.nodes.length} nodes up  ${rows.length} groups`;
      const text = [heading, '', renderRows(TOP_COLUMNS, rows, format), ...remarks(status)].join('\n');
      session.line(terminal.isScreen ? `\x1b[H\x1b[2J${text}` : `${text}\n`);
    } else session.rows(rows, TOP_COLUMNS, rows);
    if (look === flags.count) return;
    before = new Map(
      [...Map.groupBy(replicaRows(status), ({ replica }) => replica.groupId as number)].map(([groupId, group]) => [
        groupId,
        Math.max(...group.map(({ replica }) => replica.commitIndex)),
      ]),
    );
    beforeMs = nowMs;
    try {
      await session.pause(flags.interval);
    } catch {
      // Being stopped is how this ends.
      return;
    }
  }
}
