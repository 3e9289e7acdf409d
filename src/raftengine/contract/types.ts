/**
 * The contracts between the Raft engine and its neighbours: the log below it, the state machine above it.
 */
import type { GroupId, LogIndex, NodeId, Term } from '../../platform/index.ts';
import type {
  ConfChangeStep,
  ConfState,
  Entry,
  HardState,
  LogView,
  PeerProgress,
  Role,
  SnapshotMeta,
} from '../core/index.ts';

/** What one group wants stored by the next write. */
export interface LogWrite {
  readonly groupId: GroupId;
  readonly hardState: HardState | undefined;
  /** Replace any stored suffix from `entries[0].index` on. */
  readonly entries: readonly Entry[];
  /** The log restarts after this point: all earlier and all later entries are dropped before `entries` are added. */
  readonly resetTo: SnapshotMeta | undefined;
}

/** Stored state of one group's log. The view includes entries of writes that are under way. */
export interface GroupLog extends LogView {
  hardState(): HardState;
  /** Bytes of entries still held, for truncation decisions. */
  sizeBytes(): number;
}

/** Durable logs of all groups of a node behind one synced write. */
export interface LogStore {
  /** Groups found at open, with everything that was acknowledged as stable. */
  groups(): GroupId[];
  /** The group's log, created empty when it is new. */
  group(groupId: GroupId): GroupLog;
  /**
   * Appends everything in one stable write. Views reflect it at once; the promise settles when it is stable. Calls are
   * stored in call order. A failure is final for the store: what is stable is unknown, so the node must stop.
   */
  write(writes: readonly LogWrite[]): Promise<void>;
  /** Forgets entries up to and including `upTo` (never beyond what the state machine made durable). Space is given back lazily. */
  truncatePrefix(groupId: GroupId, upTo: LogIndex, termAtUpTo: Term): void;
  removeGroup(groupId: GroupId): Promise<void>;
  close(): Promise<void>;
}

/** A committed entry; `conf` is the membership after it when it is a configuration change. */
export interface CommittedEntry extends Entry {
  readonly conf: ConfState | undefined;
}

/** A consistent copy of the state machine on its way out: a manifest, and segments that it names by what is in them. */
export interface SnapshotReader {
  readonly meta: SnapshotMeta;
  /** Everything that the receiver needs to judge the segments. */
  readonly manifest: Buffer;
  /** Bytes of each segment. */
  readonly segments: readonly number[];
  /** The bytes of a segment in frames of at most 1 MiB; may be read again and beside others. */
  frames(segment: number): AsyncIterable<Buffer>;
  close(): Promise<void>;
}

/** A copy on its way in; nothing is visible before `install`. */
export interface SnapshotStage {
  /** How many segments the copy has. */
  readonly segments: number;
  /** Numbers of those that are not here already from an attempt before. */
  readonly missing: readonly number[];
  /** Takes a segment in, proven and stable when it settles; several at a time. @throws when it is not what the manifest names */
  receive(segment: number, frames: AsyncIterable<Buffer>): Promise<void>;
  /** Verifies that the copy is complete and what its manifest says. */
  finish(): Promise<SnapshotMeta>;
  /** Atomically replaces the live state; on failure the old state stays usable. */
  install(): Promise<void>;
  /** Gives the copy up; segments that came whole may be kept for the next attempt. */
  discard(): Promise<void>;
}

/** Leadership as the state machine's owner sees it. */
export type LeadershipEvent =
  /** This node leads and has applied an entry of its own term: it may serve; a new leader serves after it has caught up. */
  | { readonly kind: 'serving'; readonly term: Term }
  /**
   * It must not serve any more. What it had proposed is settled when its fate is known here, at the latest before it serves again, and
   * as UNKNOWN when that takes too long.
   */
  | { readonly kind: 'stopped'; readonly term: Term };

/** Work on an entry before it is applied. */
export interface Preparation {
  /** Does a millisecond of it, about. @returns true when nothing is left. @throws what `apply` would */
  step(): boolean;
}

