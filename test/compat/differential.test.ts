/**
 * Random command sequences must get the same replies from kvorum as from a real redis-server, byte by byte: group by group, with
 * collections as they usually lie and with all of them in rows and small pages.
 * `KVORUM_DIFFERENTIAL_RUNS` sets the number of sequences a group, `KVORUM_DIFFERENTIAL_GROUP` picks one, `KVORUM_DIFFERENTIAL_SEED`
 * replays; a failed test has its seed in its name, and prints the shortest sequence found that still differs.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type BodyLimits, DEFAULT_BODY_LIMITS } from '../../src/adapter/redis/bodies/index.ts';
import { skipWithout } from '../support/programs.ts';
import { Comparison } from './comparison.ts';
import { SEED, seeded } from './seed.ts';
import { GROUPS, sequencesOf } from './sequences/index.ts';
import { comparedTargets, LARGE_FROM_THE_FIRST } from './targets.ts';

const RUNS = Number(process.env.KVORUM_DIFFERENTIAL_RUNS ?? 100);
const ONLY = process.env.KVORUM_DIFFERENTIAL_GROUP;
const MAX_STEPS = 40;

/** What OBJECT ENCODING goes by: as it comes, and so low that a few elements are many. */
const USUAL = {
  'hash-max-listpack-entries': '512',
  'hash-max-listpack-value': '64',
  'set-max-intset-entries': '512',
  'zset-max-listpack-entries': '128',
  'zset-max-listpack-value': '64',
  'hll-sparse-max-bytes': '3000',
};
const LOW = {
  'hash-max-listpack-entries': '3',
  'hash-max-listpack-value': '8',
  'set-max-intset-entries': '2',
  'zset-max-listpack-entries': '2',
  'zset-max-listpack-value': '5',
  'hll-sparse-max-bytes': '30',
};

const LAYOUTS: readonly (readonly [string, BodyLimits])[] = [
  ['collections as usual', DEFAULT_BODY_LIMITS],
  ['collections in rows from the first element, pages of 64 bytes', LARGE_FROM_THE_FIRST],
];

for (const [layout, bodyLimits] of LAYOUTS) {
  describe(`differential test against redis-server, ${layout}`, { skip: skipWithout('redis-server') }, () => {
    const targets = comparedTargets(bodyLimits);

    for (const group of GROUPS.filter(({ name }) => ONLY === undefined || ONLY === name)) {
      test(seeded(`gives the replies that Redis gives: ${group.name}`), async () => {
        const comparison = await Comparison.open(targets.reference, targets.tested);
        const settings = fc.record({ resp: fc.constantFrom<2 | 3>(2, 3), thresholds: fc.constantFrom(USUAL, LOW) });
        try {
          await fc.assert(
            fc.asyncProperty(settings, sequencesOf(group, MAX_STEPS), async ({ resp, thresholds }, steps) => {
              const difference = await comparison.firstDifference(steps, resp, thresholds);
              assert.equal(difference, undefined, `the replies differ over RESP${resp}:\n${difference}`);
            }),
            { numRuns: RUNS, seed: SEED },
          );
        } finally {
          comparison.close();
        }
      });
    }
  });
}
