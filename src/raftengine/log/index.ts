export { LogClosedError, LogCorruptError, LogWriteError } from './errors.ts';
export { WalLogStore, type WalLogStoreOptions } from './wal-log-store.ts';
