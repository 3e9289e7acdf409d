/** Wall clocks that are wrong. Monotonic clocks are not touched: no operator can set those. */
import type { Nemesis, TestCluster } from '../types.ts';

const MAX_SKEW_MS = 10_000;

async function heal(cluster: TestCluster): Promise<void> {
  for (const node of cluster.nodes) cluster.setClockOffset(node, 0);
}

export const clockSkew: Nemesis = {
  name: 'clock-skew',
  description: 'sets every wall clock off by up to 10 s either way',
  async inject(cluster, random) {
    const offsets = Object.fromEntries(
      cluster.nodes.map((node) => [node, Math.round((random.next() * 2 - 1) * MAX_SKEW_MS)]),
    );
    for (const node of cluster.nodes) cluster.setClockOffset(node, offsets[node]!);
    return offsets;
  },
  heal,
};

/** Minutes, an hour, a day, ten years. */
const FAR_MS = [300_000, 3_600_000, 86_400_000, 315_360_000_000];

export const clockFar: Nemesis = {
  name: 'clock-far',
  description:
    'sets one wall clock, that of a leader if there is one, wrong by minutes to ten years either way, ten times',
  async inject(cluster, random) {
    const victim = (await cluster.leader()) ?? cluster.nodes[random.int(cluster.nodes.length)]!;
    const jumps: number[] = [];
    for (let jump = 0; jump < 10; jump++) {
      jumps.push(Math.round((random.next() * 2 - 1) * FAR_MS[random.int(FAR_MS.length)]!));
      cluster.setClockOffset(victim, jumps.at(-1)!);
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    return { victim, jumps };
  },
  heal,
};

export const clockJump: Nemesis = {
  name: 'clock-jump',
  description: 'makes one wall clock jump ten times by up to 10 s either way',
  async inject(cluster, random) {
    const victim = (await cluster.leader()) ?? cluster.nodes[random.int(cluster.nodes.length)]!;
    const jumps: number[] = [];
    for (let jump = 0; jump < 10; jump++) {
      jumps.push(Math.round((random.next() * 2 - 1) * MAX_SKEW_MS));
      cluster.setClockOffset(victim, jumps.at(-1)!);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return { victim, jumps };
  },
  heal,
};
