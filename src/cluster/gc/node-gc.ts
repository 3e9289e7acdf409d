/**
 * Collection on one node: its part in the cluster's safepoint, the passes over its stores, and what operators ask. The safepoint
 * and compactions are units of work; they have runners of their own, because a compaction takes longer than a round should wait.
 */
import { type ClusterState, isFeatureActive } from '../../distribution/index.ts';
import type { KvService, ReadPins } from '../../kv/index.ts';
import {
  type Clock,
  type GroupId,
  type HlcTimestamp,
  type Millis,
  NEVER,
  type NodeId,
  type PeerNetwork,
  type Random,
  type Scheduler,
} from '../../platform/index.ts';
import type { CatalogClient } from '../contract/index.ts';
import { type AttendResult, WorkRunner } from '../work/index.ts';
import { decodeNotes } from './codec.ts';
import { type CollectableGroup, type CollectorLimits, StoreCollector } from './collector.ts';
import { type CompactionLimits, compactionWork } from './compaction.ts';
import { GcEndpoint } from './endpoint.ts';
import type { CertifiableGroup } from './group-gc.ts';
import { HistoryGrowth } from './growth.ts';
import {
  restOf,
  retentionOf,
  SAFEPOINT_FEATURE,
  SAFEPOINT_UNIT,
  type SafepointOptions,
  type SafepointTimes,
  safepointWork,
} from './safepoint.ts';
import type { GcStatus, NodeGcReport } from './types.ts';

/** A replica here, as collection sees it. */
export interface GcGroup extends CertifiableGroup, CollectableGroup {
  readonly store: CollectableGroup['store'];
  readonly isServing: boolean;
}

/** Bounds and periods that differ from the defaults. */
export interface GcTimes {
  readonly safepoint?: Partial<SafepointTimes>;
  readonly collector?: Partial<CollectorLimits>;
  readonly compaction?: CompactionLimits;
  /** Between looks for a round that is due; 1 s, and 10 s while nothing here waits for one. */
  readonly lookMs?: Millis;
}

export interface NodeGcOptions {
  readonly nodeId: NodeId;
  readonly incarnation: Buffer;
  readonly kv: Pick<KvService, 'forward' | 'onForward'>;
  readonly network: Pick<PeerNetwork, 'self' | 'stream' | 'onStream'>;
  readonly catalog: CatalogClient;
  readonly groups: () => readonly GcGroup[];
  /** What this node still reads of the past. */
  readonly pins: ReadPins;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  /** How long the past stays readable while the setting `gc.retentionMs` says nothing. */
  readonly retentionMs: Millis;
  /** See `SafepointOptions`. */
  readonly needed?: SafepointOptions['needed'];
  readonly times?: GcTimes;
  /** See `CollectorOptions`. */
  readonly isUrgent?: () => boolean;
  /** See `CollectorOptions`. */
  readonly accesses?: () => number;
  /** See `CollectorOptions`. */
  readonly isBusy?: () => boolean;
  readonly onError: (error: unknown) => void;
}

const LOOK_MS: Millis = 1_000;
const REST_LOOK_MS: Millis = 10_000;

/** The safepoint is overdue when it is older than so many retentions, or longest times between rounds. */
const OVERDUE = 2;

/** See the top of the file. Made before the network starts: it registers its handlers. */
export class NodeGc {
  readonly pins: ReadPins;
  private readonly options: NodeGcOptions;
  private readonly endpoint: GcEndpoint;
  private readonly collector: StoreCollector;
  private readonly rounds: WorkRunner;
  private readonly compactions: WorkRunner;
  private readonly startedMs: Millis;
  private readonly growth = new HistoryGrowth();
  /** Monotonic: when it was looked for a round the last time. */
  private lookedMs: Millis = Number.NEGATIVE_INFINITY;

  constructor(options: NodeGcOptions) {
    this.options = options;
    const { clock, scheduler, random, groups, catalog, onError, times = {}, retentionMs } = options;
    this.startedMs = clock.nowMs();
    this.pins = options.pins;
    this.collector = new StoreCollector({
      groups,
      clock,
      scheduler,
      random,
      limits: times.collector ?? {},
      ...(options.isUrgent === undefined ? {} : { isUrgent: options.isUrgent }),
      ...(options.accesses === undefined ? {} : { accesses: options.accesses }),
      ...(options.isBusy === undefined ? {} : { isBusy: options.isBusy }),
      onError,
    });
    this.endpoint = new GcEndpoint({
      ...options,
      led: (group) => groups().find(({ groupId, isServing }) => groupId === group && isServing),
      report: () => this.report(),
      collect: () => this.collector.hasten(),
    });
    const safepoint = safepointWork({
      catalog,
      channel: this.endpoint,
      clock,
      retentionMs,
      ...(options.needed === undefined ? {} : { needed: options.needed }),
      isWorth: (publishedTs) => this.isWorth(publishedTs),
      times: times.safepoint ?? {},
    });
    this.rounds = new WorkRunner({
      ...options,
      times: { lookMs: times.lookMs ?? LOOK_MS },
      mayLook: () => this.mayLook(times.lookMs ?? REST_LOOK_MS),
      units: () => [safepoint],
      onError: (_unit, error) => onError(error),
    });
    this.compactions = new WorkRunner({
      ...options,
      times: { lookMs: times.lookMs ?? REST_LOOK_MS },
      units: () => groups().map(({ groupId, store }) => compactionWork(groupId, store, clock, times.compaction)),
      onError: (_unit, error) => onError(error),
    });
  }

