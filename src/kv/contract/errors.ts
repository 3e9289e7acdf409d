/** Errors of the key-value layer that adapters map to their protocol's own; those of replication pass through unchanged. */
import { type ErrorDisposition, type GroupId, hasCode, KvorumError } from '../../platform/index.ts';
import type { LockFacts } from './txn.ts';

export { BusyError, NotLeaderError, OutcomeUnknownError, TooLargeError } from '../../raftengine/index.ts';

/** No leader could be reached in time; nothing was proposed. */
export class LeaderUnavailableError extends KvorumError {
  readonly code = 'LEADER_UNAVAILABLE';
  readonly disposition: ErrorDisposition = 'wait';
  /** Why this node reaches nobody, when it is not part of its cluster; undefined when it is, as far as it knows. */
  readonly because: string | undefined;

  /** @param what was in vain */
  constructor(what: string, options: { readonly cause?: unknown; readonly because?: string | undefined } = {}) {
    super(options.because === undefined ? what : `${what}: ${options.because}`, { cause: options.cause });
    this.because = options.because;
  }
}

/** The group does not own a key of the request: nothing happened there. `hint` is the group that took the key over, if known. */
export class NotOwnerError extends KvorumError {
  readonly code = 'NOT_OWNER';
  readonly disposition: ErrorDisposition = 'redirect';
  readonly hint: GroupId | undefined;

  constructor(hint: GroupId | undefined) {
    super(hint === undefined ? 'the group does not own the key' : `the key belongs to group ${hint}`);
    this.hint = hint;
  }
}

/** A move is handing the key's range over: nothing happened, and it will be served again in a moment. */
export class RangeBusyError extends KvorumError {
  readonly code = 'RANGE_BUSY';
  readonly disposition: ErrorDisposition = 'wait';
}

/**
 * The group's clock may not go on: the ceiling below which its leader issues timestamps is reached and could not be raised.
 * Nothing happened; a moment later it is raised, or somebody else leads.
 */
export class CeilingExpiredError extends KvorumError {
  readonly code = 'CEILING_EXPIRED';
  readonly disposition: ErrorDisposition = 'wait';
}

/** A timestamp that came with a request leads the receiver's wall clock by more than clocks may differ; nothing happened. */
export class TimestampAheadError extends KvorumError {
  readonly code = 'TIMESTAMP_AHEAD';
  readonly disposition: ErrorDisposition = 'wait';
}

/**
 * A transaction holds a lock on what the operation touches, and held it for as long as the operation may wait; nothing happened.
 * `lock` names the transaction, so that its status can be asked for.
 */
export class LockedError extends KvorumError {
  readonly code = 'LOCKED';
  readonly disposition: ErrorDisposition = 'wait';
  readonly lock: LockFacts;

  constructor(lock: LockFacts) {
    super('a transaction holds a lock; try again in a moment');
    this.lock = lock;
  }
}

/** The operation lost against others too often; nothing happened. */
export class ConflictError extends KvorumError {
  readonly code = 'CONFLICT';
  readonly disposition: ErrorDisposition = 'restart';
}

/** The operation would hold up its node for longer than others can wait for it: nothing happened. In smaller parts it would be done. */
export class EvaluationTooLongError extends KvorumError {
  readonly code = 'EVALUATION_TOO_LONG';
  readonly disposition: ErrorDisposition = 'final';
}

/** A later operation of the same source has run on one of its keys, so this one cannot any more: it would undo the order. Nothing happened. */
export class OvertakenError extends KvorumError {
  readonly code = 'OVERTAKEN';
  readonly disposition: ErrorDisposition = 'restart';
}

/** The keys of one request belong to several groups, by the directory as it is now; nothing happened. */
export class CrossGroupError extends KvorumError {
  readonly code = 'CROSS_GROUP';
  readonly disposition: ErrorDisposition = 'final';

  constructor(one: GroupId, other: GroupId) {
    super(`the keys belong to different groups (${one} and ${other} among them)`);
  }
}

/** True for the error of a request to several groups, found out here or by another node. */
export const isCrossGroup = (error: unknown): boolean => hasCode(error, 'CROSS_GROUP');

/** A group that the timestamp of the reads does not cover was met when something had been read already: begin again. */
export class SnapshotUncoveredError extends KvorumError {
  readonly code = 'SNAPSHOT_UNCOVERED';
  readonly disposition: ErrorDisposition = 'restart';
}

/**
 * A committed entry cannot be understood: an opcode or flag of a newer version, or damage. The replica must stop, because
 * skipping it would make its state differ from the others'.
 */
export class CorruptEntryError extends KvorumError {
  readonly code = 'CORRUPT_ENTRY';
  readonly disposition: ErrorDisposition = 'final';
}

/** A forwarded request failed on the leader in a way that has no class of its own here; code and reaction are the leader's. */
export class RemoteError extends KvorumError {
  readonly code: string;
  readonly disposition: ErrorDisposition;

  constructor(code: string, disposition: ErrorDisposition, message: string) {
    super(message);
    this.code = code;
    this.disposition = disposition;
  }
}
