/** Which routes there are: nothing that was done before the question may be missing from the answer. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { WatchStatus } from '../../src/cluster/index.ts';
import { confirmedRoutes } from '../../src/node/confirmed-routes.ts';
import type { Scheduler } from '../../src/platform/index.ts';
import { ManualClock } from '../support/manual-time.ts';

/** @param beats when the catalog's leader was heard, and the version that it named then */
function asked(
  mode: WatchStatus['mode'],
  version: number,
  beats: readonly (readonly [atMs: number, version: number])[],
) {
  const clock = new ManualClock(0, 1_000);
  const scheduler = {
    after: (delayMs: number, callback: () => void) => {
      clock.advance(delayMs);
      setImmediate(callback);
      return () => undefined;
    },
  } as Scheduler;
  const status = (): WatchStatus => {
    const nowMs = clock.monotonicMs();
    const last = beats.findLast(([atMs]) => atMs <= nowMs);
    const lastBeat = last && { version: last[1], leaderTerm: 1, agoMs: nowMs - last[0] };
    return { version, mode, connectedTo: undefined, lastBeat, resets: 0, failures: 0, lastProblem: undefined };
  };
  return confirmedRoutes({ status, clock, scheduler });
}

describe('the confirmed version of the routes', () => {
  test('is what this node has, where it leads the catalog', async () => {
    assert.equal(await asked('local', 7, []), 7);
  });

  test('is what the leader names after the question, and not before', async () => {
    assert.equal(
      await asked('stream', 7, [
        [990, 8],
        [2_000, 9],
      ]),
      9,
    );
    assert.equal(await asked('stream', 7, [[1_400, 6]]), 7);
  });

  test('is nothing when nobody names one', async () => {
    await assert.rejects(asked('waiting', 7, [[990, 8]]), { code: 'LEADER_UNAVAILABLE' });
  });
});
