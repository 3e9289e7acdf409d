/** How the cluster lets go of the past: see docs/design/storage-life-cycle.md. */
export { GcMessageError } from './codec.ts';
export { type CollectorLimits, DEFAULT_COLLECTOR_LIMITS } from './collector.ts';
export { type CompactionLimits, DEFAULT_COMPACTION_LIMITS } from './compaction.ts';
export { type GcGroup, type GcTimes, NodeGc, type NodeGcOptions } from './node-gc.ts';
export { type OldestPin, PinLimitError, type ReadPin, ReadPins } from './pins.ts';
export { retentionOf, SAFEPOINT_FEATURE } from './safepoint.ts';
export type * from './types.ts';
export { gcView } from './view.ts';
export type * from './view-types.ts';
