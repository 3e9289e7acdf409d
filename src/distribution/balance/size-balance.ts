/**
 * Where bytes should be. Moving a range between groups with the same voters moves no bytes, so the first choice is to
 * replace one replica of a group; only where all groups of the full node are too large for that, a range goes to a group that
 * the full node has no part in. Both must make the fullest of the nodes they touch at least a twentieth less full: the list
 * of nodes' bytes from the fullest on falls with every action, so balancing ends.
 */
import type { GroupId, NodeId } from '../../platform/index.ts';
import { withdrawalOf } from '../catalog/index.ts';
import { RESERVED_END, type Route } from '../contract/index.ts';
import type { BalanceAction, BalancePlan, BalanceView, GroupPlacement } from './actions.ts';

/** Nothing is done while fullest and emptiest node differ by no more than this part of the fullest. */
export const LEAST_DIFFERENCE = 0.2;
/** Nor while they differ by no more than this. */
export const LEAST_DIFFERENCE_BYTES = 1024 * 1024 * 1024;
/** Part of the fullest node's bytes that an action must take off. */
export const LEAST_GAIN = 0.05;
/** Ranges, and sets of voters they may go to, that one plan looks at: together some ten milliseconds. */
export const MAX_RANGES = 4_096;
const MAX_TARGETS = 64;

interface Choice {
  readonly action: BalanceAction;
  /** Bytes of the fullest node that the action touches, afterwards. */
  readonly peak: number;
  /** Bytes that are copied. */
  readonly bytes: number;
}

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** At most one action. */
export function planSizes(view: BalanceView, catalogGroup: GroupId): BalancePlan {
  const nothing = (note: string): BalancePlan => ({ actions: [], notes: [note] });
  const bytesOf = new Map<NodeId, number>();
  for (const node of view.clusterState.nodes) {
    // What a silent node holds is not known, and what it holds may come back.
    if (!view.liveNodes.has(node.nodeId)) return nothing(`node ${node.nodeId} is silent, so nothing is moved`);
    bytesOf.set(node.nodeId, node.storedBytes);
  }
  const placements = new Map(view.groups.map((group) => [group.id, group]));
  for (const { id, state } of view.clusterState.groups) {
    if (state !== 'ACTIVE') continue;
    const placement = placements.get(id);
    if (placement?.bytes === undefined) return nothing(`the bytes of group ${id} are not known, so nothing is moved`);
    const stranger = placement.voters.find((node) => !bytesOf.has(node));
    if (stranger !== undefined) return nothing(`node ${stranger} of group ${id} is not known, so nothing is moved`);
  }
  // What leaves those, and where it goes, is not this rule's business.
  const inService = [...bytesOf].filter(([node]) => withdrawalOf(view.clusterState, node) === undefined);
  const ordered = inService.sort(([a, aBytes], [b, bBytes]) => bBytes - aBytes || a - b);
  const [full, empty] = [ordered[0], ordered.at(-1)];
  if (full === undefined || empty === undefined) return nothing('there are no nodes');
  const difference = full[1] - empty[1];
  if (difference <= LEAST_DIFFERENCE_BYTES || difference <= LEAST_DIFFERENCE * full[1]) {
    return nothing(`nodes differ by at most ${gib(difference)}, which is even`);
  }
  const [from, fromBytes] = full;
  const why = `node ${from} holds ${gib(fromBytes)}, node ${empty[0]} ${gib(empty[1])}`;
  const isActive = new Set(view.clusterState.groups.flatMap((row) => (row.state === 'ACTIVE' ? [row.id] : [])));
  const pinned = new Set(view.clusterState.groups.flatMap((row) => (row.preferredLeader === from ? [row.id] : [])));
  const groups = view.groups.filter((group) => isActive.has(group.id) && !group.isBusy);
  const replaceable = groups.filter((group) => group.id !== catalogGroup && !pinned.has(group.id));
  const choice =
    replicaMove(replaceable, new Map(ordered), from, why) ?? rangeMove(view, groups, catalogGroup, bytesOf, from, why);
  return choice === undefined
    ? nothing(`${why}, and nothing small enough can be moved`)
    : { actions: [choice.action], notes: [] };
}

