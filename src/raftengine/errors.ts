/** Errors of the replication layer. */
import { type ErrorDisposition, KvorumError, type NodeId } from '../platform/index.ts';

/** This node does not lead the group; nothing was proposed. */
export class NotLeaderError extends KvorumError {
  readonly code = 'NOT_LEADER';
  readonly disposition: ErrorDisposition = 'redirect';
  /** Where the leader was last seen. */
  readonly leaderHint: NodeId | undefined;

  constructor(leaderHint: NodeId | undefined) {
    super(
      leaderHint === undefined
        ? 'this node does not lead the group; no leader is known'
        : `node ${leaderHint} leads the group`,
    );
    this.leaderHint = leaderHint;
  }
}

/** The operation may or may not have happened, or may still happen. */
export class OutcomeUnknownError extends KvorumError {
  readonly code = 'OUTCOME_UNKNOWN';
  readonly disposition: ErrorDisposition = 'unknown';
}

/** The proposal queue is full; nothing was proposed. */
export class BusyError extends KvorumError {
  readonly code = 'BUSY';
  readonly disposition: ErrorDisposition = 'wait';
}

/** Larger than the configured limits allow; nothing happened. */
export class TooLargeError extends KvorumError {
  readonly code = 'TOO_LARGE';
  readonly disposition: ErrorDisposition = 'final';
}

/** A frame from a peer cannot be decoded; it was dropped. */
export class MalformedFrameError extends KvorumError {
  readonly code = 'MALFORMED_FRAME';
  readonly disposition: ErrorDisposition = 'final';
}

/** The engine or the replica is stopped; nothing was proposed. */
export class StoppedError extends KvorumError {
  readonly code = 'STOPPED';
  readonly disposition: ErrorDisposition = 'wait';
}

/** A bulk stream to a peer broke before its answer came. */
export class StreamBrokenError extends KvorumError {
  readonly code = 'STREAM_BROKEN';
  readonly disposition: ErrorDisposition = 'wait';
}

/** A snapshot did not get from one node to another. Neither replica was changed by it, and it is tried again. */
export class SnapshotBrokenError extends KvorumError {
  readonly code = 'SNAPSHOT_BROKEN';
  readonly disposition: ErrorDisposition = 'wait';
  readonly groupId: number;
  readonly peer: NodeId;

  constructor(groupId: number, peer: NodeId, cause: Error) {
    super(
      `a snapshot of group ${groupId} to or from node ${peer} did not arrive: ${cause.message}; the replicas keep what they have, and it is tried again`,
      { cause },
    );
    this.groupId = groupId;
    this.peer = peer;
  }
}

/** Another process has the folder open. */
export class DataFolderLockedError extends KvorumError {
  readonly code = 'DATA_FOLDER_LOCKED';
  readonly disposition: ErrorDisposition = 'final';
  readonly folder: string;

  constructor(folder: string, cause: unknown) {
    super(
      `the data folder ${folder} is in use, probably by another kvorum process. ` +
        'Stop that process, or give this one another folder.',
      { cause },
    );
    this.folder = folder;
  }
}

/** The folder belongs to another node or cluster, or to a version of kvorum that this one cannot read. */
export class DataFolderMismatchError extends KvorumError {
  readonly code = 'DATA_FOLDER_MISMATCH';
  readonly disposition: ErrorDisposition = 'final';
  readonly folder: string;

  constructor(folder: string, what: string) {
    super(`the data folder ${folder} ${what}. Start the node with the folder that is its own, or with an empty one.`);
    this.folder = folder;
  }
}

/** What says whose the folder is, or what its node must not forget, cannot be read, or is not what was written: nobody may guess. */
export class DataFolderCorruptError extends KvorumError {
  readonly code = 'DATA_FOLDER_CORRUPT';
  readonly disposition: ErrorDisposition = 'final';
  /** Of the file or folder that is meant. */
  readonly path: string;

  constructor(path: string, what: string, cause?: unknown) {
    super(
      `${path} ${what}. Restore it from a copy, or move the data folder away and add the node again as a new one: it ` +
        'then gets its state from the other replicas.',
      { cause },
    );
    this.path = path;
  }
}
