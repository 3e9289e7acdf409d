import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CrossGroupError, isCrossGroup } from '../../src/kv/contract/errors.ts';
import { decodeError, encodeError } from '../../src/kv/forward/forward-errors.ts';
import { dispositionOf, groupId, hasCode, hlcTimestamp, isOutcomeUnknown } from '../../src/platform/index.ts';
import { OutcomeUnknownError } from '../../src/raftengine/index.ts';
import { isSnapshotTooOld, SnapshotTooOldError } from '../../src/store/rows/errors.ts';

describe('an error', () => {
  const tooOld = new SnapshotTooOldError(hlcTimestamp(1n), hlcTimestamp(2n));
  const crossGroup = new CrossGroupError(groupId(1), groupId(2));

  test('is known for what it is here and after it came from another node', () => {
    for (const error of [tooOld, decodeError(encodeError(tooOld))]) {
      assert.ok(isSnapshotTooOld(error));
      assert.ok(!isCrossGroup(error));
      assert.ok(hasCode(error, 'CROSS_GROUP', 'SNAPSHOT_TOO_OLD'));
      assert.equal(dispositionOf(error), 'restart');
    }
    assert.ok(isCrossGroup(decodeError(encodeError(crossGroup))));
  });

  test('of no layer says nothing about what happened, and is not taken for one that a layer declares', () => {
    const error = Object.assign(new Error('boom'), { code: 'SNAPSHOT_TOO_OLD' });
    assert.equal(dispositionOf(error), undefined);
    assert.ok(!isSnapshotTooOld(error));
    assert.ok(!isOutcomeUnknown(error));
    assert.ok(isOutcomeUnknown(new OutcomeUnknownError('lost')));
  });
});
