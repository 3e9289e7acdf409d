/**
 * Metrics with a value a group. A node may have thousands of groups, so only the first ones by id have series of their own;
 * sums and largest values over all of them stand beside, and alerts rest on those.
 */
import { Role } from '../../raftengine/index.ts';
import { labelled, type MetricDeclaration, type Sample, single } from './declaration.ts';
import type { GroupFacts, MetricSources } from './sources.ts';

/** Groups of a node that have series of their own: enough for a dashboard, few enough for a scrape of a thousand nodes. */
export const MAX_LABELLED_GROUPS = 100;

const isLeader = ({ status }: GroupFacts): boolean => status.role === Role.Leader;

/** Entries that the peer which is furthest behind still lacks, learners too. */
function followerLag({ status }: GroupFacts): number {
  let lag = 0;
  for (const { nodeId, matchIndex } of status.progress) {
    if (nodeId !== status.nodeId) lag = Math.max(lag, status.lastIndex - matchIndex);
  }
  return lag;
}

const perGroup = (
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  value: (group: GroupFacts) => number,
): MetricDeclaration =>
  labelled(type, name, help, ['group'], ({ groups }) =>
    groups.slice(0, MAX_LABELLED_GROUPS).map((group) => [[String(group.groupId)], value(group)]),
  );

const sumOf = (groups: readonly GroupFacts[], value: (group: GroupFacts) => number): number =>
  groups.reduce((sum, group) => sum + value(group), 0);

const largestOf = (groups: readonly GroupFacts[], value: (group: GroupFacts) => number): number =>
  groups.reduce((largest, group) => Math.max(largest, value(group)), 0);

const ofNode = (
  name: string,
  help: string,
  value: (groups: readonly GroupFacts[], sources: MetricSources) => number,
): MetricDeclaration => single('gauge', name, help, (sources) => value(sources.groups, sources));

