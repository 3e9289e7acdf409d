/**
 * What operators ask of a cluster, as plain values: the shapes here are those of `proto/kvorum.proto`, so that the gRPC
 * adapter passes them on as they are. Any node answers for the whole cluster.
 */

import type { GroupId, LogIndex, Millis, NodeId, Term } from '../../platform/index.ts';
import type {
  DoctorReport,
  DrainRequest,
  DrainStatus,
  HealthProblem,
  RecoverRequest,
  RecoverResult,
  ReplaceRequest,
  ReplaceStatus,
  ResolveTxnResult,
  TsoReport,
  TxnsReport,
} from './admin-operations.ts';
import type { BackupsView } from './backup-views.ts';
import type { GcRunResult, GcView } from './gc-views.ts';

/** Whether a replica counts in quorums. `outgoing`: a voter of the membership that is being left. */
export type Suffrage = 'voter' | 'learner' | 'outgoing' | 'none';

export interface ReplicaStatus {
  readonly groupId: GroupId;
  readonly role: string;
  readonly suffrage: Suffrage;
  readonly term: Term;
  readonly leader?: NodeId;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly firstIndex: LogIndex;
  readonly lastIndex: LogIndex;
  /** Entries that the leader has and this replica does not; absent without a leader's answer. */
  readonly lagEntries?: number;
  readonly leaseRemainingMs: Millis;
  /** Highest timestamp applied, as unix milliseconds. */
  readonly hlcCeilingMs?: Millis;
  /** By how much the time of the group leads that of the node. */
  readonly timeLeadMs?: Millis;
  readonly storedBytes?: number;
  readonly voters: readonly NodeId[];
  /** Operations that the replica has evaluated as a leader, since its node's start. */
  readonly operations?: number;
}

/** A range and what is asked of it. */
export interface HotRange {
  readonly routeId: number;
  readonly start: Buffer;
  readonly groupId: GroupId;
  readonly readsPerSecond: number;
  readonly writesPerSecond: number;
}

/** A replica whose node does not let all writes in. */
export interface HeldBackView {
  readonly groupId: GroupId;
  /** `slow`: at a rate; `stop`: none. */
  readonly level: string;
  readonly reason: string;
}

/** What a node does; counters since its start, so that two looks make a rate. */
export interface NodeActivity {
  readonly upMs: Millis;
  readonly logLevel: string;
  /** Redis clients. */
  readonly clients: number;
  readonly commands: number;
  readonly commandErrors: number;
  /** Commands by how long they took: upper bounds in milliseconds, and one count more than there are bounds. */
  readonly latencyBoundsMs: readonly number[];
  readonly latencyCounts: readonly number[];
  /** Of the last minute at most, busiest first. */
  readonly hotRanges: readonly HotRange[];
  /** Where writes are slowed or refused; absent from older programs. */
  readonly heldBack?: readonly HeldBackView[];
}

