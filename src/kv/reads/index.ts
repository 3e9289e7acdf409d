export { BufferedView } from '../txn/transaction-view.ts';
export { NodeClaims, type ReadableReplica, ReplicaClaims } from './claims.ts';
export { type ClosableGroup, GroupCloser } from './closer.ts';
export { ClosedExchange } from './exchange.ts';
export { ReplicaReader } from './reader.ts';
export { createReplicaReads, type ReplicaReads, type ReplicaReadsOptions } from './replica-reads.ts';
export { ReadSession, type SessionSource, type ValuesNow } from './session.ts';
export {
  ReadSnapshot,
  type SnapshotOptions,
  SnapshotReader,
  type SnapshotReaderOptions,
} from './snapshot.ts';
export { ReadOnlyError, SnapshotTransaction } from './snapshot-transaction.ts';
export { decodeToken, encodeToken } from './token.ts';
export * from './types.ts';
