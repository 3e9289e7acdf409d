import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Backoff,
  backoffBoundMs,
  backoffMs,
  type Jitter,
  type Random,
  SeededRandom,
} from '../../src/platform/index.ts';

const policyWith = (jitter: Jitter): Backoff => ({ baseMs: 5, capMs: 100, factor: 2, jitter });
const drawing = (fraction: number): Random => ({ next: () => fraction, int: () => 0, bytes: () => Buffer.alloc(0) });
/** The shortest and the longest wait that can be drawn. */
const rangeOf = (jitter: Jitter, attempt: number): [number, number] => [
  backoffMs(policyWith(jitter), attempt, drawing(0)),
  backoffMs(policyWith(jitter), attempt, drawing(1)),
];

describe('a backoff', () => {
  test('doubles its bound up to the cap and stays there, however many attempts there are', () => {
    const bounds = [0, 1, 2, 3, 4, 5, 6, 5000].map((attempt) => backoffBoundMs(policyWith('full'), attempt));
    assert.deepEqual(bounds, [5, 10, 20, 40, 80, 100, 100, 100]);
  });

  test('draws from 0, from half of the bound or from the base', () => {
    assert.deepEqual(rangeOf('full', 2), [0, 20]);
    assert.deepEqual(rangeOf('equal', 2), [10, 20]);
    assert.deepEqual(rangeOf('aboveBase', 2), [5, 20]);
    assert.deepEqual(rangeOf('aboveBase', 0), [5, 5]);
  });

  test('never waits longer than the cap, not even when the base is above it', () => {
    const random = new SeededRandom(1);
    for (const jitter of ['full', 'equal', 'aboveBase'] as const) {
      const policy: Backoff = { baseMs: 500, capMs: 100, factor: 2, jitter };
      for (let attempt = 0; attempt < 100; attempt++) assert.ok(backoffMs(policy, attempt, random) <= 100);
    }
  });
});
