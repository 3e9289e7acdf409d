export { type DecodedEntry, decodeEntry } from './entry.ts';
export * from './errors.ts';
export { DEFAULT_EXECUTOR_LIMITS, type ExecutorLimits, type ExecutorStats, GroupExecutor } from './executor.ts';
export { Hlc, MAX_FORWARD_SKEW_MS, timestampOfMs } from './hlc.ts';
export { DEFAULT_MAINTENANCE, type MaintenanceOptions } from './maintenance.ts';
export { DEFAULT_PROXY_LIMITS, type ProxyLimits } from './proxy.ts';
export { createKvService, type KvGroup, type KvServiceOptions, type NodeKvService } from './service.ts';
export { type BatchResult, GroupStateMachine, type GroupStateMachineOptions } from './state-machine.ts';
export * from './types.ts';
