import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { mutants } from '../../jepsen/mutants/index.ts';
import { SIM_MUTANTS } from '../sim/cluster/mutants.ts';
import { readText } from './source-tree.ts';

const lists = {
  'a mutant of the fault runs': mutants.map(({ name, mutations, delays = [] }) => ({
    name,
    replaced: [...delays, ...mutations],
  })),
  'a mutant of the simulations': SIM_MUTANTS.map(({ name, mutations }) => ({ name, replaced: mutations })),
};

// They stand here, and not beside the runs, so that whoever changes a line learns of its mutant before anything runs.
for (const [kind, list] of Object.entries(lists)) {
  describe(kind, () => {
    test('has a name of its own', () => {
      assert.equal(new Set(list.map(({ name }) => name)).size, list.length);
    });

    for (const { name, replaced } of list) {
      test(`${name} fits the source: every text to replace occurs exactly once`, () => {
        assert.ok(replaced.length > 0);
        for (const { file, find, replace } of replaced) {
          assert.equal(readText(file).split(find).length - 1, 1, `${file}: ${find}`);
          assert.notEqual(find, replace);
        }
      });
    }
  });
}
