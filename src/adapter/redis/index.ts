export type { ClientStream } from './client-stream.ts';
export type { ClusterMember, ClusterTopology, GroupPlacement } from './cluster-topology.ts';
export { CommandCounters } from './command-counters.ts';
export { DEFAULT_REDIS_CONFIG, type RedisConfig } from './config.ts';
export { redisKeyspace } from './keyspace.ts';
export {
  createRedisService,
  type RedisCounters,
  type RedisServer,
  type RedisServerOptions,
  type RedisService,
  type RedisServiceOptions,
  startRedisServer,
} from './server.ts';
export type { RedisLogger } from './server-state.ts';
export { clusterMemberId } from './solo-topology.ts';
