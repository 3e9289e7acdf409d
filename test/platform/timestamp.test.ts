import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  END_OF_TIME,
  earlierBy,
  lastBefore,
  laterBy,
  logicalOf,
  MAX_LOGICAL,
  MAX_TIMESTAMP_MS,
  NEVER,
  physicalMs,
  timestampOf,
  timestampOfMs,
} from '../../src/platform/index.ts';

const anyMs = fc.integer({ min: 0, max: MAX_TIMESTAMP_MS });
const anyLogical = fc.integer({ min: 0, max: MAX_LOGICAL });

describe('a timestamp', () => {
  test('gives back the milliseconds and the logical part that it was made of', () => {
    fc.assert(
      fc.property(anyMs, anyLogical, (ms, logical) => {
        const ts = timestampOf(ms, logical);
        assert.equal(physicalMs(ts), ms);
        assert.equal(logicalOf(ts), logical);
      }),
    );
  });

  test('is ordered by time first, between NEVER and the end of time', () => {
    assert.ok(timestampOf(7, MAX_LOGICAL) < timestampOfMs(8));
    assert.ok(NEVER < timestampOf(0, 1));
    assert.equal(timestampOf(MAX_TIMESTAMP_MS, MAX_LOGICAL), END_OF_TIME);
  });

  test('has a last one before each millisecond, and none before the first', () => {
    assert.equal(lastBefore(8), timestampOf(7, MAX_LOGICAL));
    assert.equal(lastBefore(0), NEVER);
  });

  test('moves by milliseconds, never to before all time', () => {
    assert.equal(laterBy(timestampOf(7, 3), 4.2), timestampOf(12, 3));
    assert.equal(earlierBy(timestampOf(7, 3), 4), timestampOfMs(3));
    assert.equal(earlierBy(timestampOf(7, 3), 7), NEVER);
  });
});
