/** Cuts between nodes. Bytes that were under way are held until the cut is healed, as TCP would. */
import type { Random } from '../../src/platform/index.ts';
import type { Nemesis, NodeNumber, TestCluster } from '../types.ts';

function shuffled(nodes: readonly NodeNumber[], random: Random): NodeNumber[] {
  const order = [...nodes];
  for (let at = order.length - 1; at > 0; at--) {
    const other = random.int(at + 1);
    [order[at], order[other]] = [order[other]!, order[at]!];
  }
  return order;
}

/** Cuts both directions between every node of one side and every node of the other. */
function cutBetween(cluster: TestCluster, left: readonly NodeNumber[], right: readonly NodeNumber[]): unknown {
  for (const a of left) {
    for (const b of right) {
      cluster.setLink(a, b, { cut: true });
      cluster.setLink(b, a, { cut: true });
    }
  }
  return { left, right };
}

const heal = async (cluster: TestCluster): Promise<void> => cluster.healLinks();

export const halves: Nemesis = {
  name: 'partition-halves',
  description: 'splits the nodes into a random majority and minority',
  async inject(cluster, random) {
    const order = shuffled(cluster.nodes, random);
    const minority = Math.floor((order.length - 1) / 2);
    return cutBetween(cluster, order.slice(0, minority), order.slice(minority));
  },
  heal,
};

export const isolateLeader: Nemesis = {
  name: 'partition-leader',
  description: 'cuts the leader off from everybody',
  async inject(cluster, random) {
    const leader = (await cluster.leader()) ?? cluster.nodes[random.int(cluster.nodes.length)]!;
    return cutBetween(
      cluster,
      [leader],
      cluster.nodes.filter((node) => node !== leader),
    );
  },
  heal,
};

export const bridge: Nemesis = {
  name: 'partition-bridge',
  description: 'leaves one node as the only way between the others',
  async inject(cluster, random) {
    const [middle, ...others] = shuffled(cluster.nodes, random);
    const half = Math.ceil(others.length / 2);
    return { bridge: middle, cut: cutBetween(cluster, others.slice(0, half), others.slice(half)) };
  },
  heal,
};

/** What the leader says (mute) or what is said to it (deaf) is held. */
function cutLeader(cluster: TestCluster, leader: NodeNumber, direction: 'mute' | 'deaf'): unknown {
  for (const other of cluster.nodes) {
    if (other === leader) continue;
    if (direction === 'mute') cluster.setLink(leader, other, { cut: true });
    else cluster.setLink(other, leader, { cut: true });
  }
  return { leader, direction };
}

export const muteLeader: Nemesis = {
  name: 'partition-leader-mute',
  description: 'stops what the leader says to everybody; it still hears them',
  inject: async (cluster, random) =>
    cutLeader(cluster, (await cluster.leader()) ?? cluster.nodes[random.int(cluster.nodes.length)]!, 'mute'),
  heal,
};

export const deafLeader: Nemesis = {
  name: 'partition-leader-deaf',
  description: 'stops what everybody says to the leader; they still hear it',
  inject: async (cluster, random) =>
    cutLeader(cluster, (await cluster.leader()) ?? cluster.nodes[random.int(cluster.nodes.length)]!, 'deaf'),
  heal,
};

export const oneWay: Nemesis = {
  name: 'partition-one-way',
  description: 'stops what one node says to all others, or what they say to it, but not the reverse',
  async inject(cluster, random) {
    const victim =
      (random.next() < 0.5 ? await cluster.leader() : undefined) ?? cluster.nodes[random.int(cluster.nodes.length)]!;
    const mute = random.next() < 0.5;
    for (const other of cluster.nodes) {
      if (other === victim) continue;
      if (mute) cluster.setLink(victim, other, { cut: true });
      else cluster.setLink(other, victim, { cut: true });
    }
    return { victim, direction: mute ? 'mute' : 'deaf' };
  },
  heal,
};

export const randomPartition: Nemesis = {
  name: 'partition-random',
  description: 'cuts each direction of each link with a chance of one in three',
  async inject(cluster, random) {
    const cut: string[] = [];
    for (const from of cluster.nodes) {
      for (const to of cluster.nodes) {
        if (from === to || random.next() >= 1 / 3) continue;
        cluster.setLink(from, to, { cut: true });
        cut.push(`${from}>${to}`);
      }
    }
    return { cut };
  },
  heal,
};
