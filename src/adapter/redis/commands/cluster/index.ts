/** The cluster in Redis Cluster's words: CLUSTER, READONLY, READWRITE, ASKING. */
export { clusterCommands } from './cluster-commands.ts';
