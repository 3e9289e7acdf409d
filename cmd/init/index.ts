/** The files of a new cluster: what its nodes are configured with, and the folder with all of it. */
export { ADMIN, addLaterNode, isFolderTaken, type Lifetimes, nodeName, writeCluster } from './cluster-folder.ts';
export { type ClusterPlan, configurationsOf, configurationText, endpointsOf, OWN_SETTINGS } from './configurations.ts';
