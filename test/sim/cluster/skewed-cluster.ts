/** Whole nodes on simulated machines whose wall clocks are seconds apart, which is allowed here, and nothing else is wrong. */
import assert from 'node:assert/strict';
import { SeededRandom, SimFabric, Simulation } from '../../../src/platform/index.ts';
import { ClusterNode } from './cluster-node.ts';
import { drawPlan, type Plan } from './plan.ts';

const PATIENCE_MS = 60_000;
const SKEWS_MS = [10_000, -10_000, 0];
const TOLERANT = { limits: { clock: { maxForwardSkewMs: 21_000 } } };

/**
 * Three nodes with several groups, ready; `until` waits in simulated time and fails when it takes too long.
 * @param overrides parts of the plan that are not left to the seed
 */
export async function startSkewedCluster(seed: number, overrides: Partial<Plan> = {}) {
  const simulation = new Simulation({ seed });
  const fabric = new SimFabric(simulation);
  const random = new SeededRandom(seed);
  const { kv: _, ...plan } = drawPlan(seed, { nodes: 3, faults: [], workloads: [] });
  // What one clock lets go of another has only just closed.
  const settings = {
    retentionMs: 60_000,
    groups: 3,
    storeLimits: {},
    limits: {},
    diskSlowness: 1,
    kv: TOLERANT,
    commandTimeoutMs: 5000,
  };
  const nodes = SKEWS_MS.map(
    (_skewMs, at) =>
      new ClusterNode({
        simulation,
        fabric,
        plan: { ...plan, ...settings, ...overrides },
        id: at + 1,
        random: random.fork(at + 1),
        onViolation: (violation) => {
          throw violation;
        },
        say: () => undefined,
      }),
  );
  for (const [at, node] of nodes.entries()) {
    node.setClockOffset(SKEWS_MS[at]!);
    node.start();
  }
  const until = async (what: string, isSo: () => boolean): Promise<void> => {
    const endMs = simulation.nowMs() + PATIENCE_MS;
    for (; !isSo(); await simulation.runFor(20)) assert.ok(simulation.nowMs() < endMs, `${what}: not in time`);
  };
  await until('every node is ready', () => nodes.every(({ process }) => process?.node.readiness().ready === true));
  return { simulation, fabric, nodes, until, random };
}
