/** Reads that say how old their answer may be, and who may answer them. */
import {
  type ErrorDisposition,
  type GroupId,
  type HlcTimestamp,
  KvorumError,
  type Millis,
  type NodeId,
  type Term,
} from '../../platform/index.ts';
import type { ReadCounters } from './read-counters.ts';
import type { LiveValue, ScanPage, ScanRequest } from './view.ts';

/** What a reader asks of its answer. */
export type Consistency =
  /** Everything that was acknowledged before the request. */
  | {
      readonly kind: 'linearizable';
      /** The answer's timestamp is above this too. */
      readonly minTs?: HlcTimestamp | undefined;
      /** A replica here asks the leader how far it has to have come, and answers itself: for large answers, and busy leaders. */
      readonly anyReplica?: boolean;
    }
  /** Everything that was acknowledged so long ago, or longer. */
  | { readonly kind: 'bounded'; readonly maxStalenessMs: Millis }
  /** The state at one timestamp, which never changes. */
  | { readonly kind: 'exact'; readonly ts: HlcTimestamp }
  /** Everything that answers with this token have shown or done; an empty one, or another cluster's, is linearizable. */
  | { readonly kind: 'session'; readonly token: string };

/** Keys of one group, or a page of a range of it. */
export type ReadAtRequest = {
  readonly group: GroupId;
  readonly consistency: Consistency;
  /** Monotonic. */
  readonly deadlineMs: Millis;
} & ({ readonly keys: readonly Buffer[] } | { readonly range: ReadRange });

/** A page of a scan. */
export type ReadRange = ScanRequest;

/** One read's answer. */
export interface ReadAtReply {
  /** In the order of the keys; empty for a range. */
  readonly values: readonly (LiveValue | undefined)[];
  /** For a range. */
  readonly page: ScanPage | undefined;
  /** The answer is the state of the keys at this timestamp. */
  readonly servedTs: HlcTimestamp;
  /** Everything that was acknowledged longer ago than this is in the answer; undefined: an old timestamp that nobody can tell of. */
  readonly stalenessMs: Millis | undefined;
  /** For the next read of the session. */
  readonly token: string;
  /** False: the group's leader answered. */
  readonly isReplica: boolean;
}

/** What a leader says of its group: nothing will be committed there at or below `closedTs` any more. */
export interface ClosedNotice {
  readonly group: GroupId;
  readonly term: Term;
  readonly closedTs: HlcTimestamp;
  /** A replica that has applied this entry has everything at or below `closedTs`, or the lock that stands for it. */
  readonly appliedIndex: number;
  /** Everything that was acknowledged so long before the notice was made, or longer, lies at or below `closedTs`. */
  readonly ageMs: Millis;
}

/** A notice as a replica keeps it. */
export interface Claim {
  readonly term: Term;
  readonly closedTs: HlcTimestamp;
  readonly appliedIndex: number;
  /** What was acknowledged before this moment, elapsed time of this node, lies at or below `closedTs`. */
  readonly coveredMs: Millis;
}

/** Counters since start. */
export interface ReadStats {
  readonly counters: ReadCounters;
  /** Answered by replicas of this node. */
  readonly served: number;
  /** Answered by leaders, which may be this node. */
  readonly forwarded: number;
  /** Those of `forwarded` that met a lock. */
  readonly lockRedirects: number;
  /** Questions to leaders how far a replica has to have come; each serves all reads that waited for it. */
  readonly indexRounds: number;
  /** Questions to leaders for read points. */
  readonly pointRounds: number;
  /** Linearizable reads that replicas of this node have answered at those. */
  readonly pointReads: number;
}

/** Nodes with a replica of a group. */
export type ReplicasOf = (group: GroupId) => readonly NodeId[];

/** A session token or a bound that cannot be understood. */
export class InvalidConsistencyError extends KvorumError {
  readonly code = 'INVALID_CONSISTENCY';
  readonly disposition: ErrorDisposition = 'final';
}
