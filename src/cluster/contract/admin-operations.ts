/**
 * What operators ask beside looking and single changes: the replacement of a dead node, examinations, time and transactions,
 * and the recovery of a group that lost its majority. Shapes are those of `proto/kvorum.proto`.
 */
import type { GroupId, LogIndex, Millis, NodeId, Term } from '../../platform/index.ts';

export interface HealthProblem {
  /** `critical`: something is not served; `warning`: it still is. */
  readonly severity: 'critical' | 'warning';
  /** Such as `group 3`. */
  readonly subject: string;
  readonly message: string;
}

/** What a node shall be replaced by. The same request again goes on where the last one ended. */
export interface ReplaceRequest {
  readonly dead: NodeId;
  /** The node that takes its place: another id, or the same one with an empty data folder. */
  readonly successor: NodeId;
  /** `host:port` of the successor's gRPC port; empty when the catalog knows it. */
  readonly address: string;
  /** The dead node may still answer: it is taken out and told to stop. */
  readonly mayAnswer: boolean;
  /** Only says what would be done, and whether it may be. */
  readonly isDryRun: boolean;
}

/**
 * - `CHECK`: nothing was done yet.
 * - `REMOVE`: the dead node's life is fenced; its replicas leave their groups.
 * - `AWAIT_NODE`: they have left; the successor is to be started.
 * - `CATCH_UP`: the successor is a learner of its groups and gets their data.
 * - `DONE`: it has the votes that the dead node had.
 */
export type ReplaceStage = 'CHECK' | 'REMOVE' | 'AWAIT_NODE' | 'CATCH_UP' | 'DONE';

/** How far the replacement is in one group. */
export interface ReplacedGroup {
  readonly groupId: GroupId;
  /** The dead node had a vote there; else it was a learner. */
  readonly isVoter: boolean;
  /** `member`, `removed`, `learner`, `done` */
  readonly state: string;
  /** Of a learner. */
  readonly lagEntries: number;
  /** Why it does not go on right now; empty when nothing stands in the way. */
  readonly problem: string;
}

export interface ReplaceStatus {
  readonly dead: NodeId;
  readonly successor: NodeId;
  readonly stage: ReplaceStage;
  readonly groups: readonly ReplacedGroup[];
  /** What is waited for, or would be done. */
  readonly message: string;
}

/**
 * - `drain`: leaders away, then replicas, as far as other nodes have room for them.
 * - `undrain`: back into service; what has left comes back by balancing.
 * - `decommission`: all replicas away, and then the node leaves the cluster for good.
 */
export type DrainAction = 'drain' | 'undrain' | 'decommission';

export const DRAIN_ACTIONS: readonly DrainAction[] = ['drain', 'undrain', 'decommission'];

/** The same request again is harmless, and says how far it is. */
export interface DrainRequest {
  readonly nodeId: NodeId;
  readonly action: DrainAction;
}

export interface DrainStatus {
  readonly nodeId: NodeId;
  /** `serving`, `draining`, `decommissioning`, or `removed` for a node that has left for good. */
  readonly state: string;
  /** Nothing is left to wait for. */
  readonly isDone: boolean;
  /** Groups that it leads still. */
  readonly leaders: number;
  /** Replicas that it has still. */
  readonly replicas: number;
  /** Those of them that another node has room for. */
  readonly movable: number;
  /** Replicas that it had when it was taken out of service. */
  readonly replicasBefore: number;
  /** What is waited for, or how it ended. */
  readonly message: string;
  /** It is decommissioned and has no votes left: the same request once more takes it out for good. */
  readonly isCallDue: boolean;
}

/** What a node measured of itself. */
export interface NodeExamination {
  readonly nodeId: NodeId;
  /** Why there is none; empty when there is. */
  readonly problem: string;
  readonly version: string;
  /** Of the runtime. */
  readonly runtime: string;
  readonly platform: string;
  /** Synced writes of 4 KiB in the data folder. */
  readonly syncCount: number;
  readonly syncMedianMs: number;
  readonly syncMaxMs: number;
  readonly diskFreeBytes: number;
  readonly diskTotalBytes: number;
  /** By how much timers of this process came late, over a short while. */
  readonly loopLagMedianMs: number;
  readonly loopLagMaxMs: number;
  readonly memoryUsedBytes: number;
  readonly memoryLimitBytes: number;
  /** Its wall clock less the time that the cluster goes by. */
  readonly clockOffsetMs: Millis;
  /** That is right within this. */
  readonly clockErrorMs: Millis;
  /** Settings that should be equal on all nodes, `name=value`. */
  readonly shared: readonly string[];
  /** What is dangerous in the configuration of this node, each a sentence. */
  readonly remarks: readonly string[];
}

