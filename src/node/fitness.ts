/**
 * Which nodes should lead, beside what is known of their clocks: not those that stop, nor those that an operator takes
 * out of service.
 */
import { type ClusterState, withdrawalOf } from '../distribution/index.ts';
import type { Departures } from '../kv/index.ts';
import type { NodeId } from '../platform/index.ts';

/** See the top of the file. */
export class Fitness {
  private readonly self: NodeId;
  private readonly departures: Departures;
  private clusterState: ClusterState | undefined;

  constructor(self: NodeId, departures: Departures) {
    this.self = self;
    this.departures = departures;
  }

  /** Takes what the catalog says of the nodes. */
  follow(clusterState: ClusterState): void {
    this.clusterState = clusterState;
  }

  /** An operator takes the node out of service. */
  isWithdrawn(node: NodeId): boolean {
    return this.clusterState !== undefined && withdrawalOf(this.clusterState, node) !== undefined;
  }

  mayLead(node: NodeId): boolean {
    const { self, departures } = this;
    const stops = node === self ? departures.isStopping : departures.isPeerStopping(node);
    return !stops && !this.isWithdrawn(node);
  }
}
