/** What a node tells about itself: its layers' counters and states, put together for whoever shows them. */

import type { BackupFacts, GroupFacts, JobFacts, MetricSources } from '../adapter/metrics/index.ts';
import { archiveViewOf, BACKUP_UNIT, backupSettingsOf, decodeBackupNotes, isScheduled } from '../cluster/index.ts';
import type { CatalogState } from '../distribution/index.ts';
import {
  type Clock,
  type DiskCounters,
  type Millis,
  type NetworkCounters,
  ownMemoryBytes,
  physicalMs,
} from '../platform/index.ts';
import type { AssembledNode } from './assemble.ts';
import type { HostedGroup } from './group-host.ts';

/** What the process around a node counts. */
export interface ProcessCounters
  extends Pick<
    MetricSources,
    'version' | 'redis' | 'dynamodb' | 'grpc' | 'memoryLimitBytes' | 'encryption' | 'heldTurns'
  > {
  readonly network: NetworkCounters;
  readonly logDisk: DiskCounters;
  readonly clock: Clock;
}

const factsOf = (
  { groupId, raft, executor, stateMachine, store }: HostedGroup,
  { level, refusals, keyRefusals }: ReturnType<AssembledNode['storagePressure']['admissionOf']>,
): GroupFacts => ({
  groupId,
  status: raft.status(),
  executor: executor.stats(),
  clockBoundMs: executor.clock.bound,
  authorityEpoch: stateMachine.authority.epoch,
  locks: stateMachine.locks.size,
  pressures: store.pressures?.(),
  admissionLevel: level,
  refusals,
  keyRefusals,
  gcThresholdMs: physicalMs(store.gcThreshold),
});

function jobsOf(state: CatalogState | undefined): readonly JobFacts[] | undefined {
  if (state === undefined) return undefined;
  return [...state.jobs.values()].map(({ phase, createdMs }) => ({ phase, createdMs }));
}

function backupsOf(state: CatalogState | undefined, nowMs: Millis): BackupFacts | undefined {
  if (state === undefined) return undefined;
  const { last, failed, running } = decodeBackupNotes(state.work.get(BACKUP_UNIT)?.progress);
  const rows = {
    settings: [...state.settings.values()],
    features: [...state.features.values()],
    work: [...state.work.values()],
  };
  const settings = backupSettingsOf(rows);
  const { isOn, everyMs, sinceMs, untilMs, failures } = archiveViewOf(rows, nowMs);
  return {
    everyMs: isScheduled(settings) ? settings.everyMs : 0,
    lastMs: last?.begunMs ?? 0,
    isRunning: running !== undefined,
    isFailing: (failed?.atMs ?? 0) > (last?.doneMs ?? 0),
    archive: isOn ? { everyMs, sinceMs, untilMs, failures } : undefined,
  };
}

/** Reads everything, once a scrape. */
export function metricSources(node: AssembledNode, around: ProcessCounters): MetricSources {
  const { version, redis, dynamodb, grpc, network, logDisk, memoryLimitBytes, encryption, heldTurns, clock } = around;
  const { current } = node.routes;
  const { admission } = node.storagePressure;
  const groups = node.host.all();
  return {
    version,
    nowMs: clock.nowMs(),
    isReady: node.readiness().ready,
    groups: groups.map((group) => factsOf(group, node.storagePressure.admissionOf(group.groupId))),
    awakeGroups: node.engine.awakeGroups,
    engine: node.engine.counters,
    network,
    logDisk,
    store: node.storeActivity,
    diskFreeBytes: admission.diskSpace?.freeBytes,
    diskReserveBytes: admission.reserveBytes,
    overhangLimitBytes: admission.overhangLimitBytes,
    storeLevels: node.storeActivity.levelUse(),
    storeMemoryBytes: node.storeActivity.memoryBytes(),
    memoryLimitBytes,
    ownMemoryBytes: ownMemoryBytes(),
    encryption,
    heldTurns,
    clock: node.clock.status(),
    clockLeadMs: Math.max(0, ...groups.map(({ executor }) => executor.clock.leadMs)),
    routes: { version: current.version, count: current.size, lookups: node.kv.routeLookups },
    watch: node.watch.status,
    jobs: jobsOf(node.catalogLeader.state),
    backups: backupsOf(node.catalogLeader.state, clock.nowMs()),
    proxy: node.kv.proxyStats(),
    txn: node.txnCounters,
    reads: node.reads.stats(),
    oracle: node.oracle.stats(),
    shadow: node.shadow.stats(),
    redis,
    dynamodb,
    grpc,
  };
}
