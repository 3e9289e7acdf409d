import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { counted } from '../../src/platform/index.ts';

describe('a number of things', () => {
  test('has one thing in the singular, and none or several in the plural', () => {
    assert.deepEqual(
      [0, 1, 2].map((count) => counted(count, 'group')),
      ['0 groups', '1 group', '2 groups'],
    );
    assert.deepEqual(
      ['entry', 'key', 'process', 'batch', 'reply'].map((noun) => counted(3, noun)),
      ['3 entries', '3 keys', '3 processes', '3 batches', '3 replies'],
    );
    assert.equal(counted(1_200, 'entry', '1,200'), '1,200 entries');
  });
});
