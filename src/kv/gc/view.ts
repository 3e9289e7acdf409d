/** How collection stands, as operators are shown it: the shape is that of `GcView` in `proto/kvorum.proto`. */
import type { GroupId, HlcTimestamp, Millis, NodeId } from '../../platform/index.ts';
import { physicalMs } from '../types.ts';
import type { AttendResult } from '../work/index.ts';
import type { GcStatus, HolderBack } from './types.ts';

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
  readonly result: AttendResult;
  readonly status: GcView;
}

/** Milliseconds of a timestamp, 0 for none. */
const msOf = (ts: HlcTimestamp | undefined): Millis => (ts === undefined ? 0 : physicalMs(ts));

/** The status in words and numbers. */
export function gcView(status: GcStatus): GcView {
  const { notes, holder, retentionMs, isActive, isOverdue } = status;
  return {
    safepointMs: msOf(notes.publishedTs),
    retentionMs,
    raisedAtMs: notes.raisedAtMs,
    roundAtMs: notes.atMs,
    ...(holder === undefined ? {} : { holder }),
    isActive,
    isOverdue,
    holdersBack: notes.holders,
    groups: status.groups.map(({ group, thresholdTs, problem }) => ({
      groupId: group,
      thresholdMs: msOf(thresholdTs),
      isPending: thresholdTs < notes.publishedTs,
      problem,
    })),
    nodes: status.nodes.map(({ node, report, problem }) => ({
      nodeId: node,
      problem,
      pinMs: msOf(report?.pinTs),
      pinPurpose: report?.pinPurpose ?? '',
      stores: (report?.stores ?? []).map(({ group, collectedTs, ...store }) => ({
        groupId: group,
        collectedMs: msOf(collectedTs),
        passedAtMs: store.passedAtMs,
        droppedVersions: store.droppedVersions,
        overhangBytes: store.overhangBytes,
        isRunning: store.isRunning,
      })),
    })),
  };
}
