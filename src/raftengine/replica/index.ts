/**
 * One group on this node: its core, its log, its state machine and what waits for them.
 */

export { Replica } from './replica.ts';
export type { PendingWrite, ReplicaHost } from './replica-host.ts';
