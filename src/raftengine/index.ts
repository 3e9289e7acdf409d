/**
 * Raft groups of a node. `core` is the algorithm as a pure state machine: messages, ticks and proposals in, what is to be written, sent and applied
 * out. `engine` hosts many: one tick, one log write a turn, one frame a peer. `log` is the write-ahead log of all groups, `transport` the gRPC network,
 * `snapshot` sends stores to those that are too far behind, `liveness` knows which peers are there, `replica` is one group here, `founding` how groups and
 * data folders begin.
 */

export {
  type CommittedEntry,
  EngineCounters,
  type EngineLimits,
  type GroupStatus,
  type LeadershipEvent,
  type LogStore,
  type Preparation,
  type ProposalOutcome,
  type RaftGroup,
  type SnapshotReader,
  type SnapshotStage,
  type StateMachine,
} from './contract/index.ts';
export {
  type ConfChangeStep,
  type ConfState,
  type Entry,
  EntryKind,
  type PeerProgress,
  Role,
  type SnapshotMeta,
} from './core/index.ts';
export { RaftEngine } from './engine/index.ts';
export { BusyError, NotLeaderError, OutcomeUnknownError, SnapshotBrokenError, TooLargeError } from './errors.ts';
export {
  foundingEntry,
  holdsData,
  isDataFolderInUse,
  NodeRecord,
  openDataFolder,
  PeerBook,
  recoveryWrite,
} from './founding/index.ts';
export type { PeerClocks, PeerReading } from './liveness/index.ts';
export { type LogEncryption, type LogRecord, WalLogStore } from './log/index.ts';
export type { SentSnapshot } from './snapshot/index.ts';
export { createGrpcNetwork } from './transport/index.ts';
export { encodeAddresses } from './wire/index.ts';
