import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { groupId } from '../../../src/platform/index.ts';
import {
  FramesUnderWay,
  MAX_FRAMES_UNDER_WAY,
  type OrderedFrame,
} from '../../../src/raftengine/log/frames-under-way.ts';

const frame = (groups: readonly number[], traits: Partial<OrderedFrame> = {}): OrderedFrame => ({
  groups: new Set(groups.map((group) => groupId(group))),
  isMarked: true,
  isFirst: false,
  ...traits,
});

describe('frames under way', () => {
  test('are joined by one that has a group which waits for none of them', () => {
    const underWay = new FramesUnderWay();
    assert.equal(underWay.admits(frame([])), true);
    underWay.begin(frame([1, 2]));
    assert.equal(underWay.admits(frame([2])), false);
    assert.equal(underWay.admits(frame([1, 2])), false);
    assert.equal(underWay.admits(frame([2, 3])), true);
    assert.equal(underWay.admits(frame([])), false);
  });

  test('are joined by none without a mark, and by none that begins a segment, nor is such a one joined', () => {
    for (const alone of [frame([1], { isMarked: false }), frame([1], { isFirst: true })]) {
      const underWay = new FramesUnderWay();
      underWay.begin(frame([2]));
      assert.equal(underWay.admits(alone), false);
    }
    const underWay = new FramesUnderWay();
    underWay.begin(frame([1], { isFirst: true }));
    assert.equal(underWay.admits(frame([2])), false);
  });

  test('are stable with all before them, and have lanes of their own until then', () => {
    const underWay = new FramesUnderWay();
    const [one, two, three, four] = [frame([1]), frame([2]), frame([3]), frame([4])];
    assert.deepEqual(
      [one, two, three].map((next) => underWay.begin(next!)),
      [0, 1, 2],
    );
    assert.equal(underWay.admits(four!), false, `${MAX_FRAMES_UNDER_WAY} are enough`);
    assert.deepEqual(underWay.written(two!), []);
    assert.equal(underWay.oldest, one);
    assert.deepEqual(underWay.written(one!), [one, two]);
    assert.equal(underWay.admits(four!), true);
    assert.equal(underWay.begin(four!), 0);
    assert.deepEqual(underWay.written(three!), [three]);
  });

  test('are stable no more once one of them was given up', () => {
    const underWay = new FramesUnderWay();
    const [one, two] = [frame([1]), frame([2])];
    underWay.begin(one);
    underWay.begin(two);
    assert.deepEqual(underWay.giveUp(), [one, two]);
    assert.deepEqual(underWay.written(one), []);
    assert.equal(underWay.oldest, undefined);
  });
});
