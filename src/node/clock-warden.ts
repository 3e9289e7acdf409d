/**
 * Gives leadership away while the clock of this node is off. What the node issues meanwhile goes by the clocks of the others,
 * so nothing is wrong with it; but others do the same without leaning on anybody.
 */
import type { NodeClock } from '../kv/index.ts';
import type { Cancel, Clock, GroupId, Millis, NodeId, Scheduler } from '../platform/index.ts';
import type { GroupStatus, RaftGroup } from '../raftengine/index.ts';

const PERIOD_MS: Millis = 500;
/** After a transfer that did not come off its group is left alone for so long, and twice as long after each further one. */
const FIRST_REST_MS: Millis = 5_000;
const MAX_REST_MS: Millis = 5 * 60_000;

export interface ClockWardenOptions {
  readonly nodeClock: Pick<NodeClock, 'review' | 'mayLead' | 'isPeerOff'>;
  readonly groups: () => readonly RaftGroup[];
  readonly clock: Clock;
  readonly scheduler: Scheduler;
}

interface Rest {
  readonly untilMs: Millis;
  readonly forMs: Millis;
}

/** See the top of the file. */
export class ClockWarden {
  private readonly options: ClockWardenOptions;
  private readonly resting = new Map<GroupId, Rest>();
  private cancel: Cancel | undefined;

  constructor(options: ClockWardenOptions) {
    this.options = options;
  }

  start(): void {
    this.cancel = this.options.scheduler.after(PERIOD_MS, () => this.round());
  }

  stop(): void {
    this.cancel?.();
  }

  private round(): void {
    const { nodeClock } = this.options;
    nodeClock.review();
    if (nodeClock.mayLead) this.resting.clear();
    else for (const group of this.options.groups()) this.handOver(group);
    this.start();
  }

  private handOver(group: RaftGroup): void {
    const status = group.status();
    const { groupId } = status;
    const nowMs = this.options.clock.monotonicMs();
    const rest = this.resting.get(groupId);
    if (status.role !== 'leader' || (rest !== undefined && nowMs < rest.untilMs)) return;
    const successor = this.successorOf(status);
    if (successor === undefined) return;
    // Writes stop during a transfer: what cannot be had is not asked for twice a second.
    const forMs = rest === undefined ? FIRST_REST_MS : Math.min(2 * rest.forMs, MAX_REST_MS);
    this.resting.set(groupId, { untilMs: nowMs + forMs, forMs });
    group.transferLeadership(successor).catch(() => undefined);
  }

  /** The voter that is furthest of those whose clock is right; undefined when there is none that could take over now. */
  private successorOf({ progress }: GroupStatus): NodeId | undefined {
    return progress
      .filter((peer) => !peer.isLearner && peer.recentlyActive && !this.options.nodeClock.isPeerOff(peer.nodeId))
      .sort((a, b) => b.matchIndex - a.matchIndex)[0]?.nodeId;
  }
}
