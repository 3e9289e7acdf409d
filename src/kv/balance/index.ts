/** Balancing on the leader of the catalog group: asks the rules when they are due and has done what they say. */
export {
  BalanceScheduler,
  type BalanceSchedulerOptions,
  DEFAULT_BALANCE_TIMES,
  KEPT_REPORTS,
} from './scheduler.ts';
export type * from './types.ts';
