/** Leadership that moves in good order, and badly placed moments for it. */
import type { Nemesis, NodeNumber, TestCluster } from '../types.ts';

/** Short enough that the leader's lease survives answers that are this late, long enough to do harm if it is kept. */
const LATE_MS = 250;

async function transferFrom(cluster: TestCluster, leader: NodeNumber | undefined): Promise<unknown> {
  if (leader === undefined) return { refused: 'there is no leader' };
  try {
    await cluster.handOver(leader);
    return { from: leader };
  } catch (error) {
    return { from: leader, refused: (error as Error).message };
  }
}

const settle = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export const transferLeader: Nemesis = {
  name: 'transfer-leader',
  description: 'has the leader hand over to another node',
  inject: async (cluster) => transferFrom(cluster, await cluster.leader()),
  heal: async () => undefined,
};

export const transferLateLeader: Nemesis = {
  name: 'transfer-late-leader',
  description: 'has the leader hand over while everything said to it comes late, so that it is the last to know',
  async inject(cluster) {
    const leader = await cluster.leader();
    for (const other of cluster.nodes) {
      if (leader !== undefined && other !== leader) cluster.setLink(other, leader, { delayMs: LATE_MS });
    }
    // Answers that were not late must have been counted.
    await settle(2 * LATE_MS);
    return transferFrom(cluster, leader);
  },
  heal: async (cluster) => cluster.healLinks(),
};
