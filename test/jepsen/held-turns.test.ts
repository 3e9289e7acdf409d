import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { heldTurnsIn } from '../../jepsen/held-turns.ts';

describe('turns that took long', () => {
  test('are counted by name from what a node logs, also when its last line is cut', () => {
    const log = [
      '{"level":40,"node":1,"msg":"something else"}',
      '{"level":40,"node":1,"processorMs":60,"msg":"one turn took 60 ms of processor time: xack"}',
      '{"level":40,"node":1,"processorMs":90,"others":3,"msg":"one turn took 90 ms of processor time: xack"}',
      'not JSON at all',
      '{"level":40,"node":1,"msg":"one turn took 51 ms of processor time: other"}',
      '{"level":40,"node":1,"msg":"one turn took 70 ms of',
    ].join('\n');
    assert.deepEqual(
      [...heldTurnsIn(log)],
      [
        ['xack', { turns: 5, longestMs: 90 }],
        ['other', { turns: 1, longestMs: 51 }],
      ],
    );
  });
});
