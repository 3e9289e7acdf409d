/**
 * What is not right although it works, judged from what the nodes measured of themselves and what the leaders say. Pure: thresholds
 * and sentences are here, measuring is elsewhere. What does not work is `judgeHealth`'s part, which comes first.
 */
import type { ClusterState } from '../../distribution/index.ts';
import { counted, type Millis, type NodeId } from '../../platform/index.ts';
import type { ClusterStatus, GroupMembers, HealthProblem, NodeExamination } from '../contract/index.ts';
import { durationText } from './clock-text.ts';

/** Every acknowledged write waits for a synced one. */
const SLOW_SYNC_MS: Millis = 20;
const STALLED_SYNC_MS: Millis = 500;
/** Heartbeats and leases are late by as much. */
const LOOP_LAG_MS: Millis = 100;
/** A node whose clock is 500 ms off leaves leadership to others. */
const CLOCK_SKEW_MS: Millis = 250;
const LOW_DISK_SHARE = 0.1;
const NO_DISK_BYTES = 1024 ** 3;
const HIGH_MEMORY_SHARE = 0.9;
/** Within this many entries a learner could be promoted. */
const CAUGHT_UP_ENTRIES = 1_024;
/** A node that is gone for longer will hardly come back by itself. */
const GONE_MS: Millis = 60_000;

/** What `diagnose` judges. */
export interface Findings {
  readonly status: ClusterStatus;
  readonly examinations: readonly NodeExamination[];
  readonly members: readonly GroupMembers[];
  /** Undefined when the catalog could not be asked. */
  readonly clusterState: ClusterState | undefined;
  readonly maxPromoteLag?: number;
  readonly nowMs: Millis;
}

type Report = (severity: HealthProblem['severity'], subject: string, message: string) => void;

/** Problems beside those of health, in the order of nodes, groups, cluster. */
export function diagnose(findings: Findings): HealthProblem[] {
  const problems: HealthProblem[] = [];
  const report: Report = (severity, subject, message) => problems.push({ severity, subject, message });
  for (const examination of findings.examinations) examineNode(examination, report);
  compareClocks(findings, report);
  compareNodes(findings, report);
  for (const group of findings.members) examineGroup(group, findings, report);
  weighLeaders(findings, report);
  missNodes(findings, report);
  return problems;
}

const round = (ms: number): string => (ms < 10 ? ms.toFixed(1) : Math.round(ms).toString());

function examineNode(node: NodeExamination, report: Report): void {
  const subject = `node ${node.nodeId}`;
  if (node.problem !== '') {
    report('warning', subject, `it could not be examined: ${node.problem}`);
    return;
  }
  if (node.syncCount > 0 && (node.syncMedianMs > SLOW_SYNC_MS || node.syncMaxMs > STALLED_SYNC_MS)) {
    const times = `${round(node.syncMedianMs)} ms, at worst ${round(node.syncMaxMs)} ms`;
    report(
      'warning',
      subject,
      `its disk takes ${times} for a synced write, and every write of a client waits for one; use a faster disk`,
    );
  }
  if (node.loopLagMaxMs > LOOP_LAG_MS) {
    report(
      'warning',
      subject,
      `its event loop was ${round(node.loopLagMaxMs)} ms late; give it a core of its own, or less load`,
    );
  }
  const { diskFreeBytes: free, diskTotalBytes: total } = node;
  if (total > 0 && (free < NO_DISK_BYTES || free < total * LOW_DISK_SHARE)) {
    const severity = free < NO_DISK_BYTES / 4 ? 'critical' : 'warning';
    report(
      severity,
      subject,
      `its disk has ${Math.floor(free / 1024 ** 2)} MiB left of ${Math.floor(total / 1024 ** 2)}; make room`,
    );
  }
  if (node.memoryLimitBytes > 0 && node.memoryUsedBytes > node.memoryLimitBytes * HIGH_MEMORY_SHARE) {
    report(
      'warning',
      subject,
      `it uses ${Math.floor((100 * node.memoryUsedBytes) / node.memoryLimitBytes)} % of its memory limit`,
    );
  }
  for (const remark of node.remarks) report('warning', subject, remark);
}

/** Between any two nodes, not only against the one that was asked. */
function compareClocks({ examinations }: Findings, report: Report): void {
  const heard = examinations.filter(({ problem }) => problem === '');
  if (heard.length < 2) return;
  const [slowest, fastest] = [heard.reduce(lower), heard.reduce((a, b) => (lower(a, b) === a ? b : a))];
  const skewMs = fastest.clockOffsetMs - slowest.clockOffsetMs;
  const errorMs = fastest.clockErrorMs + slowest.clockErrorMs;
  if (skewMs - errorMs <= CLOCK_SKEW_MS) return;
  report(
    'warning',
    `node ${fastest.nodeId}`,
    `its clock is ${durationText(skewMs)} ahead of that of node ${slowest.nodeId}, within ${durationText(errorMs)}; set both with NTP`,
  );
}

const lower = (left: NodeExamination, right: NodeExamination): NodeExamination =>
  right.clockOffsetMs < left.clockOffsetMs ? right : left;

