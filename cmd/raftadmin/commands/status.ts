/** `status`, `health`, `nodes`: how the cluster is. */
import { type Command, Option } from 'commander';
import type {
  ClusterStatus,
  HealthProblem,
  HealthReport,
  NodeStatus,
  NodeView,
  ReplicaStatus,
} from '../../../src/cluster/index.ts';
import { counted } from '../../../src/platform/index.ts';
import { CommandFailure } from '../../cli/failure.ts';
import type { Column } from '../output.ts';
import { type Declare, examples, type Session } from '../session.ts';
import { untilDone } from '../until-done.ts';
import { collectGroupIds, formatBytes, formatDuration, formatTime, parseDuration } from '../values.ts';

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
  { name: 'service', value: (node) => node.service || '-' },
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

/** Replicas of all nodes, by group and node. */
export function replicaRows(status: ClusterStatus): Row[] {
  const rows = status.nodes.flatMap((node) => node.replicas.map((replica) => ({ node, replica })));
  return rows.sort((a, b) => a.replica.groupId - b.replica.groupId || a.node.nodeId - b.node.nodeId);
}

/** What a picture of the cluster lacks. */
export function* remarks(status: ClusterStatus): Generator<string> {
  for (const node of status.nodes) {
    if (!node.isReachable)
      yield `node ${node.nodeId} (${node.address || 'no address'}) does not answer: ${node.problem}`;
  }
  for (const { nodeId, service } of status.nodes) {
    if (service !== undefined && service !== '' && service !== 'serving') yield `node ${nodeId} is ${service}`;
  }
  if (status.catalogProblem !== '') yield `the catalog cannot be asked, nodes may be missing: ${status.catalogProblem}`;
}

const GROUPS = ['[group...]', 'only these groups', collectGroupIds] as const;

interface HealthFlags {
  readonly wait?: boolean;
  readonly waitTimeout: number;
}

/** The first report without a problem. @throws CommandFailure with what is wrong still */
const well = (session: Session, waitTimeoutMs: number, ask: () => Promise<HealthReport>): Promise<HealthReport> =>
  untilDone(session, waitTimeoutMs, {
    step: ask,
    isDone: ({ problems }) => problems.length === 0,
    describe: ({ problems }) => problems.map(({ subject, message }) => `${subject}: ${message}`).join('; '),
  });

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
      const shown = new Set(replicaRows(cluster).map(({ replica }) => Number(replica.groupId)));
      const missing = (groups ?? []).filter((group) => !shown.has(group));
      if (missing.length > 0) {
        throw new CommandFailure(`no node that answers has a replica of group ${missing.join(', ')}`);
      }
    },
  );

  const health = program
    .command('health')
    .summary('what is broken or about to be; exit code 1 when something is not served')
    .description('Judges what all nodes and the catalog say. Warnings alone leave the exit code at 0.')
    .option('--wait', 'until there is nothing to say, warnings included')
    .addOption(new Option('--wait-timeout <duration>', 'longest wait').argParser(parseDuration).default(300_000, '5m'));
  declare(
    examples(
      health,
      ['health', 'one line a problem'],
      ['health || page-somebody', 'for a watchdog'],
      ['health --wait', 'between two restarts: everybody is there and has caught up'],
    ),
    async (session: Session, flags: HealthFlags) => {
      const ask = (): Promise<HealthReport> => session.cluster.call('Health', {});
      const report = flags.wait === true ? await well(session, flags.waitTimeout, ask) : await ask();
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
}
