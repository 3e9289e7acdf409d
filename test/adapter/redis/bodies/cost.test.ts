import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cost, measureCosts } from './cost.ts';

/** Levels of pages with 20 children over `size` elements: what a descent may take. */
const levels = (size: number): number => Math.log(size) / Math.log(20);

interface Bound {
  readonly reads?: number;
  readonly mostReads?: number;
  readonly writes: number;
  readonly mostWrites?: number;
}

/** Rows that an operation on a body of `size` elements may take, on average and at most. */
function boundsOf(size: number): Readonly<Record<string, Bound>> {
  const log = levels(size);
  return {
    'hash length': { mostReads: 1, writes: 0 },
    'hash get': { mostReads: 2, writes: 0 },
    'hash set of an existing field': { mostReads: 2, writes: 1, mostWrites: 1 },
    'hash set of a new field': { mostReads: 3, writes: 3.2 },
    'hash random field': { reads: 4, writes: 0 },
    'hash delete': { reads: 4, writes: 4 },
    'expiring hash length': { mostReads: 1, writes: 0 },
    'expiring hash get': { mostReads: 2, writes: 0 },
    'expiring hash set of a new field': { reads: 5 + 2 * log, writes: 4 + 2 * log },
    'expiring hash another expiry': { reads: 4 + 4 * log, writes: 3 + 2 * log },
    'expiring hash value with expiry kept': { mostReads: 3, writes: 1, mostWrites: 1 },
    'expiring hash length after some expired': { mostReads: 26 + log, writes: 0 },
    'set has': { mostReads: 2, writes: 0 },
    'set add of a new member': { mostReads: 3, writes: 3.2 },
    'set pop': { reads: 8, writes: 4 },
    'list push': { reads: 2.2, mostReads: 3 + log, writes: 2.2, mostWrites: 3 + log },
    'list pop': { reads: 2.2, mostReads: 4 + log, writes: 2.2, mostWrites: 3 + log },
    'list index': { mostReads: 3 + log, writes: 0 },
    'list set': { mostReads: 3 + log, writes: 1.3 },
    'list range of 10': { mostReads: 4 + log, writes: 0 },
    'order score': { mostReads: 2, writes: 0 },
    'order rank': { mostReads: 25 + log, writes: 0 },
    'order count by score': { mostReads: 2 * (25 + log), writes: 0 },
    'order range of 10 by position': { mostReads: 25 + log, writes: 0 },
    'order range of 10 by score': { mostReads: 6 + log, writes: 0 },
    'order set of a new member': { reads: 2 + 2 * log, writes: 1 + 2 * log },
    'order set of an existing member': { reads: 5 + 4 * log, writes: 3 + 2 * log },
    'order set with rising scores': { reads: 4, writes: 3.5 },
    'order delete': { reads: 4 + 2 * log, writes: 3 + log },
    'order pop of the lowest': { reads: 4, writes: 4 },
    'order removal of all but 100': { reads: 20 + 3 * log, writes: 115 },
    'stream length': { mostReads: 1, writes: 0 },
    'stream add': { reads: 2.3, mostReads: 3 + log, writes: 2.3, mostWrites: 4 + log },
    'stream range of 10': { mostReads: 5 + log, writes: 0 },
    'stream delivery to a consumer': { reads: 10 + log, writes: 4.5 },
    'stream acknowledgement': { reads: 7 + 2 * log, writes: 4.5 },
    'stream acknowledgement of the first': { reads: 8, writes: 4.5 },
    'stream delete': { reads: 4 + log, writes: 2.5 },
    'stream trim by one': { reads: 5, writes: 2.5 },
  };
}

function assertWithin({ name, ...cost }: Cost, bound: Bound, size: number): void {
  for (const key of ['reads', 'mostReads', 'writes', 'mostWrites'] as const) {
    const most = bound[key];
    // A body of a few elements may change its form, which writes all of them, once.
    if (most === undefined || (size <= 100 && key !== 'mostReads')) continue;
    assert.ok(cost[key] <= most, `${name} of ${size}: ${cost[key].toFixed(2)} ${key}, at most ${most.toFixed(2)}`);
  }
}

for (const size of [10, 100, 1_000, 10_000, 100_000]) {
  test(`operations on ${size} elements take few rows`, () => {
    const costs = measureCosts(size);
    const bounds = boundsOf(size);
    assert.deepEqual(costs.map(({ name }) => name).sort(), Object.keys(bounds).sort());
    for (const cost of costs) assertWithin(cost, bounds[cost.name]!, size);
  });
}
