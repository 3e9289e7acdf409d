/**
 * The sign of life of a node, one frame to each peer a few times per election timeout, whatever the number of groups:
 *
 *   frame  tag:u8  life:u64
 *
 * `life` changes with every start, and whenever the node gives up a replica that leads: a group that rests under that
 * leader must not go on resting.
 */
import type { Random } from '../platform/index.ts';
import { MalformedFrameError } from './errors.ts';

/** No version of a frame of messages has this first byte. */
const TAG = 0x81;
const BEAT_BYTES = 9;
const LIFE_BYTES = 6;

/** Draws an identity for a stretch of a process' life. */
export function newLife(random: Random): number {
  return random.bytes(LIFE_BYTES).readUIntBE(0, LIFE_BYTES);
}

/** True for a frame that is no batch of messages but a beat, however it goes on. */
export function isBeat(frame: Buffer): boolean {
  return frame[0] === TAG;
}

/** @param life from `newLife` */
export function encodeBeat(life: number): Buffer {
  const frame = Buffer.alloc(BEAT_BYTES);
  frame.writeUInt8(TAG, 0);
  frame.writeUIntBE(life, BEAT_BYTES - LIFE_BYTES, LIFE_BYTES);
  return frame;
}

/** @returns the sender's life. @throws MalformedFrameError */
export function decodeBeat(frame: Buffer): number {
  if (!isBeat(frame) || frame.length !== BEAT_BYTES || frame.readUInt16BE(1) !== 0) {
    throw new MalformedFrameError(`a beat of ${frame.length} bytes`);
  }
  return frame.readUIntBE(BEAT_BYTES - LIFE_BYTES, LIFE_BYTES);
}
