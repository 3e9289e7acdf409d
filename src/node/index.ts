/** What a node is made of, and the pieces that the process around it shows. */

export * from './archive/index.ts';
export { type AssembledNode, assembleNode, type NodeStatus } from './assemble.ts';
export { clusterSettings } from './cluster-settings.ts';
export { quorumReplicas } from './durable-copies.ts';
export { checkEncryption, Encryption, type EncryptionStatus } from './encryption.ts';
export { GroupHost, type HostedGroup } from './group-host.ts';
export { handOver } from './hand-over.ts';
export { BackgroundLog, ClockLog, clockRemark, shownBalance, shownError } from './log-redaction.ts';
export { openLoopWatch } from './loop-log.ts';
export { metricSources, type ProcessCounters } from './metrics.ts';
export { OrderlyStop } from './orderly-stop.ts';
export type { NodeParts } from './parts.ts';
export { activityOf, changeLogLevel } from './process.ts';
export type { Readiness } from './readiness.ts';
export { announcedHost, redisEndpoints, redisTopology } from './redis-topology.ts';
export { selfCheckOf } from './self-check.ts';
export { FolderRefusedError } from './standing.ts';
