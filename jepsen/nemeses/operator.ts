/** What operators ask of a cluster that is being broken: whichever node takes it. */
import { AdminCallError, type AdminCalls, AdminClient } from '../../src/adapter/grpc/index.ts';
import type { GroupMembers } from '../../src/cluster/index.ts';
import type { NodeNumber, TestCluster } from '../types.ts';

const CALL_TIMEOUT_MS = 3_000;
/** So long a cluster is to know what it was, where that is compared with what is restored. */
const HISTORY_MS = 600_000;
/** Says no more than that this node cannot tell: one that was taken out may not know it, and looks for a leader in vain. */
const NO_ANSWER = /^(?:NO_ROUTES|STOPPED|LEADER_UNAVAILABLE)$/;

/** Orders to whichever node takes them. */
export class Operator {
  private readonly cluster: TestCluster;

  constructor(cluster: TestCluster) {
    this.cluster = cluster;
  }

  /** @throws AdminCallError of the last node that was asked */
  async call<Name extends keyof AdminCalls>(
    name: Name,
    request: AdminCalls[Name][0],
    not?: NodeNumber,
  ): Promise<AdminCalls[Name][1]> {
    let last: unknown = new Error('no node runs');
    for (const node of this.cluster.nodes) {
      if (node === not || !this.cluster.isRunning(node)) continue;
      try {
        return await this.callNode(node, name, request);
      } catch (error) {
        last = error;
        if (error instanceof AdminCallError && error.code !== undefined && !NO_ANSWER.test(error.code)) break;
      }
    }
    throw last;
  }

  /** Has the cluster keep its past, with which restored ones are compared. */
  async keepHistory(): Promise<void> {
    await this.call('SetSetting', { name: 'gc.retentionMs', value: String(HISTORY_MS) });
  }

  /** Membership of every group, as told by a node that has found its leader if there is one. @throws when no node answers */
  async members(): Promise<readonly GroupMembers[]> {
    const known = new Map<number, GroupMembers>();
    let last: unknown = new Error('no node runs');
    for (const node of this.cluster.nodes) {
      if (!this.cluster.isRunning(node)) continue;
      try {
        const { groups } = await this.callNode(node, 'Members', { groups: [] });
        for (const group of groups) if (known.get(group.groupId)?.problem !== '') known.set(group.groupId, group);
        if ([...known.values()].every(({ problem }) => problem === '')) break;
      } catch (error) {
        last = error;
      }
    }
    if (known.size === 0) throw last;
    return [...known.values()];
  }

  private async callNode<Name extends keyof AdminCalls>(
    node: NodeNumber,
    name: Name,
    request: AdminCalls[Name][0],
  ): Promise<AdminCalls[Name][1]> {
    const client = new AdminClient(this.cluster.adminAddress(node));
    try {
      return await client.call(name, request, CALL_TIMEOUT_MS);
    } finally {
      client.close();
    }
  }
}