export const GROUP_METRICS: readonly MetricDeclaration[] = [
  ofNode('kvorum_groups', 'Replicas on this node', (groups) => groups.length),
  ofNode('kvorum_groups_led', 'Groups that this node leads', (groups) => groups.filter(isLeader).length),
  ofNode(
    'kvorum_groups_leaderless',
    'Replicas that know of no leader',
    (groups) => groups.filter(({ status }) => status.leader === undefined).length,
  ),
  ofNode(
    'kvorum_groups_leased',
    'Groups that this node leads with a lease, which is what lets it read without a message',
    (groups) => groups.filter(({ status }) => status.leaseRemainingMs > 0).length,
  ),
  ofNode(
    'kvorum_groups_awake',
    'Replicas that take part in heartbeats; the others rest',
    (_, sources) => sources.awakeGroups,
  ),
  ofNode('kvorum_groups_unlabelled', 'Replicas without series of their own', (groups) =>
    Math.max(0, groups.length - MAX_LABELLED_GROUPS),
  ),
  ofNode(
    'kvorum_raft_largest_follower_lag_entries',
    'Of the groups led here: entries that the slowest replica lacks',
    (groups) => largestOf(groups, followerLag),
  ),
  ofNode(
    'kvorum_raft_largest_apply_lag_entries',
    'Of all replicas here: entries that are committed and not applied',
    (groups) => largestOf(groups, ({ status }) => status.commitIndex - status.appliedIndex),
  ),
  ofNode('kvorum_waiting_operations', 'Operations of all groups led here that wait for room', (groups) =>
    sumOf(groups, ({ executor }) => executor.waitingOperations),
  ),
  ofNode('kvorum_txn_locks', 'Locks of transactions in force, in all replicas here', (groups) =>
    sumOf(groups, ({ locks }) => locks),
  ),

  ofNode('kvorum_stores_out_of_space', 'Stores here that wait for room on the disk', (groups) =>
    sumOf(groups, ({ pressures }) => Number(pressures?.isOutOfSpace ?? false)),
  ),
  ofNode('kvorum_store_buffered_bytes', 'Applied in the stores here and not yet on disk, besides the log', (groups) =>
    sumOf(groups, ({ pressures }) => pressures?.bufferedBytes ?? 0),
  ),
  ofNode('kvorum_store_buffer_limit_bytes', 'From here on stores make applying wait', (groups) =>
    sumOf(groups, ({ pressures }) => pressures?.bufferLimitBytes ?? 0),
  ),
  ofNode('kvorum_store_overhang_bytes', 'Versions here that are not the newest of their key', (groups) =>
    sumOf(groups, ({ pressures }) => pressures?.overhangBytes ?? 0),
  ),
  ofNode('kvorum_store_unreachable_bytes', 'Rows here of deleted objects that wait for the retention', (groups) =>
    sumOf(groups, ({ pressures }) => pressures?.lastPass?.unreachableBytes ?? 0),
  ),
  labelled(
    'gauge',
    'kvorum_admission_groups',
    'Replicas here by whether writes are let in: ok, slow (at a rate), stop',
    ['level'],
    ({ groups }) =>
      ['ok', 'slow', 'stop'].map(
        (level): Sample => [[level], groups.filter(({ admissionLevel }) => admissionLevel === level).length],
      ),
  ),
  labelled(
    'counter',
    'kvorum_admission_refusals_total',
    'Writes that were not let in: by the pressure on the group, or by the history of their key',
    ['cause'],
    ({ groups }) => [
      [['pressure'], sumOf(groups, ({ refusals }) => refusals)],
      [['key'], sumOf(groups, ({ keyRefusals }) => keyRefusals)],
    ],
  ),
  ofNode(
    'kvorum_store_history_seconds',
    'Of the groups here: the shortest time back to which old versions are kept; 0 before any was let go of',
    (groups, { nowMs }) => {
      const known = groups.filter(({ gcThresholdMs }) => gcThresholdMs > 0);
      return known.length === 0 ? 0 : (nowMs - largestOf(known, ({ gcThresholdMs }) => gcThresholdMs)) / 1000;
    },
  ),
  ofNode('kvorum_store_garbage_passes', 'Stores here that are collecting garbage now', (groups) =>
    sumOf(groups, ({ pressures }) => Number(pressures?.isCollecting ?? false)),
  ),

  perGroup('gauge', 'kvorum_raft_leader', 'Whether this node leads the group', (group) => Number(isLeader(group))),
  perGroup('gauge', 'kvorum_raft_term', 'Current term', ({ status }) => status.term),
  perGroup(
    'gauge',
    'kvorum_raft_commit_index',
    'Highest index known to be committed',
    ({ status }) => status.commitIndex,
  ),
  perGroup('gauge', 'kvorum_raft_applied_index', 'Highest index applied here', ({ status }) => status.appliedIndex),
  perGroup(
    'gauge',
    'kvorum_raft_log_entries',
    'Entries held in the log',
    ({ status }) => status.lastIndex - status.firstIndex + 1,
  ),
  perGroup(
    'gauge',
    'kvorum_raft_follower_lag_entries',
    'Where this node leads: entries that the slowest replica lacks',
    followerLag,
  ),
  perGroup(
    'gauge',
    'kvorum_raft_lease_seconds',
    'Where this node leads: what is left of its lease',
    ({ status }) => status.leaseRemainingMs / 1000,
  ),
  perGroup(
    'gauge',
    'kvorum_clock_ceiling_seconds',
    'Timestamps are issued below this unix time; 0 while none may be',
    ({ clockBoundMs }) => clockBoundMs / 1000,
  ),
  perGroup(
    'gauge',
    'kvorum_group_authority_epoch',
    'Epoch of the authority over timestamps',
    ({ authorityEpoch }) => authorityEpoch,
  ),
  perGroup(
    'counter',
    'kvorum_group_operations_total',
    'Operations that this leader evaluated',
    ({ executor }) => executor.operations,
  ),
  perGroup(
    'counter',
    'kvorum_group_entries_total',
    'Log entries that this leader proposed',
    ({ executor }) => executor.entries,
  ),
  perGroup(
    'counter',
    'kvorum_group_conflicts_total',
    'Operations that were evaluated again because what they had read was changed by then',
    ({ executor }) => executor.conflicts,
  ),
  perGroup(
    'gauge',
    'kvorum_group_waiting_operations',
    'Operations that wait for room in flight',
    ({ executor }) => executor.waitingOperations,
  ),
  perGroup(
    'gauge',
    'kvorum_group_inflight_entries',
    'Entries proposed and not settled',
    ({ executor }) => executor.inflightEntries,
  ),
  perGroup('gauge', 'kvorum_group_inflight_bytes', 'Bytes of them', ({ executor }) => executor.inflightBytes),
];
