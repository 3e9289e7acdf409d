/** What is said about collection between nodes, and to operators. */
import type { GroupId, HlcTimestamp, Millis, NodeId } from '../../platform/index.ts';
import type { HolderBack } from '../contract/index.ts';

/** How far a group can let the past go. */
export interface Certificate {
  readonly group: GroupId;
  /** Nothing at or below it is locked, or will be; at most the candidate. */
  readonly ts: HlcTimestamp;
  /** What keeps `ts` below the candidate; empty when nothing does. */
  readonly heldBy: string;
  /** The group's own threshold. */
  readonly thresholdTs: HlcTimestamp;
}

/** What became of a request to raise a group's threshold. */
export interface RaiseReply {
  readonly group: GroupId;
  readonly thresholdTs: HlcTimestamp;
  /** Why it is not where it was to be; empty when it is. */
  readonly heldBy: string;
}

/** What a node says about reads of the past and about its stores. */
export interface NodeGcReport {
  /** Its wall clock; undefined from a node of an earlier version. */
  readonly clockMs?: Millis | undefined;
  /** Undefined when nothing is pinned there. */
  readonly pinTs: HlcTimestamp | undefined;
  readonly pinPurpose: string;
  readonly stores: readonly StoreGcReport[];
}

/** One replica's store. */
export interface StoreGcReport {
  readonly group: GroupId;
  readonly thresholdTs: HlcTimestamp;
  /** Threshold of the last complete pass here. */
  readonly collectedTs: HlcTimestamp;
  /** Wall clock at its end; 0 for none since the start. */
  readonly passedAtMs: Millis;
  /** Versions that it removed. */
  readonly droppedVersions: number;
  /** Bytes of versions that are not the newest of their key, and of deleted objects. */
  readonly overhangBytes: number;
  /** Of those, bytes of deleted objects whose rows wait for the retention; undefined from a node of an earlier version. */
  readonly unreachableBytes: number | undefined;
  /** A pass is under way. */
  readonly isRunning: boolean;
}

/** What the round of the safepoint leaves behind for whoever does the next one; stored with the unit of work. */
export interface SafepointNotes {
  /** Published: every group has certified it. 0n before the first. */
  readonly publishedTs: HlcTimestamp;
  /** Wall clock when it was last raised; 0 for never. */
  readonly raisedAtMs: Millis;
  /** Wall clock at the end of the last round; 0 for none. */
  readonly atMs: Millis;
  /** What the last round wanted. */
  readonly candidateTs: HlcTimestamp;
  /** At most `MAX_HOLDERS`. */
  readonly holders: readonly HolderBack[];
  /** Groups whose threshold is still below what was published. */
  readonly pending: readonly GroupId[];
}

/** How collection stands in the whole cluster. */
export interface GcStatus {
  readonly notes: SafepointNotes;
  /** Who does the rounds now; undefined between them. */
  readonly holder: NodeId | undefined;
  readonly retentionMs: Millis;
  /** The safepoint is older than twice the retention: somebody has to look at the holders. */
  readonly isOverdue: boolean;
  readonly isActive: boolean;
  readonly groups: readonly { readonly group: GroupId; readonly thresholdTs: HlcTimestamp; readonly problem: string }[];
  readonly nodes: readonly {
    readonly node: NodeId;
    readonly report: NodeGcReport | undefined;
    readonly problem: string;
  }[];
}
