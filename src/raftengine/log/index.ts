export { LogClosedError, LogCorruptError, LogMissingError, LogWriteError } from './errors.ts';
export type { LogRecord } from './segments.ts';
export { WalLogStore, type WalLogStoreOptions } from './wal-log-store.ts';
