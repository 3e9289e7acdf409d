/** Processes that die or stand still. */
import type { Nemesis, NodeNumber, TestCluster } from '../types.ts';

async function restartDead(cluster: TestCluster): Promise<void> {
  for (const node of cluster.nodes) if (!cluster.isRunning(node)) await cluster.start(node);
}

async function resumeAll(cluster: TestCluster): Promise<void> {
  for (const node of cluster.nodes) cluster.resume(node);
}

async function leaderOr(cluster: TestCluster, fallback: NodeNumber): Promise<NodeNumber> {
  return (await cluster.leader()) ?? fallback;
}

export const killRandom: Nemesis = {
  name: 'kill-random',
  description: 'kill -9 of a random minority',
  async inject(cluster, random) {
    const victims = [...cluster.nodes];
    while (victims.length > Math.floor((cluster.nodes.length - 1) / 2)) victims.splice(random.int(victims.length), 1);
    for (const victim of victims) await cluster.kill(victim);
    return { killed: victims };
  },
  heal: restartDead,
};

export const killLeader: Nemesis = {
  name: 'kill-leader',
  description: 'kill -9 of the leader',
  async inject(cluster, random) {
    const victim = await leaderOr(cluster, cluster.nodes[random.int(cluster.nodes.length)]!);
    await cluster.kill(victim);
    return { killed: [victim] };
  },
  heal: restartDead,
};

export const killAll: Nemesis = {
  name: 'kill-all',
  description: 'kill -9 of every node at once',
  async inject(cluster) {
    await Promise.all(cluster.nodes.map((node) => cluster.kill(node)));
    return { killed: cluster.nodes };
  },
  heal: restartDead,
};

export const restartPlanned: Nemesis = {
  name: 'restart-planned',
  description: 'stops a random node as its service manager does',
  async inject(cluster, random) {
    const victim = cluster.nodes[random.int(cluster.nodes.length)]!;
    await cluster.shutDown(victim);
    return { stopped: victim };
  },
  heal: restartDead,
};

export const pauseRandom: Nemesis = {
  name: 'pause-random',
  description: 'SIGSTOP of a random node',
  async inject(cluster, random) {
    const victim = cluster.nodes[random.int(cluster.nodes.length)]!;
    cluster.pause(victim);
    return { paused: victim };
  },
  heal: resumeAll,
};

export const pauseLeader: Nemesis = {
  name: 'pause-leader',
  description: 'SIGSTOP of the leader, so that it wakes up believing that it still leads',
  async inject(cluster, random) {
    const victim = await leaderOr(cluster, cluster.nodes[random.int(cluster.nodes.length)]!);
    cluster.pause(victim);
    return { paused: victim };
  },
  heal: resumeAll,
};
