/** What counts as a change of a watched key, asked of redis-server and of kvorum. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { skipWithout } from '../support/programs.ts';
import { Comparison } from './comparison.ts';
import { comparedTargets } from './targets.ts';

const STORIES: Readonly<Record<string, readonly string[]>> = {
  'an absent key that came and went': ['WATCH k', 'APPEND k x', 'UNLINK k'],
  'an absent key that came empty and went': ['WATCH k', 'SET k', 'DEL k'],
  'a key that went and came back the same': ['SET k 1', 'WATCH k', 'DEL k', 'SET k 1'],
  'a key that had been deleted, and still is': ['SET k 1', 'DEL k', 'WATCH k', 'DEL k'],
  'a key that had been deleted, and came and went again': ['SET k 1', 'DEL k', 'WATCH k', 'SET k 2', 'DEL k'],
  'a key that was never there when everything is deleted': ['WATCH never', 'FLUSHALL'],
  'a deleted key when everything else is deleted': ['SET k 1', 'DEL k', 'WATCH k', 'FLUSHALL'],
  'a key that is deleted with everything else': ['SET k 1', 'WATCH k', 'FLUSHALL'],
};

describe('a watched key, compared with redis-server', { skip: skipWithout('redis-server') }, () => {
  const targets = comparedTargets();

  for (const [name, commands] of Object.entries(STORIES)) {
    test(`is judged alike: ${name}`, async () => {
      const comparison = await Comparison.open(targets.reference, targets.tested);
      try {
        const steps = [...commands, 'MULTI', 'EXEC'].map((line) => ({ on: 0 as const, command: line.split(' ') }));
        assert.equal(await comparison.firstDifference(steps, 2), undefined);
      } finally {
        comparison.close();
      }
    });
  }
});