  /** Whether a safepoint above this one would let something go here. */
  private isWorth(safepoint: HlcTimestamp): boolean {
    const { groups, clock } = this.options;
    this.growth.note(
      groups().reduce((bytes, { store }) => bytes + (store.historyBytes ?? 0), 0),
      clock.nowMs(),
    );
    return this.growth.isAbove(safepoint);
  }

  /** Whether to ask the catalog for a round: often only while something here waits for one. */
  private mayLook(restMs: Millis): boolean {
    const nowMs = this.options.clock.monotonicMs();
    let reached = NEVER;
    // One that a move holds back does not hold the others.
    for (const { store } of this.options.groups()) if (store.gcThreshold > reached) reached = store.gcThreshold;
    if (!this.isWorth(reached) && nowMs - this.lookedMs < restMs) return false;
    this.lookedMs = nowMs;
    return true;
  }

  start(): void {
    this.collector.start();
    this.rounds.start();
    this.compactions.start();
  }

  /** Settles when nothing of it is under way. */
  async stop(): Promise<void> {
    await Promise.all([this.rounds.stop(), this.compactions.stop(), this.collector.stop()]);
  }

  /** What this node says about itself. */
  report(): NodeGcReport {
    const pin = this.pins.oldest();
    const clockMs = this.options.clock.nowMs();
    return { pinTs: pin?.ts, pinPurpose: pin?.purpose ?? '', clockMs, stores: this.collector.report() };
  }

  /** How collection stands, from all that can be asked within the time. */
  async status(timeoutMs: Millis): Promise<GcStatus> {
    const { catalog, clock } = this.options;
    const clusterState = await catalog.clusterState(timeoutMs / 2);
    const row = clusterState.work.find(({ name }) => name === SAFEPOINT_UNIT);
    const notes = decodeNotes(row?.progress);
    const retentionMs = retentionOf(clusterState, this.options.retentionMs);
    const isHeld = row?.holder !== undefined && row.leaseUntilMs > clock.nowMs();
    const nodes = await Promise.all(
      clusterState.nodes.map(async ({ nodeId }) => {
        try {
          return { node: nodeId, report: await this.endpoint.report(nodeId, timeoutMs / 2), problem: '' };
        } catch (error) {
          return { node: nodeId, report: undefined, problem: error instanceof Error ? error.message : String(error) };
        }
      }),
    );
    return {
      notes,
      holder: isHeld ? row.holder : undefined,
      retentionMs,
      isOverdue: this.isOverdue(clusterState, notes.raisedAtMs, retentionMs),
      isActive: isFeatureActive(clusterState, SAFEPOINT_FEATURE),
      groups: groupsOf(clusterState, nodes),
      nodes: nodes.sort((left, right) => left.node - right.node),
    };
  }

  /** Nothing was raised for twice the retention although it could have been. */
  private isOverdue(clusterState: ClusterState, raisedAtMs: Millis, retentionMs: Millis): boolean {
    const sinceMs = raisedAtMs === 0 ? this.startedMs : raisedAtMs;
    return (
      isFeatureActive(clusterState, SAFEPOINT_FEATURE) &&
      this.options.clock.nowMs() - sinceMs > OVERDUE * Math.max(retentionMs, restOf(retentionMs))
    );
  }

  /** A round and passes over all stores now. @returns whether this node did the round, or another one is at it */
  async runNow(timeoutMs: Millis): Promise<AttendResult> {
    const result = await this.rounds.runNow(SAFEPOINT_UNIT);
    const { nodes } = await this.options.catalog.clusterState(timeoutMs / 2);
    // A node that does not answer collects by itself some time.
    await Promise.allSettled(nodes.map(({ nodeId }) => this.endpoint.collect(nodeId, timeoutMs / 4)));
    return result;
  }
}

/** Thresholds of the groups: the highest that a replica of each knows. */
function groupsOf(clusterState: ClusterState, nodes: GcStatus['nodes']): GcStatus['groups'] {
  const known = new Map<GroupId, NonNullable<NodeGcReport['stores'][number]>['thresholdTs']>();
  for (const { report } of nodes) {
    for (const { group, thresholdTs } of report?.stores ?? []) {
      if ((known.get(group) ?? -1n) < thresholdTs) known.set(group, thresholdTs);
    }
  }
  return clusterState.groups
    .filter(({ state }) => state === 'ACTIVE')
    .map(({ id }) => {
      const thresholdTs = known.get(id);
      return {
        group: id,
        thresholdTs: thresholdTs ?? NONE,
        problem: thresholdTs === undefined ? 'no replica answers' : '',
      };
    })
    .sort((left, right) => left.group - right.group);
}

const NONE = 0n as NodeGcReport['stores'][number]['thresholdTs'];
