/** MULTI, EXEC, DISCARD, WATCH, UNWATCH. */
export { transactionCommands } from './transactions.ts';
