/** Makes the replicas of this node what the cluster state says: new groups are opened, removed ones are forgotten. */
import type { ClusterFounding } from '../config/index.ts';
import type { ClusterState, GroupRow } from '../distribution/index.ts';
import type { GroupId, NodeId, PeerNetwork } from '../platform/index.ts';
import type { GroupHost } from './group-host.ts';

export interface ReplicaReconcilerOptions {
  readonly self: NodeId;
  readonly host: GroupHost;
  /** Hears where another node says that it is. */
  readonly setPeer: (peer: NodeId, address: string) => void;
  /** Hears which data folders the cluster knows its nodes with, and which were removed; again and again. */
  readonly network: Pick<PeerNetwork, 'confirm' | 'fence'>;
  /** What is known before the first cluster state. */
  readonly founding: ClusterFounding;
  /** The node came later than the groups of the founding: their leaders fill its replicas. */
  readonly joins: boolean;
}

/** See the top of the file. */
export class ReplicaReconciler {
  private readonly options: ReplicaReconcilerOptions;
  private groups = new Map<GroupId, GroupRow>();
  private hasClusterState = false;
  /** Groups that were there before this node, which joined, was first told of any: it founds none of them. */
  private older: ReadonlySet<GroupId> | undefined;
  /** Removed groups of which nothing is left here, or soon will be. */
  private readonly forgotten = new Set<GroupId>();

  constructor(options: ReplicaReconcilerOptions) {
    this.options = options;
  }

  /** Nodes that may have a replica of a group: its present members where they are known, else its founders. */
  membersOf(group: GroupId): readonly NodeId[] {
    const conf = this.options.host.get(group)?.stateMachine.applied().conf;
    if (conf !== undefined && conf.voters.length > 0) return conf.voters;
    const row = this.groups.get(group);
    if (row !== undefined) return row.founders;
    return this.options.founding.groups.find(({ id }) => id === group)?.voters ?? [];
  }

  /**
   * A group's leader speaks to a replica that is not here: this node was taken in. It opens an empty one, which votes for
   * nobody before it has heard from the leader who the members are.
   */
  heardOf(group: GroupId): void {
    const { host, founding } = this.options;
    if (host.knows(group)) return;
    const isActive = this.hasClusterState
      ? this.groups.get(group)?.state === 'ACTIVE'
      : founding.groups.some(({ id }) => id === group);
    if (isActive) host.keepOpening(group, undefined);
  }

  /** A newer cluster state. */
  follow(clusterState: ClusterState): void {
    const { self, host, setPeer, network } = this.options;
    for (const { nodeId, incarnation } of clusterState.removed ?? []) network.fence(nodeId, incarnation);
    this.older ??= new Set(clusterState.groups.map(({ id }) => id));
    for (const { nodeId, address, incarnation } of clusterState.nodes) {
      if (nodeId === self) continue;
      network.confirm(nodeId, incarnation.toString('hex'));
      setPeer(nodeId, address);
    }
    this.groups = new Map(clusterState.groups.map((row) => [row.id, row]));
    this.hasClusterState = true;
    for (const { id, state, founders, preferredLeader } of clusterState.groups) {
      if (state === 'REMOVED') this.forget(id);
      else if (founders.includes(self) && !host.knows(id) && this.mayFound(id)) {
        host.keepOpening(id, { voters: founders, preferredLeader });
      }
    }
  }

  /** A node that came back empty has forgotten its votes: it must not begin a group again that it was a founder of. */
  private mayFound(group: GroupId): boolean {
    const { joins, founding } = this.options;
    return !joins || !(founding.groups.some(({ id }) => id === group) || this.older?.has(group));
  }

  /** Once per life of the process also when there is no replica: a crash may have left a part of one. */
  private forget(group: GroupId): void {
    if (this.forgotten.has(group)) return;
    this.forgotten.add(group);
    this.options.host.keepRemoving(group);
  }
}
