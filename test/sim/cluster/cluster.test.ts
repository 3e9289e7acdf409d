import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClusterSimulation } from './cluster-simulation.ts';
import { runMutant, SIM_MUTANTS } from './mutants.ts';
import { drawPlan } from './plan.ts';

/** Another range than the one that the command line begins with. */
const FIRST_SEED = 1_000_000;
const SEEDS = 16;

test('no seed of sixteen breaks an invariant or a history of a whole cluster', async () => {
  let succeeded = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    try {
      succeeded += (await new ClusterSimulation(drawPlan(seed, { routes: false })).run()).succeeded;
    } catch (error) {
      throw new Error(`seed ${seed}; replay with: npm run sim:cluster -- --no-routes --seed ${seed} --trace`, {
        cause: error,
      });
    }
  }
  assert.ok(succeeded > 800, `the runs were nearly idle: ${succeeded} operations succeeded`);
});

test('a seed decides everything: two runs of a cluster give the same trace', async () => {
  const traceOf = async (seed: number): Promise<{ hash: string; lines: string[] }> => {
    const lines: string[] = [];
    const { traceHash } = await new ClusterSimulation(drawPlan(seed, { routes: false }), (line) =>
      lines.push(line),
    ).run();
    return { hash: traceHash, lines };
  };
  for (const seed of [3, 11]) assert.deepEqual(await traceOf(seed), await traceOf(seed));
});

test('other seeds give other traces', async () => {
  const hashes = new Set<string>();
  for (let seed = 1; seed <= 4; seed++)
    hashes.add((await new ClusterSimulation(drawPlan(seed, { routes: false })).run()).traceHash);
  assert.equal(hashes.size, 4);
});

for (const name of ['lost-updates', 'unsynced-log', 'log-cut-too-far', 'ignored-watch', 'armed-bit-ignored']) {
  const mutant = SIM_MUTANTS.find((each) => each.name === name)!;
  test(`it is noticed within a few seeds when ${mutant.breaks}`, async () => {
    const { seeds } = await runMutant(mutant, 30);
    assert.ok(seeds !== undefined, 'no seed of 30 noticed');
  });
}
