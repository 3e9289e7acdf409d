/**
 * Gives leadership away while this node should not lead: while its clock is off, or an operator drains it. What a node whose clock is off
 * issues goes by the clocks of the others, so nothing is wrong with it; but others do the same without leaning on anybody.
 */
import type { NodeClock } from '../kv/index.ts';
import type { Cancel, Clock, GroupId, Millis, NodeId, Scheduler } from '../platform/index.ts';
import type { GroupStatus, RaftGroup } from '../raftengine/index.ts';
import { HANDED_AT_ONCE, successorOf } from './hand-over.ts';

const PERIOD_MS: Millis = 500;
/** After a transfer that did not come off its group is left alone for so long, and twice as long after each further one. */
const FIRST_REST_MS: Millis = 5_000;
const MAX_REST_MS: Millis = 5 * 60_000;

export interface LeadershipWardenOptions {
  readonly nodeClock: Pick<NodeClock, 'review' | 'mayLead' | 'isPeerOff'>;
  /** An operator takes a node out of service, this one or another. */
  readonly isWithdrawn: (node: NodeId) => boolean;
  readonly self: NodeId;
  readonly groups: () => readonly RaftGroup[];
  readonly clock: Clock;
  readonly scheduler: Scheduler;
}

interface Rest {
  readonly untilMs: Millis;
  readonly forMs: Millis;
}

/** See the top of the file. */
export class LeadershipWarden {
  private readonly options: LeadershipWardenOptions;
  private readonly resting = new Map<GroupId, Rest>();
  private cancel: Cancel | undefined;

  constructor(options: LeadershipWardenOptions) {
    this.options = options;
  }

  start(): void {
    this.cancel = this.options.scheduler.after(PERIOD_MS, () => this.round());
  }

  stop(): void {
    this.cancel?.();
  }

  private round(): void {
    const { nodeClock, isWithdrawn, self } = this.options;
    nodeClock.review();
    if (nodeClock.mayLead && !isWithdrawn(self)) this.resting.clear();
    else this.handOverSome();
    this.start();
  }

  private handOverSome(): void {
    let begun = 0;
    for (const group of this.options.groups()) {
      if (this.handOver(group)) begun++;
      if (begun === HANDED_AT_ONCE) return;
    }
  }

  /** @returns true when a transfer has begun */
  private handOver(group: RaftGroup): boolean {
    const status = group.status();
    const { groupId } = status;
    const nowMs = this.options.clock.monotonicMs();
    const rest = this.resting.get(groupId);
    if (status.role !== 'leader' || (rest !== undefined && nowMs < rest.untilMs)) return false;
    const successor = this.heir(status);
    if (successor === undefined) return false;
    // Writes stop during a transfer: what cannot be had is not asked for twice a second.
    const forMs = rest === undefined ? FIRST_REST_MS : Math.min(2 * rest.forMs, MAX_REST_MS);
    this.resting.set(groupId, { untilMs: nowMs + forMs, forMs });
    group.transferLeadership(successor).catch(() => undefined);
    return true;
  }

  /** The voter that is furthest of those that should lead; undefined when there is none that could take over now. */
  private heir(status: GroupStatus): NodeId | undefined {
    const { nodeClock, isWithdrawn } = this.options;
    const heir = successorOf(status, (node) => !nodeClock.isPeerOff(node) && !isWithdrawn(node));
    return status.progress.find(({ nodeId }) => nodeId === heir)?.recentlyActive === true ? heir : undefined;
  }
}
