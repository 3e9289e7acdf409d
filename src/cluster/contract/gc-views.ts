/** What operators are shown of collection: the shapes of `GcView` and what belongs to it in `proto/kvorum.proto`. */
import type { GroupId, Millis, NodeId } from '../../platform/index.ts';

/** Somebody who keeps the safepoint from rising. */
export interface HolderBack {
  /** Such as `group 3` or `node 2`. */
  readonly who: string;
  readonly why: string;
}

export interface GcGroupView {
  readonly groupId: GroupId;
  /** 0 while nothing was let go of. */
  readonly thresholdMs: Millis;
  /** It is still below the safepoint. */
  readonly isPending: boolean;
  readonly problem: string;
}

/** One replica's store. */
export interface GcStoreView {
  readonly groupId: GroupId;
  /** Threshold of the last complete pass; 0 before the first since the node's start. */
  readonly collectedMs: Millis;
  readonly passedAtMs: Millis;
  readonly droppedVersions: number;
  readonly overhangBytes: number;
  /** Of those, bytes of deleted objects whose rows wait for the retention. */
  readonly unreachableBytes: number;
  readonly isRunning: boolean;
}

export interface GcNodeView {
  readonly nodeId: NodeId;
  /** Why it did not answer; empty when it did. */
  readonly problem: string;
  /** The oldest that is pinned there; 0 for nothing. */
  readonly pinMs: Millis;
  readonly pinPurpose: string;
  readonly stores: readonly GcStoreView[];
}

export interface GcView {
  /** Times are unix milliseconds; 0 is never. */
  readonly safepointMs: Millis;
  readonly retentionMs: Millis;
  readonly raisedAtMs: Millis;
  readonly roundAtMs: Millis;
  /** Who does a round now. */
  readonly holder?: NodeId;
  readonly isActive: boolean;
  readonly isOverdue: boolean;
  readonly holdersBack: readonly HolderBack[];
  readonly groups: readonly GcGroupView[];
  readonly nodes: readonly GcNodeView[];
}

/** What came of asking for a round. */
export interface GcRunResult {
  /** `done`: the asked node did it; `held`: another is at it; `left`: it could not be done now. */
  readonly result: 'done' | 'held' | 'left';
  readonly status: GcView;
}
