/**
 * Where leaders should be: first where their groups prefer them, then spread evenly. A transfer is proposed only when it
 * makes the whole better by a measure that cannot go in circles: groups led elsewhere than preferred, then most less fewest
 * leaders of a node, then the counts from the largest on, compared in this order.
 */
import { counted, type GroupId, type NodeId } from '../../platform/index.ts';
import type { ClusterState } from '../contract/index.ts';
import type { BalancePlan, BalanceView, GroupPlacement, TransferAction } from './actions.ts';

/** A difference of one is what is left when leaders cannot be divided evenly. */
const LEAST_SPREAD = 2;

/** How well leaders lie; smaller is better, the first difference decides. */
export type LeaderMeasure = readonly number[];

const compareMeasures = (left: LeaderMeasure, right: LeaderMeasure): number => {
  for (const [at, value] of left.entries()) if (value !== right[at]) return value - (right[at] ?? 0);
  return 0;
};

type Leaders = ReadonlyMap<GroupId, NodeId>;

/** Preferred leaders, as far as they can lead at all. */
function preferences(
  clusterState: ClusterState,
  groups: readonly GroupPlacement[],
  live: ReadonlySet<NodeId>,
): Leaders {
  const voters = new Map(groups.map((group) => [group.id, group.voters]));
  return new Map(
    clusterState.groups.flatMap(({ id, preferredLeader }): [GroupId, NodeId][] =>
      preferredLeader !== undefined && live.has(preferredLeader) && voters.get(id)?.includes(preferredLeader) === true
        ? [[id, preferredLeader]]
        : [],
    ),
  );
}

/** Leaders of each node, and how many groups are led elsewhere than preferred. */
interface Tally {
  readonly counts: ReadonlyMap<NodeId, number>;
  readonly misplaced: number;
}

function tally(leaders: Leaders, preferred: Leaders, nodes: readonly NodeId[]): Tally {
  const counts = new Map(nodes.map((node) => [node, 0]));
  let misplaced = 0;
  for (const [group, leader] of leaders) {
    counts.set(leader, (counts.get(leader) ?? 0) + 1);
    if (isMisplaced(preferred, group, leader)) misplaced++;
  }
  return { counts, misplaced };
}

const isMisplaced = (preferred: Leaders, group: GroupId, leader: NodeId): boolean =>
  (preferred.get(group) ?? leader) !== leader;

function measure({ counts, misplaced }: Tally): LeaderMeasure {
  const sorted = [...counts.values()].sort((a, b) => b - a);
  return [misplaced, (sorted[0] ?? 0) - (sorted.at(-1) ?? 0), ...sorted];
}

/** What the tally would be with another leader of one group. */
function transferred(now: Tally, preferred: Leaders, group: GroupId, from: NodeId, to: NodeId): Tally {
  const counts = new Map(now.counts);
  counts.set(from, (counts.get(from) ?? 0) - 1).set(to, (counts.get(to) ?? 0) + 1);
  const change = Number(isMisplaced(preferred, group, to)) - Number(isMisplaced(preferred, group, from));
  return { counts, misplaced: now.misplaced + change };
}

/** At most one transfer; the catalog's own group is the last to be asked. */
export function planLeaders(view: BalanceView, catalogGroup: GroupId): BalancePlan {
  const { clusterState, liveNodes, unfitNodes } = view;
  const able = new Set([...liveNodes].filter((node) => unfitNodes?.has(node) !== true));
  const nothing = (note: string): BalancePlan => ({ actions: [], notes: [note] });
  const placements = new Map(view.groups.map((group) => [group.id, group]));
  const leaders = new Map<GroupId, NodeId>();
  for (const { id, state } of clusterState.groups) {
    if (state !== 'ACTIVE') continue;
    const leader = placements.get(id)?.leader;
    if (leader === undefined || !liveNodes.has(leader)) {
      return nothing(`group ${id} has no known live leader, so nothing is moved`);
    }
    leaders.set(id, leader);
  }
  const groups = [...leaders.keys()].map((id) => placements.get(id)!);
  // Every live voter counts, also one that leads nothing; but not one that should lead nothing.
  const nodes = [...new Set(groups.flatMap((group) => group.voters.filter((node) => able.has(node))))];
  const preferred = preferences(clusterState, groups, able);
  const now = tally(leaders, preferred, nodes);
  const before = measure(now);
  const [misplaced, spread] = [before[0]!, before[1]!];
  if (misplaced === 0 && spread < LEAST_SPREAD)
    return nothing(`leaders differ by ${spread} between nodes, which is even`);

  const load = now.counts;
  const inOrder = groups
    .filter((group) => !group.isBusy)
    .sort(
      (a, b) =>
        Number(a.id === catalogGroup) - Number(b.id === catalogGroup) ||
        (load.get(b.leader!) ?? 0) - (load.get(a.leader!) ?? 0) ||
        a.id - b.id,
    );
  let best: { group: GroupPlacement; to: NodeId; after: LeaderMeasure } | undefined;
  for (const group of inOrder) {
    if (best !== undefined && group.id === catalogGroup) break;
    for (const to of group.voters) {
      if (to === group.leader || !able.has(to)) continue;
      const after = measure(transferred(now, preferred, group.id, group.leader!, to));
      if (compareMeasures(after, best?.after ?? before) < 0) best = { group, to, after };
    }
  }
  if (best === undefined)
    return nothing(`leaders differ by ${spread} between nodes, and no transfer would make it better`);
  const { group, to, after } = best;
  const from = group.leader!;
  const why =
    after[0]! < misplaced
      ? `node ${to} is where its leader should be`
      : `node ${from} leads ${counted(load.get(from)!, 'group')} and node ${to} leads ${load.get(to) ?? 0}`;
  const action: TransferAction = {
    kind: 'transferLeader',
    group: group.id,
    from,
    to,
    reason: `group ${group.id} from node ${from} to node ${to}: ${why}`,
  };
  return { actions: [action], notes: [] };
}
