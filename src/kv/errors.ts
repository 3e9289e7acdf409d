/** Errors of the key-value layer that adapters map to their protocol's own; those of replication pass through unchanged. */
import { type ErrorDisposition, KvorumError } from '../platform/index.ts';

export { BusyError, NotLeaderError, OutcomeUnknownError, TooLargeError } from '../raftengine/index.ts';

/** No leader could be reached in time; nothing was proposed. */
export class LeaderUnavailableError extends KvorumError {
  readonly code = 'LEADER_UNAVAILABLE';
  readonly disposition: ErrorDisposition = 'wait';
}

/** The operation lost against others too often; nothing happened. */
export class ConflictError extends KvorumError {
  readonly code = 'CONFLICT';
  readonly disposition: ErrorDisposition = 'restart';
}
