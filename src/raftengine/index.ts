export type { ClockStamp, PeerClocks, PeerReading } from './clock-exchange.ts';
export { ConfChangeRefusedError, TransferRefusedError } from './core/errors.ts';
export * from './core/types.ts';
export { EngineCounters } from './counters.ts';
export { type DataFolder, isDataFolderInUse, type NodeIdentity, openDataFolder } from './data-folder.ts';
export { type EngineObserver, type GroupOptions, RaftEngine, type RaftEngineOptions } from './engine.ts';
export {
  BusyError,
  DataFolderCorruptError,
  DataFolderLockedError,
  DataFolderMismatchError,
  MalformedFrameError,
  NotLeaderError,
  OutcomeUnknownError,
  SnapshotBrokenError,
  StoppedError,
  StreamBrokenError,
  TooLargeError,
} from './errors.ts';
export { FOUNDING_INDEX, foundingEntry } from './founding.ts';
export { DEFAULT_ENGINE_LIMITS, type EngineLimits } from './limits.ts';
export * from './log/index.ts';
export { NodeRecord, type NodeRecordOptions, type PeerLives } from './node-record.ts';
export { decodeAddresses, encodeAddresses, type PeerAddressBook } from './peer-addresses.ts';
export { type KeptPeers, PeerBook } from './peer-book.ts';
export { type Recovery, recoveryWrite } from './recovery.ts';
export type { SentSnapshot } from './snapshot-transfer.ts';
export { type InstallMarks, ReplicaTornError } from './starting-point.ts';
export { TimerWheel, type WheelCallback } from './timer-wheel.ts';
export { createGrpcNetwork, type GrpcNetwork, type GrpcNetworkOptions } from './transport/index.ts';
export type * from './types.ts';
