/**
 * The cluster as a Redis Cluster client sees it: nodes, and who has which hash slots. Which group a slot belongs to comes
 * from the directory (database 0); which nodes serve a group, and where clients reach them, comes from the composition
 * root.
 */
import type { GroupId, NodeId } from '../../../platform/index.ts';

/** A node as clients reach it. */
export interface ClusterMember {
  readonly nodeId: NodeId;
  /** 40 hex digits, the same as long as the node exists; see `clusterMemberId`. */
  readonly id: string;
  /** Where clients reach it; empty: wherever the asking client has connected to. */
  readonly host: string;
  /** Its Redis port. */
  readonly port: number;
  /** Its Redis port for cluster clients, which answers MOVED; undefined when it has none. */
  readonly clusterPort: number | undefined;
  /** Whether the node that is asked can reach it. */
  readonly isReachable: boolean;
}

/** Where a group is. */
export interface GroupPlacement {
  /** Undefined while it is not known. */
  readonly leader: NodeId | undefined;
  /**
   * The node that is asked knows it now, and may send clients there. False: it was heard of some time ago, and two nodes that both
   * remember the past would send a client back and forth.
   */
  readonly isWitnessed: boolean;
  /** All nodes with a replica that can be reached, the leader included or not; whoever is to be asked comes first while there is no leader. */
  readonly replicas: readonly NodeId[];
}

/** What the composition root tells the front end about the cluster. All of it may be out of date by a moment. */
export interface ClusterTopology {
  /** All nodes, this one included, in order of their ids. */
  members(): readonly ClusterMember[];
  placementOf(group: GroupId): GroupPlacement;
}

/** Slots in a row that belong to one group. */
export interface SlotRange {
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
  readonly group: GroupId;
}

/** Which group has which hash slots of database 0, as the directory says now. */
export interface SlotOwners {
  /** All slots in order; neighbours of one group are one range. */
  ranges(): readonly SlotRange[];
  groupOf(slot: number): GroupId;
}