export interface DoctorReport {
  readonly nodes: readonly NodeExamination[];
  readonly problems: readonly HealthProblem[];
}

/** A group's part in time. */
export interface GroupTime {
  readonly groupId: GroupId;
  /** Why nothing is known; empty when it is. */
  readonly problem: string;
  readonly mode: string;
  readonly epoch: number;
  readonly oracle: number;
  readonly isOpen: boolean;
  /** Unix milliseconds of the newest timestamp that was applied. */
  readonly newestMs: Millis;
  readonly ceilingMs: Millis;
  /** The leader issues timestamps below it; 0 while it may issue none. */
  readonly boundMs: Millis;
  /** By how much the time of the group leads that of the leader's node; negative when it lies behind. */
  readonly leadMs: Millis;
}

export interface TsoReport {
  /** The setting `tso.group`; 0 is none. */
  readonly wantedGroup: number;
  /** The setting `tso.shadow`; 0 is none. */
  readonly shadowGroup: number;
  /** What the clocks show, as far as the asked node knows; unix milliseconds. */
  readonly clockMs: Millis;
  /** By how much an operator lets the time of all nodes lead that. */
  readonly acceptedLeadMs: Millis;
  readonly groups: readonly GroupTime[];
}

/** A lock that a transaction holds. */
export interface TxnLock {
  readonly groupId: GroupId;
  readonly key: Buffer;
  /** Of a range, else absent. */
  readonly end?: Buffer;
  /** `read`, `put`, `delete`, `range` */
  readonly kind: string;
}

/** An open transaction, as its locks tell. */
export interface TxnView {
  readonly txnId: Buffer;
  readonly primary: Buffer;
  /** Of its beginning, unix milliseconds. */
  readonly startMs: Millis;
  readonly ageMs: Millis;
  /** The latest of its locks, unix milliseconds; a lock that ran out is ended by whoever meets it. */
  readonly deadlineMs: Millis;
  readonly isExpired: boolean;
  readonly lockCount: number;
  /** At most `MAX_SHOWN_LOCKS`. */
  readonly locks: readonly TxnLock[];
  /** `open`, `committed`, `rolledBack` as its record says, `unknown` without one. */
  readonly fate: string;
  /** Of a committed one, unix milliseconds; else 0. */
  readonly commitMs: Millis;
}

/** Locks of one transaction that are named. */
export const MAX_SHOWN_LOCKS = 64;

export interface TxnsReport {
  /** Oldest first. */
  readonly transactions: readonly TxnView[];
  /** There are more than were asked for. */
  readonly hasMore: boolean;
  /** Groups that did not answer, each with its reason. */
  readonly problems: readonly string[];
}

export interface ResolveTxnResult {
  readonly txnId: Buffer;
  /** `committed`, `rolledBack`, `open` when its coordinator may still live */
  readonly fate: string;
  readonly endedLocks: number;
  /** What is left to do; empty when nothing is. */
  readonly note: string;
}

/** A replica of a group that lost its majority, as its node says. */
export interface SurvivingReplica {
  readonly nodeId: NodeId;
  readonly lastTerm: Term;
  readonly lastIndex: LogIndex;
  readonly appliedIndex: LogIndex;
}

export interface RecoverRequest {
  readonly groupId: GroupId;
  /** The replica that goes on; undefined: the one that has most. */
  readonly node?: NodeId;
  readonly isDryRun: boolean;
}

export interface RecoverResult {
  readonly groupId: GroupId;
  /** False: only looked at. */
  readonly isDone: boolean;
  /** The replica that goes on alone. */
  readonly node: NodeId;
  readonly survivors: readonly SurvivingReplica[];
  readonly lost: readonly NodeId[];
  /** Entries of the replica's log that nobody knows to be committed and that are kept. */
  readonly uncertainEntries: number;
  /** No timestamp at or below it is given out any more, unix milliseconds. */
  readonly floorMs: Millis;
  /** Where this is written down; empty for a look. */
  readonly audit: string;
  readonly note: string;
}
