/** Disks that refuse. A node may stop itself on such an error; it is started again when the fault is healed. */
import type { Random } from '../../src/platform/index.ts';
import type { DiskFault, Nemesis, TestCluster } from '../types.ts';

async function breakOne(cluster: TestCluster, random: Random, fault: DiskFault): Promise<unknown> {
  const victim = cluster.nodes[random.int(cluster.nodes.length)]!;
  cluster.setDiskFault(victim, fault);
  return { victim, fault };
}

async function heal(cluster: TestCluster): Promise<void> {
  for (const node of cluster.nodes) {
    cluster.setDiskFault(node, undefined);
    if (!cluster.isRunning(node)) await cluster.start(node);
  }
}

export const diskFull: Nemesis = {
  name: 'disk-full',
  description: 'fails every write of one node with ENOSPC',
  inject: (cluster, random) => breakOne(cluster, random, 'full'),
  heal,
};

export const diskSyncError: Nemesis = {
  name: 'disk-sync-error',
  description: 'fails every write and sync of one node with EIO',
  inject: (cluster, random) => breakOne(cluster, random, 'syncError'),
  heal,
};
