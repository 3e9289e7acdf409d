import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FRAME_HEADER_BYTES, findFrame, type SegmentHeader, sealFrame } from '../../../src/raftengine/log/format.ts';

const KIB = 1024;
const SEGMENT: SegmentHeader = {
  sequence: 256,
  salt: 7,
  size: 256 * KIB,
  owner: 'ab'.repeat(16),
  isSealed: false,
  isMarked: false,
};

test('a frame is found wherever it lies behind what was never written', () => {
  // Around the ends of what is compared at a time, seen from either start.
  const places = [64 * KIB, 128 * KIB, 192 * KIB].flatMap((end) => [-24, -16, -8, 0, 8, 16].map((more) => end + more));
  for (const place of [8, ...places, 256 * KIB - 48]) {
    const frame = Buffer.alloc(FRAME_HEADER_BYTES + 16, 1);
    sealFrame(frame, SEGMENT, place);
    const bytes = Buffer.alloc(SEGMENT.size);
    frame.copy(bytes, place);
    for (const from of [0, 8, 24]) {
      const expected = from <= place ? place : undefined;
      assert.equal(findFrame(bytes, SEGMENT, from), expected, `at ${place} from ${from}`);
    }
  }
  assert.equal(findFrame(Buffer.alloc(SEGMENT.size), SEGMENT, 0), undefined);
});
