import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Simulation } from './simulation.ts';

test('no seed of a few hundred breaks an invariant of Raft', () => {
  let committed = 0;
  let rests = 0;
  for (let seed = 101_000; seed < 101_250; seed++) {
    try {
      const report = new Simulation(seed).run();
      committed += report.committed;
      rests += report.rests;
    } catch (error) {
      throw new Error(`seed ${seed}; replay with: npm run sim -- --seed ${seed} --trace`, { cause: error });
    }
  }
  assert.ok(committed > 10_000, `the runs were nearly idle: ${committed} entries`);
  assert.ok(rests > 1000, `groups hardly ever rested: ${rests} times`);
});

test('a seed decides everything: two runs give the same trace', () => {
  const traceOf = (seed: number): string[] => {
    const lines: string[] = [];
    new Simulation(seed, (line) => lines.push(line)).run();
    return lines;
  };
  assert.deepEqual(traceOf(42), traceOf(42));
});
