/** Every bound and duration of the engine, with its reason. */
import type { Millis } from '../../platform/index.ts';

export interface EngineLimits {
  /** Raft's tick, also the resolution of the timer wheel. */
  readonly tickMs: Millis;
  readonly heartbeatMs: Millis;
  /** Minimum election timeout E. */
  readonly electionTimeoutMs: Millis;
  /** A group that nobody used for so long goes to rest; 0 is never. */
  readonly quietAfterMs: Millis;
  /** Event-loop stall that may lie between checking a lease and the reply. */
  readonly leaseMarginMs: Millis;
  /** Bound on relative clock drift. */
  readonly leaseDrift: number;
  /** What all groups store in one call of the log store, unless one group alone has more: a call is one frame, and that has to end below 2 GiB. */
  readonly maxWriteBytes: number;
  /** Entries in one append message. */
  readonly maxAppendBytes: number;
  /** An append leaves a minority of the voters out, in turn, until the next one or the next tick. */
  readonly rotatesAppends: boolean;
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
  /** Payload of one proposal. */
  readonly maxProposalBytes: number;
  /** Proposals of a group that are not yet resolved, held ones among them; beyond it BUSY. */
  readonly maxPendingProposals: number;
  readonly maxUncommittedBytes: number;
  /** How long a proposal waits for its outcome after this node has stopped leading: some elections of a bad minute. */
  readonly outcomeWaitMs: Millis;
  /** A learner may be promoted within this many entries of the end of the log. */
  readonly maxPromoteLag: number;
  /** A frame to a peer takes no further message beyond this many bytes, so that many groups do not make one giant frame. */
  readonly maxFrameBytes: number;
  /** Entries kept behind the end of the log for slow followers, once the state machine is durable beyond them. */
  readonly retainEntries: number;
  readonly retainBytes: number;
  readonly truncateIntervalMs: Millis;
  /** Entries and bytes handed to the state machine in one call. */
  readonly maxApplyEntries: number;
  readonly maxApplyBytes: number;
  /** An entry from this size on is applied by itself, after what can be done beforehand was done in slices. */
  readonly prepareFromBytes: number;
  /** Applying yields to the event loop after this long. */
  readonly applySliceMs: Millis;
  readonly maxOutboundSnapshots: number;
  /** Of all snapshots that the node sends together. */
  readonly snapshotBytesPerSecond: number;
  /** Segments of one snapshot that are sent at a time. */
  readonly snapshotStreams: number;
  /** A snapshot that takes longer is given up and releases its hold on the log. */
  readonly snapshotTimeoutMs: Millis;
  /** Rest after a failed snapshot before the peer is probed again; doubled with each failure in a row, up to the other one. */
  readonly snapshotRetryMs: Millis;
  readonly snapshotMaxRetryMs: Millis;
  /** A cut whose transfer failed is kept for so long, and the log with it, for an attempt that sends only the rest. */
  readonly snapshotKeepMs: Millis;
  /** A transfer whose sender is silent for so long makes room for another. */
  readonly snapshotIdleMs: Millis;
  /** A leader asks a follower that keeps up to send in its place. */
  readonly snapshotsFromFollowers: boolean;
}

export const DEFAULT_ENGINE_LIMITS: EngineLimits = {
  tickMs: 10,
  heartbeatMs: 100,
  electionTimeoutMs: 1000,
  // Far above the pauses of a slow client, whose next read would take a round where a lease would have answered.
  quietAfterMs: 5000,
  leaseMarginMs: 300,
  leaseDrift: 0.001,
  // Groups beyond it come with the next frame; larger ones are no quicker, and are in memory as a whole.
  maxWriteBytes: 64 * 1024 * 1024,
  maxAppendBytes: 1024 * 1024,
  // Followers cost a third less and writes are quicker; a follower that dies holds one commit up for a tick.
  rotatesAppends: true,
  maxInflightMessages: 256,
  maxInflightBytes: 64 * 1024 * 1024,
  // The largest value of Redis, with a key and more beside it.
  maxProposalBytes: 576 * 1024 * 1024,
  maxPendingProposals: 4096,
  // One such proposal behind others; the user of the group holds back at far less (`ExecutorLimits.maxInflightBytes`).
  maxUncommittedBytes: 640 * 1024 * 1024,
  outcomeWaitMs: 5000,
  maxPromoteLag: 1024,
  maxFrameBytes: 4 * 1024 * 1024,
  retainEntries: 10_000,
  retainBytes: 64 * 1024 * 1024,
  truncateIntervalMs: 1000,
  maxApplyEntries: 256,
  // Of small rows some ten milliseconds: the slice of time is looked at in between.
  maxApplyBytes: 64 * 1024,
  // Some ten milliseconds.
  prepareFromBytes: 256 * 1024,
  applySliceMs: 5,
  maxOutboundSnapshots: 4,
  snapshotBytesPerSecond: 64 * 1024 * 1024,
  snapshotStreams: 4,
  snapshotTimeoutMs: 30 * 60 * 1000,
  snapshotRetryMs: 1000,
  // A peer without room builds the whole database anew each time.
  snapshotMaxRetryMs: 30_000,
  snapshotKeepMs: 60_000,
  snapshotIdleMs: 10_000,
  snapshotsFromFollowers: false,
};
