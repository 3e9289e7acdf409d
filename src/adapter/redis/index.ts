export { DEFAULT_REDIS_CONFIG, type RedisConfig } from './config.ts';
export { counterClassOf, counterRangeOf } from './keyspace.ts';
export { type RedisServer, type RedisServerOptions, startRedisServer } from './server.ts';
export type { RedisLogger } from './server-state.ts';
