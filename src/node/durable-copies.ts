/** On how many replicas acknowledged writes are, whatever group they belong to. */
import type { ConfState } from '../raftengine/index.ts';

/**
 * Replicas beside the leader that have every acknowledged write on disk: a majority less one, in the group with the fewest voters. Groups that have
 * a replica here say how many voters they have now, during a change of both sets; of others their founding is known.
 */
export function quorumReplicas(
  groups: readonly { status(): { readonly conf: Pick<ConfState, 'voters' | 'votersOutgoing'> } }[],
  founding: { readonly groups: readonly { readonly voters: readonly number[] }[] },
): number {
  const counts = founding.groups.map(({ voters }) => voters.length);
  for (const group of groups) {
    const { voters, votersOutgoing } = group.status().conf;
    for (const set of [voters, votersOutgoing]) if (set.length > 0) counts.push(set.length);
  }
  return Math.min(...counts.map((voters) => Math.floor(voters / 2)));
}
