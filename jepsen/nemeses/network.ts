/** Networks that work badly. */
import type { LinkFault, Nemesis, TestCluster } from '../types.ts';

function everywhere(cluster: TestCluster, fault: LinkFault): LinkFault {
  for (const from of cluster.nodes) for (const to of cluster.nodes) if (from !== to) cluster.setLink(from, to, fault);
  return fault;
}

const heal = async (cluster: TestCluster): Promise<void> => cluster.healLinks();

export const slowNetwork: Nemesis = {
  name: 'network-slow',
  description: 'delays every byte between nodes by up to 150 ms',
  inject: async (cluster, random) =>
    everywhere(cluster, { delayMs: random.next() * 50, jitterMs: random.next() * 100 }),
  heal,
};

export const lossyNetwork: Nemesis = {
  name: 'network-lossy',
  description: 'holds up to a fifth of all bursts for a retransmission timeout',
  inject: async (cluster, random) => everywhere(cluster, { lossRate: random.next() * 0.2, jitterMs: 5 }),
  heal,
};
