import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatManyKeys, type LoadSample, verdictsOf } from '../../bench/many-keys-report.ts';
import { threadClock, timesBetween } from '../../bench/thread-cpu.ts';

const times = (main: number, pool: number) => ({ main, pool, leveldb: 0, v8: 0, other: 0 });
const sample = (build: LoadSample['build'], perSecond: number, us: number): LoadSample => ({
  build,
  load: 'setPipelined',
  perSecond,
  cpu: { leader: times(us, us / 2), follower: times(us / 4, us / 4) },
});
const QUIET = [
  sample('now', 90_000, 8),
  sample('now', 100_000, 8.8),
  sample('0.1.0', 30_000, 20),
  sample('redis', 200_000, 0),
];
const passedOf = (loads: readonly LoadSample[], text: string, isQuiet = true) => {
  const found = verdictsOf({ loads, pipes: [], isQuiet }).find((each) => each.text.startsWith(text));
  return found?.isQuiet === true ? found.passed : undefined;
};

test('bars are held against the release and redis', () => {
  assert.equal(passedOf(QUIET, 'SET, -P 16 >= 0.3x'), true);
  assert.equal(passedOf(QUIET, 'SET, -P 16, CPU of a leader'), true);
  assert.equal(passedOf([...QUIET, sample('0.1.0', 30_000, 16.5)], 'SET, -P 16, CPU of a follower'), true);
  assert.equal(
    passedOf([sample('now', 90_000, 18), sample('0.1.0', 90_000, 20)], 'SET, -P 16, CPU of a leader'),
    false,
  );
});

test('nothing is judged that was not measured, nor on a machine that is not quiet', () => {
  assert.equal(passedOf(QUIET, 'SET >= 0.45x'), undefined);
  assert.equal(passedOf([...QUIET, sample('now', 300_000, 8)], 'SET, -P 16 >= 0.3x'), undefined);
  assert.equal(passedOf(QUIET, 'SET, -P 16 >= 0.3x', false), undefined);
  assert.equal(passedOf(QUIET, 'SET, -P 16, CPU of a leader', false), true, "processor time is nobody else's");
});

test('the table shows the processor time of each kind of thread', () => {
  assert.match(
    formatManyKeys({ loads: QUIET, pipes: [], isQuiet: true }),
    /SET, -P 16\s+now\s+leader\s+12\.0 \/ 12\.6 \/ 13\.2\s+8\.4\s+4\.2\s+0\.0/,
  );
});

test('a million keys and what follows them', () => {
  const pipe = (build: 'now' | '0.1.0', seconds: number) => ({ build, seconds, p50Ms: 4, p99Ms: 39 });
  const pipes = [pipe('now', 20), pipe('0.1.0', 41)];
  const verdicts = verdictsOf({ loads: [], pipes, isQuiet: true });
  assert.deepEqual(
    verdicts.slice(-2).map(({ passed }) => passed),
    [true, true],
  );
});

test('threads of this process are told apart', { skip: process.platform !== 'linux' }, () => {
  const before = threadClock(process.pid);
  const kinds = new Set([...before.values()].map(({ kind }) => kind));
  assert.ok(kinds.has('main') && kinds.has('v8'));
  assert.equal(timesBetween(before, before, 10).main, 0);
});