const better = (best: Choice | undefined, choice: Choice): Choice =>
  best === undefined || choice.peak < best.peak || (choice.peak === best.peak && choice.bytes < best.bytes)
    ? choice
    : best;

/** The replica of the full node that is best replaced by one on another node. */
function replicaMove(
  groups: readonly GroupPlacement[],
  bytesOf: ReadonlyMap<NodeId, number>,
  from: NodeId,
  why: string,
): Choice | undefined {
  const fromBytes = bytesOf.get(from)!;
  let best: Choice | undefined;
  for (const { id, voters, bytes = 0 } of groups) {
    if (!voters.includes(from)) continue;
    for (const [to, toBytes] of bytesOf) {
      if (voters.includes(to)) continue;
      const peak = Math.max(fromBytes - bytes, toBytes + bytes);
      if (peak > (1 - LEAST_GAIN) * fromBytes) continue;
      const reason = `${why}: the replica of group ${id} (${gib(bytes)}) goes from node ${from} to node ${to}`;
      best = better(best, {
        action: { kind: 'changeMembership', group: id, add: to, remove: from, reason },
        peak,
        bytes,
      });
    }
  }
  return best;
}

/** The range of the full node that is best moved to a group without it. */
function rangeMove(
  view: BalanceView,
  groups: readonly GroupPlacement[],
  catalogGroup: GroupId,
  bytesOf: ReadonlyMap<NodeId, number>,
  from: NodeId,
  why: string,
): Choice | undefined {
  const targets = targetsWithout(from, groups, catalogGroup);
  if (targets.length === 0) return undefined;
  let best: Choice | undefined;
  let looked = 0;
  for (const source of groups) {
    if (!source.voters.includes(from)) continue;
    for (const route of view.routes.ofGroup(source.id)) {
      if (++looked > MAX_RANGES) return best;
      const bytes = view.rangeBytes.get(route.id);
      if (bytes === undefined || !isMovable(route)) continue;
      for (const target of targets) {
        const peak = peakAfter(bytesOf, source, target, bytes, from);
        if (peak > (1 - LEAST_GAIN) * bytesOf.get(from)!) continue;
        const reason = `${why}: range ${route.id} (${gib(bytes)}) goes from group ${source.id} to group ${target.id}`;
        const start = Buffer.from(route.start);
        best = better(best, {
          action: { kind: 'move', routeId: route.id, start, dst: target.id, reason },
          peak,
          bytes,
        });
      }
    }
  }
  return best;
}

/** One group for each set of voters without the full node: all groups of a set would end the same. */
function targetsWithout(
  from: NodeId,
  groups: readonly GroupPlacement[],
  catalogGroup: GroupId,
): readonly GroupPlacement[] {
  const byVoters = new Map<string, GroupPlacement>();
  for (const group of groups) {
    if (group.voters.includes(from) || group.id === catalogGroup) continue;
    const name = [...group.voters].sort((a, b) => a - b).join();
    const known = byVoters.get(name);
    if (known === undefined || (group.bytes ?? 0) < (known.bytes ?? 0)) byVoters.set(name, group);
  }
  return [...byVoters.values()].slice(0, MAX_TARGETS);
}

const isMovable = (route: Route): boolean => route.state === 'ACTIVE' && Buffer.compare(route.start, RESERVED_END) >= 0;

/** Bytes of the fullest of the nodes that a move of a range touches, afterwards. */
function peakAfter(
  bytesOf: ReadonlyMap<NodeId, number>,
  source: GroupPlacement,
  target: GroupPlacement,
  bytes: number,
  from: NodeId,
): number {
  let peak = bytesOf.get(from)! - bytes;
  for (const node of target.voters) {
    if (!source.voters.includes(node)) peak = Math.max(peak, bytesOf.get(node)! + bytes);
  }
  return peak;
}
