/**
 * The write-ahead log of all groups of a node: frames in segments, one sync a turn, recovery that accepts nothing half written.
 */

export type { LogRecord } from './segments.ts';
export { type LogEncryption, WalLogStore } from './wal-log-store.ts';
