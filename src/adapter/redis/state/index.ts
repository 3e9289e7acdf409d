/**
 * What the connections of one server share: configuration, clients, statistics, pauses, the map of slots. Commands see it as
 * `ServerContext`.
 */

export type { KeyTurns } from './key-turns.ts';
export type { Moment, MomentLine, MomentSource } from './moment-line.ts';
export { type CrossGroupRunner, type Flushed, type Pause, type RedisLogger, ServerState } from './server-state.ts';
export { clusterMemberId } from './solo-topology.ts';
export type { RoundMember, WriteRound, WriteRounds } from './write-rounds.ts';
