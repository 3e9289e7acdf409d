/** What one group's executor is made of, what it holds at most and how it gathers commands into entries. */
import type { Millis, NodeId, Scheduler } from '../../platform/index.ts';
import type { RaftGroup } from '../../raftengine/index.ts';
import type { GroupStore } from '../../store/index.ts';
import type { GroupAdmission } from '../admission/index.ts';
import type { GroupStateMachine } from '../apply/index.ts';
import type { ChangeListener, LongEvaluator } from '../contract/index.ts';
import type { ClockLimits, Hlc } from '../time/index.ts';
import type { ObjectRules } from './long-reads.ts';
import type { NodeTurn } from './node-turn.ts';
import type { AccessListener } from './view.ts';

/** Each has its reason beside it. */
export interface ExecutorLimits {
  /**
   * While this many entries are in flight the open one is kept open and gathers the commands of further turns. Entries
   * then grow with the load, and what an entry costs (a frame and an acknowledgement a follower, a write of the log) is
   * shared by more commands; a command waits at most for the commit that is under way already.
   */
  readonly pipelineDepth: number;
  /**
   * An entry that could leave but holds fewer commands than the ones before it waits up to this many turns for the rest:
   * clients that were answered by the last entry are just sending their next command. One client alone never waits.
   */
  readonly gatherTurns: number;
  /** A command that would make its turn's entry larger starts another; only a single command may be larger than this. */
  readonly maxEntryBytes: number;
  /** One command's effects; more is refused with `TooLargeError`. The engine's own limit on a proposal holds besides. */
  readonly maxCommandBytes: number;
  /**
   * Rows that one command may read and write beside what it names; more is refused with `EvaluationTooLongError`. A quarter of a second with cold
   * rows.
   */
  readonly maxRowsPerCommand: number;
  /**
   * Rows that all commands of a turn may read and write together, and how long they may take after the first hundred: what comes then waits for the
   * next turn, in order.
   */
  readonly maxRowsPerTurn: number;
  readonly maxTurnMs: Millis;
  /** An operation that names more than this comes in parts, if it may. So much takes some 15 ms, of elements of collections 50. */
  readonly mostNamedAtOnce: number;
  /** Rows and time of such a part: the next one begins in another turn, beside what others do in it. */
  readonly partRows: number;
  readonly partMs: Millis;
  /** Rows of an entry, beside those of its last command: each replica applies an entry in one turn. */
  readonly maxEntryRows: number;
  /** An operation that only reads, and more rows than this, goes on over rows that are read beforehand, a page a turn. */
  readonly softRows: number;
  /** The same by the bytes of the rows, those that it names not among them: a page has up to a few hundred elements. */
  readonly softBytes: number;
  /** And by its time, from the first thousand rows on, once it has read some thousand. */
  readonly softMs: Millis;
  /** What may be read beforehand for one operation: rows, and the bytes of their keys and values. All of it lies in memory at once. */
  readonly maxReadRows: number;
  readonly maxReadBytes: number;
  /** Evaluation of a command that writes, from where what it names is done; below half of an election timeout, because apply takes as long again. */
  readonly maxEvaluationMs: Millis;
  /** Beyond either, new operations wait unevaluated until an entry is through. */
  readonly maxInflightEntries: number;
  /** Well below what the engine holds uncommitted, so that a busy client waits here instead of being refused there. */
  readonly maxInflightBytes: number;
  /** Operations that may wait so; more are refused with `BusyError`. */
  readonly maxWaitingOperations: number;
  /** Operations that may wait for keys to be written; more are refused with `TooManyWaitersError`. Each takes about a KiB. */
  readonly maxWaiters: number;
  /** How long a command waits here for a range that is being handed over, which takes a few commits, before it is told. */
  readonly maxRangeWaitMs: Millis;
  /** Evaluations of one operation before `ConflictError`. */
  readonly maxTries: number;
}

/** For a node with some gigabytes of memory. */
export const DEFAULT_EXECUTOR_LIMITS: ExecutorLimits = {
  pipelineDepth: 1,
  gatherTurns: 3,
  maxEntryBytes: 8 * 1024 * 1024,
  maxCommandBytes: 576 * 1024 * 1024,
  maxRowsPerCommand: 65_536,
  maxRowsPerTurn: 8_192,
  maxTurnMs: 15,
  mostNamedAtOnce: 4_096,
  partRows: 2_048,
  partMs: 10,
  maxEntryRows: 8_192,
  softRows: 20_000,
  softBytes: 2 * 1024 * 1024,
  softMs: 20,
  maxReadRows: 2_000_000,
  maxReadBytes: 512 * 1024 * 1024,
  maxEvaluationMs: 250,
  maxInflightEntries: 512,
  maxInflightBytes: 24 * 1024 * 1024,
  maxWaitingOperations: 100_000,
  maxWaiters: 100_000,
  maxRangeWaitMs: 250,
  maxTries: 8,
};

/** What one is made of. */
export interface GroupExecutorOptions {
  readonly nodeId: NodeId;
  readonly raft: RaftGroup;
  readonly stateMachine: GroupStateMachine;
  readonly store: GroupStore;
  /** The clock of this group on this node. */
  readonly hlc: Hlc;
  readonly scheduler: Scheduler;
  /** Of the node; left out: no other group shares it. */
  readonly turn?: NodeTurn;
  readonly limits?: Partial<ExecutorLimits>;
  readonly clockLimits?: Partial<ClockLimits>;
  /** Hears of every key that a command reads or writes, once an evaluation; for signals of load. Must be quick. */
  readonly onAccess?: AccessListener;
  /** Hears of what is changed while this node leads; left out: nobody does. */
  readonly changes?: ChangeListener;
  /** Whether writes are let in; left out: all are. */
  readonly admission?: GroupAdmission;
  /** How objects of several rows are known; left out: every key is an object by itself. */
  readonly objects?: ObjectRules | undefined;
  /** Who evaluates what reads too many rows for one turn; left out: it takes one turn all the same. */
  readonly evaluator?: LongEvaluator | undefined;
  /** See `LeaderTxnsOptions`; left out: they do not. */
  readonly anchorsStatuses?: (() => boolean) | undefined;
}

/** Counters since start, for metrics. */
export interface ExecutorStats {
  readonly operations: number;
  readonly entries: number;
  readonly conflicts: number;
  readonly inflightEntries: number;
  readonly inflightBytes: number;
  readonly waitingOperations: number;
  /** Operations that wait for keys to be written. */
  readonly keyWaiters: number;
}
