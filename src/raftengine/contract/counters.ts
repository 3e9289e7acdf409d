/** What the replicas of a node did since its start: plain numbers, for whoever shows them. */
import { BucketCounts, type Clock, type NodeId, type Term } from '../../platform/index.ts';
import { Role } from '../core/index.ts';
import type { CommittedEntry, StateMachine } from './types.ts';

/** Entries that one append message carries. */
const BATCH_BOUNDS: readonly number[] = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/** Counters of one engine, over all of its groups. */
export class EngineCounters {
  /** Elections that replicas here stood in, and those of them that they won. */
  electionsStarted = 0;
  electionsWon = 0;
  /** Times that a replica here learned of another leader than the last it knew, its own victories included. */
  leaderChanges = 0;
  /** What became of proposals: see `ProposalOutcome`. */
  proposalsApplied = 0;
  proposalsRefused = 0;
  proposalsUnknown = 0;
  /** Entries in each append message that left; those without any only carry the commit index. */
  readonly appendEntries = new BucketCounts(BATCH_BOUNDS);
  appliedEntries = 0;
  appliedBytes = 0;
  /** One call of the state machine, milliseconds. */
  readonly applyMs = new BucketCounts();
  /** Times that applying waited because the store was behind. */
  applyStalls = 0;
  snapshotsSent = 0;
  snapshotsInstalled = 0;
  snapshotsFailed = 0;
  malformedFrames = 0;
  /** Times that the event loop stood still long enough to put elections off. */
  stalls = 0;
  /** Times that the machine was suspended, or its wall clock set ahead: leases were given up. */
  suspensions = 0;
}

/** Notices elections and changes of leader of one replica, from what its core says after each step. */
export class LeadershipNotes {
  private readonly counters: EngineCounters;
  private role: Role = Role.Follower;
  private term: Term = 0;
  private leader: NodeId | 0 = 0;

  constructor(counters: EngineCounters) {
    this.counters = counters;
  }

  /** Three comparisons when nothing has changed. */
  note(role: Role, term: Term, leader: NodeId | 0): void {
    if (role === this.role && term === this.term && leader === this.leader) return;
    const { counters } = this;
    // A pre-vote only asks whether an election would be of any use.
    const isNew = role !== this.role || term !== this.term;
    if (isNew && role === Role.Candidate) counters.electionsStarted++;
    if (isNew && role === Role.Leader) {
      counters.electionsWon++;
      // Who needs nobody else's vote is never seen as a candidate.
      if (this.role !== Role.Candidate) counters.electionsStarted++;
    }
    if (leader !== 0 && leader !== this.leader) counters.leaderChanges++;
    this.role = role;
    this.term = term;
    // A leader that is lost and found again has not changed.
    if (leader !== 0) this.leader = leader;
  }
}

/** `stateMachine.apply(entries)`, with its time and what it applied booked. */
export function applyCounted(
  stateMachine: StateMachine,
  entries: readonly CommittedEntry[],
  { clock, counters }: { readonly clock: Clock; readonly counters: EngineCounters },
): unknown[] {
  const startMs = clock.monotonicMs();
  const results = stateMachine.apply(entries);
  counters.applyMs.observe(clock.monotonicMs() - startMs);
  counters.appliedEntries += entries.length;
  for (const { payload } of entries) counters.appliedBytes += payload.length;
  return results;
}
