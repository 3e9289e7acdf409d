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
