import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MalformedFrameError } from '../../../src/raftengine/errors.ts';
import {
  BATCH_BYTES,
  encodeBatch,
  FrameAssembler,
  pieceHead,
  pieceOf,
} from '../../../src/raftengine/transport/peer-protocol.ts';
import { SendLane } from '../../../src/raftengine/transport/send-lane.ts';

const frameOf = (bytes: number, fill: number): Buffer => Buffer.alloc(bytes, fill);
const pieceAt = (frame: Buffer, offset: number): Buffer =>
  Buffer.concat([pieceHead(frame, offset), pieceOf(frame, offset)]);

/** Frames that come out at the other end of a lane whose call takes everything at once. */
function throughLane(frames: readonly Buffer[]): { readonly received: Buffer[]; readonly longestMessage: number } {
  const received: Buffer[] = [];
  const assembler = new FrameAssembler();
  let longestMessage = 0;
  const lane = new SendLane(64 * BATCH_BYTES, () => 0);
  for (const frame of frames) lane.push(frame);
  lane.attach({
    write(message, written) {
      longestMessage = Math.max(longestMessage, message.length);
      assembler.receive(message, (frame) => received.push(Buffer.from(frame)));
      written();
    },
  });
  assert.equal(lane.queuedBytes, 0);
  return { received, longestMessage };
}

test('frames of any length arrive whole and in order, in messages of bounded size', () => {
  const lengths = fc.array(fc.oneof(fc.integer({ min: 0, max: 2000 }), fc.integer({ min: 0, max: 3 * BATCH_BYTES })), {
    maxLength: 8,
  });
  fc.assert(
    fc.property(lengths, (sizes) => {
      const frames = sizes.map((bytes, at) => frameOf(bytes, at + 1));
      const { received, longestMessage } = throughLane(frames);
      assert.deepEqual(
        received.map((frame) => frame.length),
        sizes,
      );
      assert.ok(received.every((frame, at) => frame.equals(frames[at]!)));
      assert.ok(longestMessage <= BATCH_BYTES + 16);
    }),
    { numRuns: 30 },
  );
});

test('a lane that lost its connection in the middle of a long frame starts anew with whole frames', () => {
  const lane = new SendLane(64 * BATCH_BYTES, () => 0);
  lane.push(frameOf(5 * BATCH_BYTES, 1));
  lane.attach({ write: () => {} });
  lane.detach();
  const received: number[] = [];
  const assembler = new FrameAssembler();
  lane.push(frameOf(2 * BATCH_BYTES, 2));
  lane.attach({
    write(message, written) {
      assembler.receive(message, (frame) => received.push(frame.length));
      written();
    },
  });
  assert.deepEqual(received, [2 * BATCH_BYTES]);
});

test('pieces that do not continue their frame are refused', () => {
  const frame = frameOf(3 * BATCH_BYTES, 1);
  const none = (): void => assert.fail('no frame is complete');
  const begun = (): FrameAssembler => {
    const assembler = new FrameAssembler();
    assembler.receive(pieceAt(frame, 0), none);
    return assembler;
  };
  const broken: readonly Buffer[] = [
    pieceAt(frame, 2 * BATCH_BYTES),
    pieceAt(frame, 0),
    pieceAt(frameOf(4 * BATCH_BYTES, 1), BATCH_BYTES),
    encodeBatch([frameOf(1, 1)], 5),
    Buffer.from([2, 0, 0, 0, 1]),
  ];
  for (const message of broken) assert.throws(() => begun().receive(message, none), MalformedFrameError);
  const giant = pieceAt(frame, 0);
  giant.writeUInt32BE(0xffff_ffff, 1);
  assert.throws(() => new FrameAssembler().receive(giant, none), MalformedFrameError);
});
