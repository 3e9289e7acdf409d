/** How collection stands, as operators are shown it: the shape is that of `GcView` in `proto/kvorum.proto`. */

import { type HlcTimestamp, type Millis, physicalMs } from '../../platform/index.ts';
import type { GcView } from '../contract/index.ts';
import type { GcStatus } from './types.ts';

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
        unreachableBytes: store.unreachableBytes ?? 0,
        isRunning: store.isRunning,
      })),
    })),
  };
}
