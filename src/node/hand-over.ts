/** Gives leadership away in good order: before a node stops, while it is drained or its clock is off, and when a client asks for it. */
import {
  type Cancel,
  type Clock,
  type GroupId,
  type Millis,
  type NodeId,
  type Scheduler,
  sleep,
} from '../platform/index.ts';
import type { GroupStatus, RaftGroup } from '../raftengine/index.ts';

/** Groups that are handed over at a time: the writes of each stop meanwhile, and whoever takes over begins with an election. */
export const HANDED_AT_ONCE = 32;
/** Until what was refused is asked for again: a voter catches up, or a change of members comes through. */
const AGAIN_MS: Millis = 25;

/**
 * The voter that a leader hands over to: the one that is furthest, of those that answer if any do.
 * @param mayLead false for nodes that should not lead
 */
export function successorOf(
  { progress }: GroupStatus,
  mayLead: (node: NodeId) => boolean = () => true,
): NodeId | undefined {
  return progress
    .filter((peer) => !peer.isLearner && mayLead(peer.nodeId))
    .sort((a, b) => Number(b.recentlyActive) - Number(a.recentlyActive) || b.matchIndex - a.matchIndex)[0]?.nodeId;
}

/**
 * Hands every group that this node leads to the voter that is furthest.
 * @param mayLead false for nodes that should not lead
 * @returns false when this node leads none that anybody could take over
 * @throws the errors of `RaftGroup.transferLeadership`
 */
export async function handOver(
  groups: readonly RaftGroup[],
  mayLead: (node: NodeId) => boolean = () => true,
): Promise<boolean> {
  const under = groups.flatMap((group) => {
    const status = group.status();
    const successor = status.role === 'leader' ? successorOf(status, mayLead) : undefined;
    return successor === undefined ? [] : [group.transferLeadership(successor)];
  });
  await Promise.all(under);
  return under.length > 0;
}

/** What became of the leadership of a node. */
export interface HandedOver {
  /** Groups that others lead now. */
  readonly groups: number;
  /** Groups with other voters that this node leads still: none of those could take them over, or not in time. */
  readonly left: number;
  readonly tookMs: Millis;
}

export interface HandOverOptions {
  readonly groups: () => readonly RaftGroup[];
  /** False for nodes that should not lead either. */
  readonly mayLead: (node: NodeId) => boolean;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly scheduler: Scheduler;
  readonly withinMs: Millis;
}

/**
 * Hands over every group that this node leads and somebody else may, some at a time, and again what was refused or has come back. What
 * cannot be handed over, or not within `withinMs`, is left to an election.
 */
export async function handOverAll(options: HandOverOptions): Promise<HandedOver> {
  const { groups, mayLead, clock, scheduler, withinMs } = options;
  const startMs = clock.monotonicMs();
  const handed = new Set<GroupId>();
  let isLate = false;
  let cancel: Cancel = () => undefined;
  const late = new Promise<void>((resolve) => {
    cancel = scheduler.after(withinMs, () => {
      isLate = true;
      resolve();
    });
  });
  const led = (): { readonly group: RaftGroup; readonly to: NodeId }[] =>
    groups().flatMap((group) => {
      const status = group.status();
      const to = status.role === 'leader' ? successorOf(status, mayLead) : undefined;
      return to === undefined ? [] : [{ group, to }];
    });
  for (;;) {
    const round = led().slice(0, HANDED_AT_ONCE);
    if (round.length === 0 || isLate) break;
    const transfers = round.map(async ({ group, to }) => {
      await group.transferLeadership(to);
      handed.add(group.groupId);
    });
    await Promise.race([Promise.allSettled(transfers), late]);
    const still = new Set(led().map(({ group }) => group.groupId));
    if (round.some(({ group }) => still.has(group.groupId))) await Promise.race([sleep(scheduler, AGAIN_MS), late]);
  }
  cancel();
  const left = groups().filter((group) => {
    const { role, progress } = group.status();
    return role === 'leader' && progress.some(({ isLearner }) => !isLearner);
  }).length;
  return { groups: handed.size, left, tookMs: clock.monotonicMs() - startMs };
}
