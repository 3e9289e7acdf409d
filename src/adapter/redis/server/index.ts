/**
 * The ports: listens in plain text or with TLS, accepts clients up to a number, closes idle ones, stops in order.
 */

export { EvaluationThread } from './evaluation-thread.ts';
export { openRedisServer, type RedisCounters, type RedisServer, startRedisServer } from './server.ts';