/** From everything to nothing. */
export const LOG_LEVELS: readonly string[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

/** How severe messages have to be for a node to log them. */
export interface NodeLogLevel {
  readonly nodeId: NodeId;
  /** Empty when the node did not answer. */
  readonly level: string;
  /** What it was before. */
  readonly before: string;
  readonly problem: string;
}

export interface NodeStatus {
  readonly nodeId: NodeId;
  readonly address: string;
  readonly isReachable: boolean;
  /** Why it did not answer; empty when it did. */
  readonly problem: string;
  readonly version: string;
  readonly routesVersion: number;
  /** Its wall clock less the time that the cluster goes by. */
  readonly clockOffsetMs: Millis;
  /** That is right within this. */
  readonly clockErrorMs: Millis;
  /** It goes by the clocks of the others, and leaves leadership to them. */
  readonly isClockOff: boolean;
  /** `serving`, `draining` or `decommissioning`; left out where the catalog could not be asked. */
  readonly service?: string;
  readonly replicas: readonly ReplicaStatus[];
  /** Absent when the node did not answer, or does not say. */
  readonly activity?: NodeActivity;
}

export interface ClusterStatus {
  readonly answeredBy: NodeId;
  /** Ascending by id. */
  readonly nodes: readonly NodeStatus[];
  /** Why the catalog could not be asked; nodes may be missing then. */
  readonly catalogProblem: string;
}

export interface HealthReport {
  /** Nothing critical. */
  readonly isHealthy: boolean;
  readonly problems: readonly HealthProblem[];
  readonly nodeCount: number;
  readonly groupCount: number;
}

export interface Member {
  readonly nodeId: NodeId;
  /** Empty when it is not known. */
  readonly address: string;
  readonly suffrage: Suffrage;
  readonly isLeader: boolean;
  /** How the leader sends to it; empty for the leader itself. */
  readonly state: string;
  readonly matchIndex: LogIndex;
  readonly lagEntries: number;
  /** It answered its leader lately. */
  readonly isActive: boolean;
}

export interface GroupMembers {
  readonly groupId: GroupId;
  readonly leader?: NodeId;
  readonly term: Term;
  readonly lastIndex: LogIndex;
  readonly isJoint: boolean;
  readonly members: readonly Member[];
  /** Why the members are not known; empty when they are. */
  readonly problem: string;
}

export interface MembershipResult {
  /** False when it was so already. */
  readonly changed: boolean;
  readonly group: GroupMembers;
  /** What somebody still has to do; empty when nothing is left. */
  readonly note: string;
}

export interface TransferResult {
  readonly groupId: GroupId;
  readonly from: NodeId;
  readonly to: NodeId;
  readonly changed: boolean;
}

export interface GroupView {
  readonly id: GroupId;
  readonly state: string;
  readonly founders: readonly NodeId[];
  readonly preferredLeader?: NodeId;
  readonly createdMs: Millis;
  readonly revision: number;
  /** As far as the asked node knows. */
  readonly leader?: NodeId;
  /** Counting stops at `MAX_COUNTED_ROUTES`. */
  readonly routeCount: number;
}

/** Counting the routes of a group ends here: a list of groups must not cost a walk over a million routes. */
export const MAX_COUNTED_ROUTES = 256;

export interface RouteView {
  readonly id: number;
  readonly start: Buffer;
  readonly end?: Buffer;
  readonly groupId: GroupId;
  readonly state: string;
  /** 0 for none. */
  readonly jobId: number;
  readonly parentId: number;
  /** 0 for never. */
  readonly splitAtMs: Millis;
  /** 0 for any. */
  readonly minWriteMs: Millis;
  readonly spanEpoch: number;
  readonly createdVersion: number;
  readonly modifiedVersion: number;
}

export interface RoutesPage {
  readonly version: number;
  readonly incarnation: number;
  readonly routes: readonly RouteView[];
}

export interface RoutesFilter {
  /** Inclusive. */
  readonly start: Buffer;
  /** Exclusive; undefined is the end of the key space. */
  readonly end?: Buffer;
  readonly groupId?: GroupId;
  /** 0 is no limit. */
  readonly limit: number;
}

/** A difference between what a watcher was told before and `version`, or a part of it. */
export interface RoutesChange {
  readonly version: number;
  readonly incarnation: number;
  /** Forget everything before this version. */
  readonly isSnapshot: boolean;
  readonly upserts: readonly RouteView[];
  readonly removed: readonly { readonly id: number; readonly start: Buffer }[];
  /** More parts of this version follow. */
  readonly hasMore: boolean;
}

export interface RoutesResult {
  readonly version: number;
  readonly routeIds: readonly number[];
}

/** A merge: what was made, or the job that will make it. */
export interface MergeResult extends RoutesResult {
  /** Of routes in different groups: moves the smaller one, then joins them. No route is made before it is done. */
  readonly job?: JobView;
}

/** A route by its id (looked for among all of them) or by any key of it. */
export type RouteRef = { readonly id: number } | { readonly key: Buffer };

export interface JobView {
  readonly id: number;
  readonly revision: number;
  readonly routeId: number;
  readonly start: Buffer;
  readonly end?: Buffer;
  readonly src: GroupId;
  readonly dst: GroupId;
  readonly phase: string;
  readonly attempt: number;
  readonly isFinished: boolean;
  readonly isAbortable: boolean;
  readonly lastError: string;
  readonly createdMs: Millis;
  readonly updatedMs: Millis;
  /** Its neighbour in `dst`, which it becomes one route with there; absent when it is only moved. */
  readonly mergeWith?: number;
}

export interface AbortJobResult {
  /** False when it was given up already. */
  readonly changed: boolean;
  readonly job: JobView;
}

export interface NodeView {
  readonly nodeId: NodeId;
  readonly address: string;
  /** Hexadecimal. */
  readonly incarnation: string;
  readonly locality: string;
  /** Numbers of the bits that are set. */
  readonly capabilities: readonly number[];
  readonly heartbeatAgeMs: Millis;
  readonly isAlive: boolean;
  /** `serving`, `draining` or `decommissioning`. */
  readonly service: string;
  readonly leaderCount: number;
  readonly replicaCount: number;
  readonly storedBytes: number;
}

export interface SettingView {
  readonly name: string;
  readonly value: string;
  /** 0 while nobody has set it. */
  readonly revision: number;
  readonly isDefault: boolean;
  readonly description: string;
  /** What it may be, for people. */
  readonly allowed: string;
}

export interface FeatureView {
  readonly name: string;
  readonly isActive: boolean;
  /** 0 while it is not active. */
  readonly activatedMs: Millis;
  readonly description: string;
  /** Nodes whose program cannot do it. */
  readonly missingOn: readonly NodeId[];
}

/** One rule of balancing. */
export interface BalanceDutyView {
  readonly duty: string;
  /** `off`, `observe` or `on`. */
  readonly mode: string;
  /** Until it is asked again; 0 while an action is under way. */
  readonly nextInMs: Millis;
  /** What is being done; empty for nothing. */
  readonly underWay: string;
  /** What it said last; empty before it was asked. */
  readonly said: string;
}

/** Something that a rule did, or would do. */
export interface BalanceReportView {
  readonly atMs: Millis;
  readonly duty: string;
  readonly event: string;
  readonly text: string;
}

/** A unit of background work. */
export interface WorkView {
  readonly name: string;
  /** Absent while nobody has it. */
  readonly holder?: NodeId;
  readonly leaseUntilMs: Millis;
}

export interface BalanceView {
  /** The leader of the catalog group. */
  readonly nodeId: NodeId;
  /** Windows of load that it has. */
  readonly windowCount: number;
  /** Groups of which the newest window knows everything. */
  readonly completeGroups: number;
  readonly duties: readonly BalanceDutyView[];
  /** Oldest first. */
  readonly reports: readonly BalanceReportView[];
  readonly work: readonly WorkView[];
}

/**
 * Everything that operators may ask, on any node. Each call has `timeoutMs` from now; what it throws is a `KvorumError`
 * with a stable code: its own `AdminError`, a `CatalogError`, or that of the layer that refused. After
 * `OutcomeUnknownError` it may have happened: look, and say it again, which is harmless for all of them.
 */
export interface AdminBackend {
  status(groups: readonly GroupId[], timeoutMs: Millis): Promise<ClusterStatus>;
  health(timeoutMs: Millis): Promise<HealthReport>;
  /**
   * What nodes log, and changes it until they start again.
   * @param node undefined: all of them
   * @param level undefined: leaves it
   * @throws AdminError INVALID_ARGUMENT for a level that there is not
   */
  logLevels(node: NodeId | undefined, level: string | undefined, timeoutMs: Millis): Promise<readonly NodeLogLevel[]>;

  members(groups: readonly GroupId[], timeoutMs: Millis): Promise<readonly GroupMembers[]>;
  /** @param address `host:port` of its gRPC port; '' when the catalog knows it */
  addLearner(group: GroupId, node: NodeId, address: string, timeoutMs: Millis): Promise<MembershipResult>;
  /** @throws AdminError LEARNER_BEHIND while it is not caught up */
  promote(group: GroupId, node: NodeId, timeoutMs: Millis): Promise<MembershipResult>;
  /** @throws AdminError LAST_VOTER, QUORUM_AT_RISK */
  removeMember(group: GroupId, node: NodeId, timeoutMs: Millis): Promise<MembershipResult>;
  /** @param to undefined: the voter that has most */
  transferLeader(group: GroupId, to: NodeId | undefined, timeoutMs: Millis): Promise<TransferResult>;

  groups(timeoutMs: Millis): Promise<readonly GroupView[]>;
  /**
   * @param id undefined: the next free one
   * @param requestId names the request, 16 bytes: asked again with the same one, the answer is the group that was made before
   */
  createGroup(
    id: GroupId | undefined,
    founders: readonly NodeId[],
    preferredLeader: NodeId | undefined,
    timeoutMs: Millis,
    requestId?: Buffer,
  ): Promise<GroupView>;
  removeGroup(id: GroupId, timeoutMs: Millis): Promise<GroupView>;

  /** Pages of one version, as this node knows it. */
  routes(filter: RoutesFilter): Iterable<RoutesPage>;
  /** Never ends by itself; `signal` ends it. */
  watchRoutes(onlyChanges: boolean, signal: AbortSignal): AsyncIterable<RoutesChange>;
  split(key: Buffer, expectedVersion: number | undefined, timeoutMs: Millis): Promise<RoutesResult>;
  batchSplit(
    keys: readonly Buffer[],
    batchId: Buffer,
    expectedVersion: number | undefined,
    timeoutMs: Millis,
  ): Promise<RoutesResult>;
  /** @param boundary where the right one of the two starts */
  merge(boundary: Buffer, expectedVersion: number | undefined, timeoutMs: Millis): Promise<MergeResult>;
  move(route: RouteRef, to: GroupId, expectedVersion: number | undefined, timeoutMs: Millis): Promise<JobView>;
  /** @param id 0 for all; @param finishedLimit finished ones at most, newest first */
  jobs(id: number, finishedLimit: number, timeoutMs: Millis): Promise<readonly JobView[]>;
  abortJob(id: number, timeoutMs: Millis): Promise<AbortJobResult>;

  nodes(timeoutMs: Millis): Promise<readonly NodeView[]>;
  settings(timeoutMs: Millis): Promise<readonly SettingView[]>;
  /** @param value '' removes it */
  setSetting(name: string, value: string, timeoutMs: Millis): Promise<SettingView>;
  features(timeoutMs: Millis): Promise<readonly FeatureView[]>;
  activateFeature(name: string, timeoutMs: Millis): Promise<FeatureView>;
  /** How the rules of balancing stand where they are asked, and units of background work. */
  balance(timeoutMs: Millis): Promise<BalanceView>;
  /** How the cluster lets go of the past. */
  gc(timeoutMs: Millis): Promise<GcView>;
  /** Makes a round of the safepoint now and begins passes over all stores. */
  runGc(timeoutMs: Millis): Promise<GcRunResult>;
  /** How the cluster stands with its backups. */
  backups(timeoutMs: Millis): Promise<BackupsView>;
  /**
   * Begins a backup and answers when others can see that it was begun.
   * @param place undefined: where scheduled ones go
   * @returns its id
   * @throws AdminError BACKUPS_OFF, BACKUP_RUNNING; what is wrong with the place or its key
   */
  createBackup(place: string | undefined, timeoutMs: Millis): Promise<{ readonly id: string }>;

  /** Goes on with the replacement of a dead node, or begins it; again and again until it is done. @throws AdminError */
  replace(request: ReplaceRequest, timeoutMs: Millis): Promise<ReplaceStatus>;
  /** Takes a node out of service or puts it back, and says how far it is. @throws AdminError NODE_NOT_FOUND, NO_ROOM; CatalogError LAST_NODE */
  drain(request: DrainRequest, timeoutMs: Millis): Promise<DrainStatus>;
  /** How far a node is out of service; changes nothing. @throws AdminError NODE_NOT_FOUND */
  drainProgress(node: NodeId, timeoutMs: Millis): Promise<DrainStatus>;
  /** What is slow, uneven or forgotten, beside what health says. */
  doctor(timeoutMs: Millis): Promise<DoctorReport>;
  /** How every group stands in time. */
  time(timeoutMs: Millis): Promise<TsoReport>;
  /**
   * Open transactions, oldest first.
   * @param groups none for all; @param txnId undefined for all; @param primary where the record of one without locks is
   * @throws AdminError TXN_NOT_FOUND
   */
  transactions(
    groups: readonly GroupId[],
    limit: number,
    txnId: Buffer | undefined,
    primary: Buffer | undefined,
    timeoutMs: Millis,
  ): Promise<TxnsReport>;
  /** Ends a transaction by its fate. @param isForced rolls back one that may still be going on @throws AdminError TXN_NOT_FOUND, TXN_OPEN */
  resolveTransaction(txnId: Buffer, isForced: boolean, timeoutMs: Millis): Promise<ResolveTxnResult>;
  /** Lets a group that lost its majority go on with what one replica has. @throws AdminError QUORUM_ANSWERS, NOT_RECOVERABLE */
  recover(request: RecoverRequest, timeoutMs: Millis): Promise<RecoverResult>;
}
