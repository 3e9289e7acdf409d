/**
 * From a command to the group that has its keys, and back: routing, the order of one client's requests to one group, batches to
 * another node and their end there, rounds for what came back because ranges or leaders have changed, transactions over several groups, reads by
 * replicas, pages over all keys.
 */

export { keepsOrder, runAcrossForOther, runAlone } from './aside-requests.ts';
export { AskedRequests } from './asked-requests.ts';
export { ClusterScan } from './cluster-scan.ts';
export { alone } from './cross-group.ts';
export { serveForwarded } from './forward-endpoint.ts';
export { decodeMessage, encodeBatch, isReturnable } from './forwarded-command.ts';
export { GroupPipeline, type GroupPipelineOwner } from './group-pipeline.ts';
export { CommandRequest, GroupRequest, type RequestOwner, type SlowEvaluation } from './group-request.ts';
export { LibraryLending } from './library-lending.ts';
export { readAtMoment, readsAtMoment } from './moment-reads.ts';
export type { AskOutside } from './outside-calls.ts';
export {
  ownerElsewhere,
  type RedirectedClient,
  redirectElsewhere,
  refuseFoundElsewhere,
  shownAddress,
} from './redirects.ts';
export { MAX_STALENESS_MS, ReplicaReadMode } from './replica-reads.ts';
export { Rerouting, type ReroutingHost } from './rerouting.ts';
export { anyGroup, commonGroup, crossGroup, NO_ROUTE, type Route, routeOf } from './routing.ts';
export { type QueuedData, storageKeysOf } from './storage-keys.ts';
export { decodeVersions, TransactionRequest, type WatchedKey, WatchRequest } from './transaction-requests.ts';
export { fillsAside } from './written-whole.ts';
