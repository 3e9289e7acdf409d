/**
 * The vocabulary of the Raft core: what goes in, what comes out. Everything here is plain data.
 */
import type { GroupId, LogIndex, Millis, NodeId, Term } from '../../platform/index.ts';

/** Kind of a log entry. Wire and disk values: never renumber. */
export const EntryKind = {
  /** Opaque to Raft; an empty payload is the no-op that a new leader appends. */
  Normal: 0,
  /** Payload is an encoded `ConfChange`. */
  ConfChange: 1,
} as const;
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind];

export interface Entry {
  readonly term: Term;
  readonly index: LogIndex;
  readonly kind: EntryKind;
  readonly payload: Buffer;
}

/** What must be stable before anything that follows from it leaves the node. */
export interface HardState {
  readonly term: Term;
  /** Node voted for in `term`; 0 is none. */
  readonly vote: NodeId | 0;
  /** A hint: may lag behind the truth after a restart. */
  readonly commitIndex: LogIndex;
}

/** Membership, Raft thesis §4.3: `votersOutgoing` is empty outside a joint configuration. All lists sorted. */
export interface ConfState {
  readonly voters: readonly NodeId[];
  readonly votersOutgoing: readonly NodeId[];
  readonly learners: readonly NodeId[];
  /** Voters of the outgoing configuration that become learners when the joint configuration is left. */
  readonly learnersNext: readonly NodeId[];
  /** Leave the joint configuration as soon as it is applied. */
  readonly autoLeave: boolean;
}

export type ConfChangeStep =
  | { readonly kind: 'addVoter'; readonly nodeId: NodeId }
  | { readonly kind: 'addLearner'; readonly nodeId: NodeId }
  | { readonly kind: 'remove'; readonly nodeId: NodeId };

/** A change of membership. More than one step that touches voters is made through a joint configuration. An empty list of steps leaves it. */
export interface ConfChange {
  readonly steps: readonly ConfChangeStep[];
  /** Opaque bytes for the layer above (addresses, incarnations); handed back on apply. */
  readonly context: Buffer;
}

/** The point in the log that a snapshot stands for. */
export interface SnapshotMeta {
  readonly index: LogIndex;
  readonly term: Term;
  readonly conf: ConfState;
}

/** Read access to the stored log. Synchronous, side-effect free; the core calls it from `step` and `ready`. */
export interface LogView {
  /** Index of the first entry still held; `snapshotMeta.index + 1` when the log is empty. */
  firstIndex(): LogIndex;
  /** Index of the last entry that was handed over in `Ready.entries` (stable or being written); `firstIndex() - 1` when empty. */
  lastIndex(): LogIndex;
  /** Term of the entry at `index`, for `firstIndex() - 1 <= index <= lastIndex()`; undefined when compacted or beyond the end. */
  term(index: LogIndex): Term | undefined;
  /** Entries in `[from, to)` in order, cut after `maxBytes` of payload but never empty when `from < to`; undefined when compacted. */
  entries(from: LogIndex, to: LogIndex, maxBytes: number): Entry[] | undefined;
}

export const Role = {
  Follower: 'follower',
  PreCandidate: 'preCandidate',
  Candidate: 'candidate',
  Leader: 'leader',
} as const;
export type Role = (typeof Role)[keyof typeof Role];

interface Envelope {
  readonly groupId: GroupId;
  readonly from: NodeId;
  readonly to: NodeId;
  /** Term of the sender, or for a pre-vote the term it would campaign in. */
  readonly term: Term;
}

/**
 * `sentAtMs` is the leader's own monotonic clock when it sent a round; followers echo it untouched. It is what leases are
 * computed from (send time, never receipt time), and it means nothing on any other node.
 */
