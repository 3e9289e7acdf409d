import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { COLLECTED, formatLargeData, type LargeDataSamples, verdictsOf } from '../../bench/large-data/report.ts';
import { formatVerdicts } from '../../bench/spread.ts';

const MIB = 1024 ** 2;
const times = (main: number) => ({ main, pool: 1, leveldb: 1, v8: 0, other: 0 });
const part = (perSecond: number, us: number) => ({
  what: 'tenth',
  perSecond,
  cpu: [times(us), times(us)],
  rewritten: 3,
  files: new Map([[2, 14]]),
});
const stage = (name: string, dataMib: number, ownMib: number) => ({
  name,
  seconds: 10,
  disk: [{ dataBytes: dataMib * MIB, logBytes: 64 * MIB }],
  peaks: [{ ownBytes: ownMib * MIB, mappedBytes: 0 }],
});
const GOOD: LargeDataSamples = {
  keys: 1_000,
  logicalBytes: 1_000 * MIB,
  memoryLimitBytes: 100 * MIB,
  load: [part(9_000, 30), part(10_000, 20), part(5_000, 41)],
  overwrite: [],
  stages: [stage(COLLECTED, 2_500, 110)],
  counts: [
    { when: 'before overwriting', dbsize: 1_000, dbsizeMs: 1, scanned: 1_000, scanSeconds: 1, scanCpuUs: 10 },
    { when: 'after', dbsize: 1_000, dbsizeMs: 1, scanned: 1_000, scanSeconds: 1, scanCpuUs: 15 },
  ],
  restarts: [{ how: 'a stop', answersSeconds: 3, readySeconds: 10, cpuSeconds: 8 }],
  flushed: { beforeBytes: 2_500 * MIB, leftBytes: 310 * MIB, seconds: 60 },
  isQuiet: true,
};
const failed = (changed: Partial<LargeDataSamples>): string[] =>
  verdictsOf({ ...GOOD, ...changed }).flatMap(({ text, passed }) => (passed ? [] : [text.split(/[:,] | of a /)[0]!]));

describe('the report of much data', () => {
  test('holds the end of the load against the better one of its first parts', () => {
    assert.deepEqual(failed({}), []);
    assert.deepEqual(failed({ load: [part(9_000, 30), part(10_000, 20), part(4_900, 30)] }), ['load']);
    assert.deepEqual(failed({ load: [part(9_000, 20), part(10_000, 30), part(9_000, 43)] }), ['load']);
  });

  test('judges disk, memory, counts, restarts and what is left of everything', () => {
    assert.deepEqual(failed({ stages: [stage(COLLECTED, 2_570, 111)] }), ['disk', 'memory']);
    assert.deepEqual(failed({ restarts: [{ ...GOOD.restarts[0]!, readySeconds: 10.1 }] }), ['restart after a stop']);
    assert.deepEqual(failed({ counts: [{ ...GOOD.counts[0]!, scanned: 999 }, GOOD.counts[1]!] }), [
      'before overwriting',
    ]);
    assert.deepEqual(failed({ counts: [GOOD.counts[0]!, { ...GOOD.counts[1]!, scanCpuUs: 16 }] }), ['after']);
    assert.deepEqual(failed({ flushed: { ...GOOD.flushed!, leftBytes: 320 * MIB } }), ['FLUSHALL']);
  });

  test('judges nothing by the clock while others use the machine', () => {
    const busy = { ...GOOD, isQuiet: false };
    assert.equal(verdictsOf(busy).filter(({ isQuiet }) => !isQuiet).length, 2);
    assert.match(formatVerdicts(verdictsOf(busy)), /^not judged {2}load: rate at the end 0\.50x/m);
    assert.match(formatLargeData(GOOD), /^tenth +5,000 +43\.0 +41\.0 .* 3\.0x +2:14$/m);
  });
});
