/** Balancing: what a node counts and reports, and the rules that are asked where the catalog group is led. */
export { BALANCE_FEATURE, Balancer, type BalancerOptions, type BalancerTimes } from './balancer.ts';
export { COUNTED_PER_SECOND, LoadRecorder, type LoadRecorderOptions } from './load-recorder.ts';
export { DEFAULT_LOAD_TIMES, type LoadedGroup, type LoadTimes } from './load-reporter.ts';
export { BalanceScheduler, type BalanceSchedulerOptions, DEFAULT_BALANCE_TIMES, KEPT_REPORTS } from './scheduler.ts';
export type * from './types.ts';
