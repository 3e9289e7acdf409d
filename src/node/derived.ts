/** What follows from what a node was last told of its cluster. */
import type { ClusterState } from '../distribution/index.ts';

/**
 * Derives something from the state of the cluster, once for each state: it is asked for far more often than a node is told.
 * @returns what tells it; undefined as long as the node was told nothing
 */
export function derivedFrom<Derived>(
  clusterState: () => ClusterState | undefined,
  derive: (state: ClusterState) => Derived,
): () => Derived | undefined {
  let seen: ClusterState | undefined;
  let derived: Derived | undefined;
  return () => {
    const state = clusterState();
    if (state !== seen) {
      seen = state;
      derived = state && derive(state);
    }
    return derived;
  };
}
