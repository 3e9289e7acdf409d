export {
  type ClusterMember,
  deathReport,
  LocalCluster,
  type LocalClusterOptions,
  NodeStartError,
} from './local-cluster.ts';
export { newCredentials, withLocalCredentials } from './local-credentials.ts';
export {
  type FromNode,
  type GroupView,
  isToNode,
  type NodeAddresses,
  type NodeView,
  sendToLauncher,
} from './node-channel.ts';
export { describeExit, type NodeExit, NodeProcess, type NodeProcessOptions } from './node-process.ts';
export { removePid, runningPid, writePid } from './pid-file.ts';
