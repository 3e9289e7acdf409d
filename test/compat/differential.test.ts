/**
 * Random command sequences must get the same replies from kvorum as from a real redis-server, byte by byte.
 * `KVORUM_DIFFERENTIAL_RUNS` sets the number of sequences, `KVORUM_DIFFERENTIAL_SEED` replays; a failure prints the seed
 * and the shortest sequence found that still differs.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { skipWithout } from '../support/programs.ts';
import { Comparison } from './comparison.ts';
import { sequences } from './sequences.ts';
import { comparedTargets } from './targets.ts';

const RUNS = Number(process.env.KVORUM_DIFFERENTIAL_RUNS ?? 400);
const SEED = process.env.KVORUM_DIFFERENTIAL_SEED;
const MAX_STEPS = 40;

describe('differential test against redis-server', { skip: skipWithout('redis-server') }, () => {
  const targets = comparedTargets();

  for (const resp of [2, 3] as const) {
    test(`gives the replies that Redis gives, over RESP${resp}`, async () => {
      const comparison = await Comparison.open(targets.reference, targets.tested);
      try {
        await fc.assert(
          fc.asyncProperty(sequences(MAX_STEPS), async (steps) => {
            const difference = await comparison.firstDifference(steps, resp);
            assert.equal(difference, undefined, `the replies differ:\n${difference}`);
          }),
          { numRuns: RUNS, ...(SEED === undefined ? {} : { seed: Number(SEED) }) },
        );
      } finally {
        comparison.close();
      }
    });
  }
});
