/** What a replica and the engine that hosts it know of each other. */
import type { Clock, LogIndex, NodeId, Term } from '../../platform/index.ts';
import type { EngineCounters, EngineLimits, LogWrite } from '../contract/index.ts';
import type { ConfState, Message } from '../core/index.ts';
import type { InstallMarks } from '../founding/index.ts';
import type { PeerLiveness } from '../liveness/index.ts';

/** What a replica (`Hosted`) needs from the engine that hosts it. */
export interface ReplicaHost<Hosted> {
  readonly nodeId: NodeId;
  readonly clock: Clock;
  readonly limits: EngineLimits;
  readonly counters: EngineCounters;
  /** The replica has something to do at the end of this turn. */
  markDirty(replica: Hosted): void;
  /** The replica wants to go on, but other work of the event loop comes first. */
  markDirtyLater(replica: Hosted): void;
  /** The replica went to rest, or woke up. */
  restChanged(replica: Hosted, rests: boolean): void;
  /** Nodes that live, and when the last sign of life of one came. */
  readonly liveness: PeerLiveness;
  /** Before a lease is relied on. */
  giveUpLeasesAfterSleep(): void;
  /** For a replica that takes part in no turn any more. */
  endOfTurn(callback: () => void): void;
  send(message: Message): void;
  sendSnapshot(replica: Hosted, to: NodeId): void;
  /** Stores outside the turn's write; rejects when the store failed. */
  writeNow(write: LogWrite): Promise<void>;
  readonly installs: InstallMarks;
  /** Settles when every write of a turn that is under way now is over. */
  settled(): Promise<void>;
  /** A configuration was applied; `context` is what its change carried. */
  membershipApplied(conf: ConfState, context: Buffer): void;
  /** The replica halted for good: its state machine refused an entry or a snapshot. */
  replicaFailed(replica: Hosted, error: Error): void;
}

/** One replica's share of a write that is under way. */
export interface PendingWrite<Hosted> {
  readonly replica: Hosted;
  /** Last entry of the share; 0 when it has only hard state. */
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** Sent once the write is stable. */
  readonly messages: Message[];
}
