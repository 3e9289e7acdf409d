import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClusterSimulation } from './cluster-simulation.ts';
import { runMutant, SIM_MUTANTS } from './mutants.ts';
import { drawPlan } from './plan.ts';

/** Another range than the one that the command line begins with. */
const FIRST_SEED = 2_000_000;
const SEEDS = 8;
/** Behind the others: some seeds move hardly anything, and it takes several that do. */
const FIRST_COLLECTION_SEED = FIRST_SEED + SEEDS;
const COLLECTION_SEEDS = 6;

test('no seed of eight breaks an invariant or a history while ranges are cut, joined and carried', async () => {
  let succeeded = 0;
  let handovers = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    try {
      const report = await new ClusterSimulation(drawPlan(seed, { routes: true })).run();
      succeeded += report.succeeded;
      handovers += report.handovers;
    } catch (error) {
      const replay = `npm run sim:cluster -- --routes --seed ${seed} --trace`;
      throw new Error(`seed ${seed}; replay with: ${replay}`, { cause: error });
    }
  }
  assert.ok(succeeded > 800, `the runs were nearly idle: ${succeeded} operations succeeded`);
  assert.ok(handovers > 16, `ranges hardly moved: ${handovers} handovers`);
});

test('collections are whole wherever their ranges are cut and carried', async () => {
  let handovers = 0;
  let bodyRows = 0;
  const workloads = ['hash-fields', 'members', 'leaderboard', 'list-queue'];
  for (let seed = FIRST_COLLECTION_SEED; seed < FIRST_COLLECTION_SEED + COLLECTION_SEEDS; seed++) {
    const plan = drawPlan(seed, { routes: true, workloads });
    try {
      const report = await new ClusterSimulation({
        ...plan,
        bodies: 'tiny',
        routes: { ...plan.routes!, cutsInObjects: 0.6 },
      }).run();
      handovers += report.handovers;
      bodyRows += report.bodyRows;
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  assert.ok(handovers > 8, `ranges hardly moved: ${handovers} handovers`);
  assert.ok(bodyRows > 500, `collections were small: ${bodyRows} rows`);
});

test('a seed decides everything, also of ranges that move', async () => {
  const traceOf = async (seed: number): Promise<{ hash: string; lines: string[] }> => {
    const lines: string[] = [];
    const { traceHash } = await new ClusterSimulation(drawPlan(seed, { routes: true }), (line) =>
      lines.push(line),
    ).run();
    return { hash: traceHash, lines };
  };
  for (const seed of [3]) assert.deepEqual(await traceOf(seed), await traceOf(seed));
});

for (const name of ['capture-unwritten', 'refusal-as-success']) {
  const mutant = SIM_MUTANTS.find((each) => each.name === name)!;
  test(`it is noticed within a few seeds when ${mutant.breaks}`, async () => {
    const { seeds } = await runMutant(mutant, 30);
    assert.ok(seeds !== undefined, 'no seed of 30 noticed');
  });
}
