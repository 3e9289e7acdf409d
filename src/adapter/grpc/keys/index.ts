/**
 * The services for keys, RawKV and TransactionalKV: messages in, calls on `KvCluster` of the data plane out. `storage-keys` alone knows where
 * these keys live among all keys of the cluster; `sessions` holds transactions between two calls of their caller.
 */

export { createKeyServices, type KeyServices, type KeyServicesOptions } from './services.ts';
