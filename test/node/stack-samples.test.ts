import assert from 'node:assert/strict';
import type { Profiler } from 'node:inspector';
import { describe, test } from 'node:test';
import { InspectorSampler, placeIn } from '../../src/node/stack-samples.ts';
import { ManualClock, ManualScheduler } from '../support/manual-time.ts';

const frame = (functionName: string, url = ''): Profiler.ProfileNode['callFrame'] => ({
  functionName,
  scriptId: '1',
  url,
  lineNumber: 9,
  columnNumber: 0,
});

const FILE = 'file:///kvorum/src/kv/apply/state-machine.ts';

/** root > main > (work > (left, right)), and idle; a sample a millisecond. */
const profileOf = (...samples: number[]): Profiler.Profile => ({
  nodes: [
    { id: 1, callFrame: frame('(root)'), children: [2, 6] },
    { id: 2, callFrame: frame('main', FILE), children: [3] },
    { id: 3, callFrame: frame('work', FILE), children: [4, 5] },
    { id: 4, callFrame: frame('left', FILE) },
    { id: 5, callFrame: frame('', FILE) },
    { id: 6, callFrame: frame('(idle)') },
  ],
  startTime: 0,
  endTime: samples.length * 1_000,
  samples,
  timeDeltas: samples.map(() => 1_000),
});

describe('what samples of a stack say', () => {
  test('is the way that most of them have in common, and where the most ended', () => {
    const place = placeIn(profileOf(4, 4, 5, 5, 3), 10);
    const at = (name: string): string => `${name} src/kv/apply/state-machine.ts:10`;
    assert.equal(
      place,
      `${at('work')} < ${at('main')}; most in ${at('left')} 40 %, ${at('(anonymous)')} 40 %, ${at('work')} 20 %`,
    );
  });

  test('counts the last milliseconds only, and no idle ones', () => {
    assert.match(placeIn(profileOf(5, 5, 5, 5, 6, 4, 4), 2.5)!, /^left .*most in left \S+ 100 %$/);
    assert.equal(placeIn(profileOf(4, 4, 6, 6), 1.5), undefined);
  });
});

describe('the sampler of a thread', () => {
  test('finds where the thread has been, again and again, and throws old samples away', async () => {
    const scheduler = new ManualScheduler(new ManualClock());
    const sampler = new InspectorSampler(scheduler);
    try {
      for (let round = 0; round < 2; round++) {
        const until = process.threadCpuUsage().user + 40_000;
        while (process.threadCpuUsage().user < until);
        const place = await new Promise<string | undefined>((resolve) => sampler.where(60_000, resolve));
        assert.match(place ?? '', /stack-samples\.test\.ts|threadCpuUsage/);
        scheduler.advance(120_000);
        assert.equal(scheduler.pendingTimers, 1);
      }
    } finally {
      sampler.stop();
    }
    assert.equal(scheduler.pendingTimers, 0);
  });
});
