import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Simulation } from './simulation.ts';

test('no seed of a few hundred breaks an invariant of Raft', () => {
  let committed = 0;
  for (let seed = 100_000; seed < 100_250; seed++) {
    try {
      committed += new Simulation(seed).run().committed;
    } catch (error) {
      throw new Error(`seed ${seed}; replay with: npm run sim -- --seed ${seed} --trace`, { cause: error });
    }
  }
  assert.ok(committed > 10_000, `the runs were nearly idle: ${committed} entries`);
});

test('a seed decides everything: two runs give the same trace', () => {
  const traceOf = (seed: number): string[] => {
    const lines: string[] = [];
    new Simulation(seed, (line) => lines.push(line)).run();
    return lines;
  };
  assert.deepEqual(traceOf(42), traceOf(42));
});
