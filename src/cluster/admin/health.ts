/** What is broken or about to be, judged from what the nodes said of themselves. Pure. */
import { counted, type GroupId, type Millis, type NodeId } from '../../platform/index.ts';
import type {
  ClusterStatus,
  GroupView,
  HealthProblem,
  HealthReport,
  HeldBackView,
  JobView,
  ReplicaStatus,
} from '../contract/index.ts';
import { durationText, offsetText } from './clock-text.ts';

/** Leases assume clocks that run alike, not that show the same; but a node that is further off should not lead. */
const MAX_CLOCK_OFFSET_MS: Millis = 500;
/** What a few changes of leaders in a row add to the time of a healthy group, and the window that it reserves. */
const MAX_TIME_LEAD_MS: Millis = 5_000;
/** A replica that is further behind would take long to take over. */
const MAX_LAG_ENTRIES = 10_000;
/** A job that was not taken on for so long is stuck. */
const STUCK_JOB_MS: Millis = 60_000;

interface Seen {
  readonly nodeId: NodeId;
  readonly replica: ReplicaStatus;
  readonly heldBack: HeldBackView | undefined;
}

/**
 * @param groups what the catalog lists; undefined when it could not be asked, then those that nodes have replicas of
 * @param jobs unfinished ones, undefined likewise
 */
export function judgeHealth(
  status: ClusterStatus,
  groups: readonly GroupView[] | undefined,
  jobs: readonly JobView[] | undefined,
  nowMs: Millis,
): HealthReport {
  const problems: HealthProblem[] = [];
  const report = (severity: HealthProblem['severity'], subject: string, message: string): void => {
    problems.push({ severity, subject, message });
  };
  if (status.catalogProblem !== '') {
    report('critical', 'catalog', `it cannot be asked: ${status.catalogProblem}; ranges cannot be split or moved`);
  }
  for (const node of status.nodes) {
    const subject = `node ${node.nodeId}`;
    if (!node.isReachable) {
      report('warning', subject, `it does not answer at ${node.address || 'any known address'}: ${node.problem}`);
      continue;
    }
    if (node.isClockOff || Math.abs(node.clockOffsetMs) - node.clockErrorMs > MAX_CLOCK_OFFSET_MS) {
      const leaves = node.isClockOff ? 'it goes by the others and leaves leadership to them; ' : '';
      report('warning', subject, `its clock is ${offsetText(node)}; ${leaves}set it with NTP`);
    }
    if (node.service !== undefined && node.service !== 'serving') {
      const leads = node.replicas.filter(({ role }) => role === 'leader').length;
      const has = `it leads ${counted(leads, 'group')} and has ${counted(node.replicas.length, 'replica')}`;
      report('warning', subject, `it is ${node.service}: ${has}; \`undrain ${node.nodeId}\` puts it back into service`);
    }
    if (node.routesVersion === 0) report('warning', subject, 'it has no directory of ranges yet and serves no keys');
  }

  const replicas = new Map<GroupId, Seen[]>();
  for (const node of status.nodes) {
    for (const replica of node.replicas) {
      const seen = replicas.get(replica.groupId) ?? [];
      const heldBack = node.activity?.heldBack?.find(({ groupId }) => groupId === replica.groupId);
      replicas.set(replica.groupId, [...seen, { nodeId: node.nodeId, replica, heldBack }]);
    }
  }
  const wanted = groups?.filter(({ state }) => state === 'ACTIVE').map(({ id }) => id) ?? [...replicas.keys()];
  for (const group of wanted) judgeGroup(group, replicas.get(group) ?? [], report);

  for (const job of jobs ?? []) {
    if (job.isFinished || nowMs - job.updatedMs < STUCK_JOB_MS) continue;
    const seconds = Math.round((nowMs - job.updatedMs) / 1000);
    const why = job.lastError === '' ? '' : `: ${job.lastError}`;
    report('warning', `job ${job.id}`, `it has been in ${job.phase} for ${seconds} s${why}`);
  }
  return {
    isHealthy: !problems.some(({ severity }) => severity === 'critical'),
    problems,
    nodeCount: status.nodes.length,
    groupCount: wanted.length,
  };
}

function judgeGroup(
  group: GroupId,
  seen: readonly Seen[],
  report: (severity: HealthProblem['severity'], subject: string, message: string) => void,
): void {
  const subject = `group ${group}`;
  // An older leader that has not noticed yet must not hide that there is a newer one.
  const leader = seen
    .filter(({ replica }) => replica.role === 'leader')
    .sort((left, right) => right.replica.term - left.replica.term)[0];
  const known = leader ?? [...seen].sort((left, right) => right.replica.appliedIndex - left.replica.appliedIndex)[0];
  if (known === undefined) {
    report('critical', subject, 'no node that answers has a replica of it; its keys are not served');
    return;
  }
  const { voters } = known.replica;
  const answering = voters.filter((voter) => seen.some(({ nodeId }) => nodeId === voter));
  const needed = (voters.length >> 1) + 1;
  if (answering.length < needed) {
    const silent = voters.filter((voter) => !answering.includes(voter));
    report(
      'critical',
      subject,
      `of its ${counted(voters.length, 'voter')} ${answering.length} answer, and it takes ${needed}; bring back node ${silent.join(' or ')}`,
    );
    return;
  }
  if (leader === undefined) {
    report('critical', subject, 'it has no leader now; an election should end this within seconds');
    return;
  }
  if (answering.length === needed && voters.length > 1 && answering.length < voters.length) {
    report('warning', subject, `it serves, and would stop if one more of the nodes ${answering.join(', ')} were lost`);
  }
  for (const { nodeId, heldBack } of seen) {
    if (heldBack === undefined) continue;
    const how = heldBack.level === 'stop' ? 'refused' : 'slowed';
    const isRefused = heldBack.level === 'stop' && nodeId === leader.nodeId;
    report(isRefused ? 'critical' : 'warning', subject, `writes are ${how} by node ${nodeId}: ${heldBack.reason}`);
  }
  const { timeLeadMs = 0 } = leader.replica;
  if (timeLeadMs > MAX_TIME_LEAD_MS) {
    report(
      'warning',
      subject,
      `its time leads the clocks by ${durationText(timeLeadMs)}: keys expire late or early, and what spans groups is refused; wait, or see accept_time`,
    );
  }
  for (const { nodeId, replica } of seen) {
    const { lagEntries = 0 } = replica;
    if (lagEntries > MAX_LAG_ENTRIES) {
      report('warning', subject, `the replica on node ${nodeId} is ${counted(lagEntries, 'entry')} behind its leader`);
    }
  }
}
