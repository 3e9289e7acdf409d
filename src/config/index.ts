export { type ClusterSettingValues, clusterSettings, toClusterNodes } from './cluster-settings.ts';
export { ConfigError, type ConfigProblem } from './errors.ts';
export { EXIT_CODES, isEndForGood } from './exit-codes.ts';
export {
  CATALOG_GROUP,
  type ClusterFounding,
  type FoundingGroup,
  foundingOf,
  type GroupsSetting,
  type WrittenGroup,
  type WrittenRange,
} from './groups.ts';
export { type ConfigSources, type LoadedConfig, loadConfig } from './loader.ts';
export { logMemoryBytes, memoryLimitBytes, NODE_LEAST_BYTES, nodeMemoryBytes, storeMemoryBytes } from './memory.ts';
export { remarksOn, sharedSettings } from './node-remarks.ts';
export { LOG_LEVELS, type NodeOptions, type NodeSettingValues, nodeSettings, toNodeOptions } from './node-settings.ts';
export { configurationPage } from './reference.ts';
export { type ClientAuth, type ClientTls, exposureProblems, type GrpcTls, metricsNote } from './security-settings.ts';
export {
  environmentName,
  flagName,
  formatFlags,
  InvalidSettingValue,
  type Member,
  type Setting,
  type SettingSet,
  type SettingValues,
  secretEnvironment,
} from './setting.ts';
