export { KvorumClient, type KvorumClientOptions } from './client.ts';
export { BatchError, type Disposition, type KeyFailure, KvorumClientError } from './errors.ts';
export type * from './types.ts';