/** Versions, and settings that make sense only when all nodes have the same. */
function compareNodes({ examinations, clusterState }: Findings, report: Report): void {
  const heard = examinations.filter(({ problem }) => problem === '');
  const versions = Map.groupBy(heard, ({ version }) => version);
  if (versions.size > 1) {
    const shown = [...versions].map(
      ([version, nodes]) => `${version} on ${nodes.map(({ nodeId }) => nodeId).join(', ')}`,
    );
    report('warning', 'cluster', `its nodes have different versions (${shown.join('; ')}); finish the upgrade`);
  }
  const values = new Map<string, Map<string, NodeId[]>>();
  for (const { nodeId, shared } of heard) {
    for (const setting of shared) {
      const [name, value] = [setting.slice(0, setting.indexOf('=')), setting.slice(setting.indexOf('=') + 1)];
      const of = values.get(name) ?? new Map<string, NodeId[]>();
      values.set(name, of.set(value, [...(of.get(value) ?? []), nodeId]));
    }
  }
  for (const [name, of] of values) {
    if (of.size < 2) continue;
    const shown = [...of].map(([value, nodes]) => `${value} on ${nodes.join(', ')}`).join('; ');
    report('warning', 'cluster', `its nodes are configured differently: ${name} is ${shown}`);
  }
  for (const row of clusterState?.nodes ?? []) {
    const host = row.address.slice(0, row.address.lastIndexOf(':'));
    if (
      (host === '127.0.0.1' || host === 'localhost') &&
      new Set(clusterState?.nodes.map(({ address }) => address.split(':')[0])).size > 1
    ) {
      report(
        'warning',
        `node ${row.nodeId}`,
        `it says that it is at ${row.address}, where no other machine finds it; set its members' address`,
      );
    }
  }
}

function examineGroup(
  group: GroupMembers,
  { clusterState, maxPromoteLag = CAUGHT_UP_ENTRIES }: Findings,
  report: Report,
): void {
  if (group.problem !== '') return;
  const subject = `group ${group.groupId}`;
  const voters = group.members.filter(({ suffrage }) => suffrage === 'voter');
  for (const { nodeId, suffrage, lagEntries, isActive } of group.members) {
    if (suffrage !== 'learner') continue;
    if (!isActive)
      report(
        'warning',
        subject,
        `its learner on node ${nodeId} does not answer; start it, or remove ${group.groupId} ${nodeId}`,
      );
    else if (lagEntries <= maxPromoteLag) {
      report(
        'warning',
        subject,
        `its learner on node ${nodeId} has caught up and was left behind; promote ${group.groupId} ${nodeId}`,
      );
    }
  }
  if (group.isJoint)
    report('warning', subject, 'it is between two memberships, and needs a majority of both until that ends');
  const nodes = clusterState?.nodes.length ?? 0;
  if (voters.length === 1 && nodes >= 3) {
    report(
      'warning',
      subject,
      `its data is on node ${voters[0]!.nodeId} alone although there are ${nodes} nodes; add learners and promote them`,
    );
  } else if (voters.length > 1 && voters.length % 2 === 0) {
    report(
      'warning',
      subject,
      `it has ${voters.length} voters, which survive no more losses than ${voters.length - 1}; add or remove one`,
    );
  }
}

function weighLeaders({ members, clusterState }: Findings, report: Report): void {
  const live = clusterState?.nodes.map(({ nodeId }) => nodeId) ?? [];
  const led = new Map<NodeId, number>(live.map((node) => [node, 0]));
  for (const { leader } of members) if (leader !== undefined) led.set(leader, (led.get(leader) ?? 0) + 1);
  // A node that is not a voter of anything cannot lead.
  const able = [...led].filter(([node]) =>
    members.some((group) =>
      group.members.some(({ nodeId, suffrage, isActive }) => nodeId === node && suffrage === 'voter' && isActive),
    ),
  );
  if (able.length < 2 || members.length < able.length) return;
  const [most, least] = [able.reduce((a, b) => (b[1] > a[1] ? b : a)), able.reduce((a, b) => (b[1] < a[1] ? b : a))];
  if (most[1] - least[1] < 3 || most[1] < 2 * (members.length / able.length)) return;
  report(
    'warning',
    'cluster',
    `node ${most[0]} leads ${counted(most[1], 'group')} and node ${least[0]} leads ${least[1]}; see \`balance\`, or transfer_leader`,
  );
}

/** Nodes that hold votes and are gone. */
function missNodes({ clusterState, members, nowMs }: Findings, report: Report): void {
  for (const { nodeId, heartbeatMs } of clusterState?.nodes ?? []) {
    const silentMs = nowMs - heartbeatMs;
    const votes = members.filter((group) =>
      group.members.some((each) => each.nodeId === nodeId && each.suffrage === 'voter'),
    );
    if (silentMs < GONE_MS || votes.length === 0) continue;
    report(
      'warning',
      `node ${nodeId}`,
      `it was not heard of for ${Math.round(silentMs / 1000)} s and has ${votes.length} votes; bring it back, or replace it`,
    );
  }
}
