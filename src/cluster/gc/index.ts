/**
 * How the cluster forgets: the safepoint that all groups certify, the collection of each store below it, and who holds it back. See
 * docs/design/storage/storage-life-cycle.md.
 */

export { type GcGroup, type GcTimes, NodeGc, type NodeGcOptions } from './node-gc.ts';
export { PINS_FEATURE } from './safepoint.ts';
export type { GcStatus } from './types.ts';
export { gcView } from './view.ts';
