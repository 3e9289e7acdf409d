import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { boundedStaleness, monotonicSessions } from '../../jepsen/checkers/staleness.ts';
import type { Op } from '../../jepsen/history.ts';

/** One operation that began and ended at these milliseconds. */
type Done = readonly [process: number, f: 'add' | 'read', value: number, fromMs: number, toMs: number];

const historyOf = (operations: readonly Done[]): Op[] =>
  operations
    .flatMap(([process, f, value, fromMs, toMs]) => [
      { process, f, type: 'invoke' as const, value: ['k', null] as unknown, time: fromMs * 1e6 },
      { process, f, type: 'ok' as const, value: ['k', value] as unknown, time: toMs * 1e6 },
    ])
    .sort((left, right) => left.time - right.time)
    .map((op, index) => ({ ...op, index }));

describe('the checker of staleness', () => {
  const bounded = boundedStaleness(1000);

  it('accepts reads that lack what was acknowledged within the bound', () => {
    const history = historyOf([
      [0, 'add', 1, 0, 10],
      [1, 'read', 0, 1000, 1005],
      [0, 'add', 2, 1010, 1020],
      [1, 'read', 1, 1500, 1510],
    ]);
    assert.deepEqual(bounded.check(history).valid, true);
  });

  it('counts from the oldest addition that is missing', () => {
    const history = historyOf([
      [0, 'add', 1, 0, 10],
      [0, 'add', 2, 900, 910],
      [1, 'read', 0, 1011, 1020],
    ]);
    assert.equal(bounded.check(history).valid, false);
  });
});

describe('the checker of sessions', () => {
  it('accepts processes that see different pasts', () => {
    const history = historyOf([
      [0, 'add', 1, 0, 10],
      [1, 'read', 0, 20, 30],
      [1, 'read', 1, 40, 50],
    ]);
    assert.equal(monotonicSessions.check(history).valid, true);
  });

  it('refuses a read that goes back, or misses an own addition', () => {
    const back = historyOf([
      [0, 'read', 2, 0, 10],
      [0, 'read', 1, 20, 30],
    ]);
    const own = historyOf([
      [0, 'add', 1, 0, 10],
      [0, 'read', 0, 20, 30],
    ]);
    assert.equal(monotonicSessions.check(back).valid, false);
    assert.equal(monotonicSessions.check(own).valid, false);
  });
});