export type Message =
  | (Envelope & {
      readonly kind: 'append';
      readonly prevIndex: LogIndex;
      readonly prevTerm: Term;
      readonly entries: readonly Entry[];
      readonly commitIndex: LogIndex;
      readonly sentAtMs: Millis;
    })
  | (Envelope & {
      readonly kind: 'appendResponse';
      /** Highest index known to match when accepted; on rejection, the `prevIndex` that was refused. */
      readonly index: LogIndex;
      readonly reject: boolean;
      /** On rejection: where the follower's log may still match, and its term there (fast backtracking). */
      readonly hintIndex: LogIndex;
      readonly hintTerm: Term;
      readonly sentAtMs: Millis;
    })
  | (Envelope & {
      readonly kind: 'heartbeat';
      readonly commitIndex: LogIndex;
      readonly sentAtMs: Millis;
      /** Identifies the newest ReadIndex round that this heartbeat confirms; 0 is none. */
      readonly readRound: number;
      /** An offer: who holds exactly the sender's log, all of it committed, may let its election timer stand. */
      readonly rest: boolean;
    })
  | (Envelope & {
      readonly kind: 'heartbeatResponse';
      readonly sentAtMs: Millis;
      readonly readRound: number;
      /** The offer is accepted. False in an answer that nobody asked for: the sender woke up. */
      readonly rest: boolean;
    })
  | (Envelope & {
      readonly kind: 'vote' | 'preVote';
      readonly lastIndex: LogIndex;
      readonly lastTerm: Term;
      /** Set when a TimeoutNow ordered the campaign: stickiness does not apply. */
      readonly transfer: boolean;
    })
  | (Envelope & {
      readonly kind: 'voteResponse' | 'preVoteResponse';
      readonly reject: boolean;
      /** With a refusal: what the voter knows to be committed, and the term of that entry; 0 otherwise. */
      readonly commitIndex: LogIndex;
      readonly commitTerm: Term;
    })
  | (Envelope & { readonly kind: 'timeoutNow' })
  /** A token: the engine streams the bytes apart and steps it in on the receiver only once they are staged and verified. */
  | (Envelope & { readonly kind: 'snapshot'; readonly snapshot: SnapshotMeta });

/** Messages of one kind, or of several. */
export type MessageOf<Kind extends Message['kind']> = Extract<Message, { kind: Kind }>;

/** Everything that the core wants done since the last call, in the order in which the fields must be honoured. */
export interface Ready {
  /**
   * Hard state to store, in the same write as `entries` (a node that holds a membership change must never forget that
   * the one before it is committed); undefined when there is no need.
   */
  readonly hardState: HardState | undefined;
  /** Entries to store. They replace any stored suffix from `entries[0].index` on. */
  readonly entries: readonly Entry[];
  /** A staged snapshot that must replace the state machine and the log before anything else here is done. */
  readonly snapshot: SnapshotMeta | undefined;
  /** May be sent at once, while the above is being stored (a leader's appends and heartbeats). */
  readonly messages: readonly Message[];
  /**
   * Must not be sent before `hardState` and `entries` of this AND OF EVERY EARLIER `Ready` are stable (votes,
   * acknowledgements), even when this one has nothing to store: an acknowledgement may speak of an earlier write.
   */
  readonly messagesAfterPersist: readonly Message[];
  /** Committed entries to apply, in order; they may not be stable here yet, and are among those to be stored of this or an earlier `Ready`. */
  readonly committedEntries: readonly Entry[];
  /** Linearizable reads that may be served once `appliedIndex >= index`. */
  readonly readStates: readonly ReadState[];
  /** Reads that can no longer be confirmed here (leadership lost). */
  readonly abortedReads: readonly number[];
}

export interface ReadState {
  /** The id that `readIndex` was called with. */
  readonly requestId: number;
  readonly index: LogIndex;
}

/** Progress of one peer as the leader sees it, for status and promotion decisions. */
export interface PeerProgress {
  readonly nodeId: NodeId;
  readonly matchIndex: LogIndex;
  readonly nextIndex: LogIndex;
  readonly state: 'probe' | 'replicate' | 'snapshot';
  readonly isLearner: boolean;
  readonly recentlyActive: boolean;
}

/** Constants of one group. Times in ticks unless the name says otherwise. */
export interface RaftConfig {
  readonly groupId: GroupId;
  readonly nodeId: NodeId;
  /** Minimum election timeout E; the actual one is drawn from [E, 2E). */
  readonly electionTimeoutTicks: number;
  readonly heartbeatTicks: number;
  readonly tickMs: Millis;
  /** Subtracted from a lease for the stall tolerated between checking it and replying. */
  readonly leaseMarginMs: Millis;
  /** Bound on relative clock drift, for example 0.001. */
  readonly leaseDrift: number;
  readonly maxAppendBytes: number;
  /** An append leaves a minority of the voters out, in turn, until the next one or the next tick. */
  readonly rotatesAppends: boolean;
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
  /** Proposals are refused with BUSY beyond this many uncommitted payload bytes. */
  readonly maxUncommittedBytes: number;
  /** A learner may be promoted when `matchIndex >= lastIndex - maxPromoteLag`. */
  readonly maxPromoteLag: number;
  /** A leader whose group nobody used for so long offers rest; 0 is never. */
  readonly quietAfterTicks: number;
  /** By how much later than others this node stands for election, as of now; left out: no later. */
  readonly holdBackTicks?: () => number;
}

/** Nodes that are known to live; undefined: all of them. */
export type PresentNodes = ReadonlySet<NodeId> | undefined;
