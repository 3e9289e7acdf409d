/**
 * What a group's leader does: evaluate commands over its own writes in flight, gather a turn's effects into one entry, propose it, and
 * answer when it is applied; let commands wait for locks and ranges; take part in transactions; answer reads under its lease.
 */

export { complete } from './completion.ts';
export { GroupExecutor } from './executor.ts';
export { DEFAULT_EXECUTOR_LIMITS, type ExecutorLimits, type ExecutorStats } from './executor-options.ts';
export type { ObjectRules } from './long-reads.ts';
export { type ExpiryWork, Maintenance, type MaintenanceOptions } from './maintenance.ts';
export { NodeTurn } from './node-turn.ts';
export { RowsView } from './rows-view.ts';
export { statusAt } from './status-lookup.ts';
export type { AccessListener } from './view.ts';
