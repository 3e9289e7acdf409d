/**
 * What the engine asks of a state machine and offers to the floors above, its limits and counters.
 */

export { applyCounted, EngineCounters, LeadershipNotes } from './counters.ts';
export { DEFAULT_ENGINE_LIMITS, type EngineLimits } from './limits.ts';
export type {
  CommittedEntry,
  GroupLog,
  GroupStatus,
  LeadershipEvent,
  LogStore,
  LogWrite,
  Preparation,
  ProposalOutcome,
  RaftGroup,
  SnapshotReader,
  SnapshotStage,
  StateMachine,
} from './types.ts';
