/**
 * Reads that replicas answer: closed timestamps that leaders tell, bounded and exact staleness, sessions that never go back,
 * snapshots over groups, ReadIndex.
 */

export type { PointView } from './point-view.ts';
export type { PointReads } from './read-points.ts';
export { createReplicaReads, type ReplicaReads } from './replica-reads.ts';
export { ReadSession, type SessionSource } from './session.ts';
export { ReadSnapshot } from './snapshot.ts';
export { SnapshotTransaction } from './snapshot-transaction.ts';
export { encodeToken } from './token.ts';
