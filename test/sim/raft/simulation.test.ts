import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Simulation } from './simulation.ts';

// Among them are those that found the first term that is not stable and the heartbeat that was overtaken.
test('no seed of more than a thousand breaks an invariant of Raft', () => {
  let committed = 0;
  let rests = 0;
  for (let seed = 1; seed <= 1250; seed++) {
    try {
      const report = new Simulation(seed).run();
      committed += report.committed;
      rests += report.rests;
    } catch (error) {
      throw new Error(`seed ${seed}; replay with: npm run sim -- --seed ${seed} --trace`, { cause: error });
    }
  }
  assert.ok(committed > 100_000, `the runs were nearly idle: ${committed} entries`);
  assert.ok(rests > 10_000, `groups hardly ever rested: ${rests} times`);
});

test('a seed decides everything: two runs give the same trace', () => {
  const traceOf = (seed: number): string[] => {
    const lines: string[] = [];
    new Simulation(seed, (line) => lines.push(line)).run();
    return lines;
  };
  assert.deepEqual(traceOf(42), traceOf(42));
});
