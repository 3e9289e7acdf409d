export { AssertionError, assert, assertNever } from './assert.ts';
export { type Backoff, type BackoffBound, backoffBoundMs, backoffMs, type Jitter } from './backoff.ts';
export { BucketCounts, LATENCY_BOUNDS_MS, zeroCounts } from './bucket-counts.ts';
export { ByteRateLimit } from './byte-rate-limit.ts';
export { ByteReader, ByteWriter, type CorruptBytesError } from './bytes.ts';
export { type Clock, SystemClock } from './clock.ts';
export { counted } from './counted.ts';
export { CrowdGathering } from './crowd-gathering.ts';
export type { Disk, DiskFile, DiskOpenOptions } from './disk.ts';
export { type DiskSpace, diskSpaceOf, isOutOfSpace } from './disk-space.ts';
export { dispositionOf, type ErrorDisposition, hasCode, isOutcomeUnknown, KvorumError } from './errors.ts';
export { FlowingMap } from './flowing-map.ts';
export { listenOn } from './listening.ts';
export {
  type DoneWork,
  type HeldCounter,
  type HeldTurn,
  LOOP_WATCH_MODES,
  LoopWatch,
  type LoopWatchMode,
  type StackSampler,
  type WorkNotes,
  type WorkSource,
} from './loop-watch.ts';
export { DiskCounters, MeasuredDisk } from './measured-disk.ts';
export { MeasuredNetwork, NetworkCounters, type TrafficCounters } from './measured-network.ts';
export {
  type DuplexHandler,
  type DuplexStream,
  type FolderIntroduction,
  type FrameHandler,
  type Lane,
  type PeerAdmission,
  type PeerNetwork,
  PeerRefusedError,
  type Refusal,
  type RefusalReason,
  type StreamHandler,
} from './network.ts';
export { ownMemoryBytes } from './own-memory.ts';
export { PassingDisk } from './passing-disk.ts';
export { type Random, SeededRandom, SystemRandom } from './random.ts';
export { atEndOfTurn, type Cancel, type Scheduler, SystemScheduler } from './scheduler.ts';
export * from './simulated/index.ts';
export { nextTurn, sleep } from './sleep.ts';
export { finish } from './steps.ts';
export { BootClock, type Elapsed, ElapsedClock, SuspensionWatch } from './suspension.ts';
export { SystemDisk } from './system-disk.ts';
export {
  END_OF_TIME,
  earlierBy,
  lastBefore,
  laterBy,
  logicalOf,
  MAX_LOGICAL,
  MAX_TIMESTAMP_MS,
  NEVER,
  physicalMs,
  timestampOf,
  timestampOfMs,
} from './timestamp.ts';
export { TurnGathering } from './turn-gathering.ts';
export {
  type GroupId,
  groupId,
  type HlcTimestamp,
  hlcTimestamp,
  type LogIndex,
  type Millis,
  type NodeId,
  nodeId,
  type Term,
} from './types.ts';
export { readWholeFile, replaceWholeFile } from './whole-file.ts';
