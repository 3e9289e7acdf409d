import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { NotLeaderError } from '../../src/raftengine/errors.ts';
import { bytes } from '../support/lone-group.ts';
import {
  activate,
  captureOn,
  fence,
  incoming,
  isBusy,
  isElsewhere,
  release,
  SpanGroup,
  unfence,
} from './span-group.ts';

const WAIT_MS = 250;

const waiting = (): SpanGroup => new SpanGroup({ maxRangeWaitMs: WAIT_MS });

describe('A command that meets a range which is being handed over', () => {
  test('waits at the source and learns who has the range in the turn in which it is released', async () => {
    const bed = waiting();
    await bed.done(captureOn, fence);
    const write = bed.set('f', '1');
    const elsewhere = bed.set('a', '1');
    bed.settle();
    assert.equal(write.isDone, false);
    assert.equal(elsewhere.error, undefined, 'other ranges are served meanwhile');
    await bed.done(release);
    bed.settle();
    isElsewhere(write, 9);
  });

  test('waits at the destination and runs when the range is its own', async () => {
    const there = new SpanGroup({ owned: ['n', 'z'], maxRangeWaitMs: WAIT_MS });
    await there.done(incoming);
    const write = there.set('f', '1');
    const read = there.get('f');
    there.settle();
    assert.equal(write.isDone || read.isDone, false);
    await there.done(activate(there.stateMachine.maxTs));
    there.settle();
    assert.equal(write.error, undefined);
    assert.equal(read.reply, '1', 'they run in the order in which they came');
  });

  test('goes on where it was when the fence is lifted', async () => {
    const bed = waiting();
    await bed.done(captureOn, fence);
    const write = bed.set('f', '1');
    bed.settle();
    await bed.done(unfence);
    bed.settle();
    assert.equal(write.error, undefined);
  });

  test('is told after a while, together with all that wait behind it, and may wait again then', async () => {
    const bed = waiting();
    await bed.done(captureOn, fence);
    const first = bed.set('f', '1');
    bed.scheduler.advance(WAIT_MS - 10);
    const second = bed.set('f', '2');
    bed.settle();
    assert.equal(first.isDone || second.isDone, false);
    bed.scheduler.advance(10);
    isBusy(first);
    isBusy(second);
    const again = bed.set('f', '3');
    bed.settle();
    assert.equal(again.isDone, false);
  });

  test('waits no longer in all, however often it was woken', async () => {
    const bed = waiting();
    await bed.done(captureOn, fence);
    const write = bed.set('f', '1');
    for (let passed = 0; passed < WAIT_MS; passed += 50) {
      assert.equal(write.isDone, false, `${passed}`);
      await bed.done(fence);
      bed.scheduler.advance(50);
    }
    isBusy(write);
  });

  test('is sent to the next leader when this one is replaced', async () => {
    const bed = waiting();
    await bed.done(captureOn, fence);
    const write = bed.set('f', '1');
    bed.settle();
    bed.raft.stepDown();
    assert.ok(write.error instanceof NotLeaderError);
  });

  test('is told at once when too many wait', async () => {
    const bed = waiting();
    await bed.done(captureOn, fence);
    for (let at = 0; at < 10_000; at++) {
      bed.run((view) => view.delete(bytes('f')));
      if (at % 1_000 === 0) bed.scheduler.endTurn();
    }
    isBusy(bed.set('f', '1'));
  });
});