/** What the engine replicates. `apply` is a pure function of (state, entry). */
export interface StateMachine {
  /** Index, term and membership as of the last applied entry. After open: of the last durable one; the log is replayed from there. */
  applied(): SnapshotMeta;
  /** Everything up to this index survives a crash; the log may be truncated up to it. */
  durableIndex(): LogIndex;
  /**
   * This node's log holds everything up to `index` for good. What is applied may be ahead of that; what is made durable must not be, since a
   * state that is ahead of its log is taken for a log that was cut. Called before the first entry is applied, and whenever it is further.
   */
  logStable(index: LogIndex): void;
  /** Applies entries in order, synchronously; one result per entry. Throwing stops the replica (unknown opcode, broken store). */
  apply(entries: readonly CommittedEntry[]): unknown[];
  /** Undefined when more may be applied now; else settles when it may (the store is behind). */
  applyPressure(): Promise<void> | undefined;
  /**
   * Begins work on an entry that changes nothing and makes applying it shorter; undefined where there is next to none to be done beforehand. The entry
   * is the next one to be applied, and nothing else is applied before it unless a copy replaces the state.
   */
  prepare?(entry: Entry): Preparation | undefined;
  /** True for an entry after which `applyPressure` has to be asked again before anything else is applied. */
  endsBatch?(entry: Entry): boolean;
  onLeadership(event: LeadershipEvent): void;
  /** @param group whose state it is, for the manifest */
  openSnapshot(group: GroupId): Promise<SnapshotReader>;
  /** @throws when the manifest is damaged, or of another group */
  stageSnapshot(group: GroupId, manifest: Buffer): Promise<SnapshotStage>;
  close(): Promise<void>;
}

/** The only three things that can become of a proposal. */
export type ProposalOutcome =
  | { readonly kind: 'applied'; readonly index: LogIndex; readonly result: unknown }
  /** Certain never to be committed: may be retried blindly. */
  | { readonly kind: 'notProposed'; readonly error: Error }
  /** May be committed now or later. */
  | { readonly kind: 'unknown'; readonly error: Error };

/** One group as its user sees it; implemented by the engine. */
export interface RaftGroup {
  readonly groupId: GroupId;
  /**
   * Proposes one entry; while that cannot be (leadership is being handed over, too much waits for a quorum) it is held, in order.
   * `done` is called exactly once, never before this returns.
   * @param committed is called at most once, before `done` and while this node still leads: the entry is committed, so all that were before it
   *   and it itself will be applied, here and by every later leader before it serves
   */
  propose(payload: Buffer, done: (outcome: ProposalOutcome) => void, committed?: () => void): void;
  /** True when this node may serve a linearizable read from applied state right now without asking anybody. */
  holdsLease(): boolean;
  /**
   * True when nobody else can lead right now, though entries may be committed that are not applied here: for a reader who knows what these
   * write.
   */
  leadsByLease(): boolean;
  /** Confirms leadership by a quorum round; settles once `appliedIndex` has reached the index that makes a read linearizable. */
  readBarrier(): Promise<void>;
  /** Settles when this replica has applied `index`. */
  waitApplied(index: LogIndex, signal?: AbortSignal): Promise<void>;
  /** @throws NotLeaderError, ConfChangeRefusedError */
  changeMembership(steps: readonly ConfChangeStep[], context: Buffer): Promise<ConfState>;
  transferLeadership(to: NodeId): Promise<void>;
  leader(): { readonly nodeId: NodeId; readonly term: Term } | undefined;
  /** Calls `listener` at the end of a turn in which `leader` began to answer something else; one that begins to lead may not serve yet. */
  onLeaderChange(listener: () => void): void;
  status(): GroupStatus;
}

export interface GroupStatus {
  readonly groupId: GroupId;
  readonly nodeId: NodeId;
  readonly role: Role;
  readonly term: Term;
  readonly leader: NodeId | undefined;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly firstIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly conf: ConfState;
  /** On a leader: milliseconds that the lease still has, 0 when none. */
  readonly leaseRemainingMs: number;
  /** On a leader: one row a peer. */
  readonly progress: readonly PeerProgress[];
}
