/** A process of the pool: runs the seeds that it is told to, one after another. */
import { ClusterSimulation } from './cluster-simulation.ts';
import { drawPlan } from './plan.ts';
import type { SeedOrder, SeedResult } from './seed-pool.ts';

async function resultOf({ seed, plan }: SeedOrder): Promise<Pick<SeedResult, 'report' | 'failure' | 'long'>> {
  const simulation = new ClusterSimulation(drawPlan(seed, plan));
  try {
    const report = await simulation.run();
    return { report, failure: undefined, long: simulation.longEvents.long };
  } catch (error) {
    const failure = error instanceof Error ? error.message : String(error);
    return { report: undefined, failure, long: simulation.longEvents.long };
  }
}

process.on('message', (order: SeedOrder) => {
  const before = process.cpuUsage();
  resultOf(order).then((result) => {
    const { user, system } = process.cpuUsage(before);
    process.send!({ seed: order.seed, cpuMs: (user + system) / 1000, ...result } satisfies SeedResult);
  });
});
process.on('disconnect', () => process.exit());
