export { KvorumClient, type KvorumClientOptions, KvorumSession } from './client.ts';
export { BatchError, type Disposition, type KeyFailure, KvorumClientError } from './errors.ts';
export type { KeyOperations } from './operations.ts';
export type * from './types.ts';
