export * from './core/types.ts';
export { BusyError, NotLeaderError, OutcomeUnknownError, TooLargeError } from './errors.ts';
export * from './log/index.ts';
export type * from './types.ts';
