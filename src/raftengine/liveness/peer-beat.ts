/**
 * The sign of life of a node, one frame to each peer a few times per election timeout, whatever the number of groups:
 *
 *   frame  tag:u8  life:u64  [clocks]
 *   clocks flags:u8  sentAt:f64  wall:f64  held:f64  echo:f64  kept:f64     flags bit 0: is off, bit 1: has held, bit 2: has echo
 *
 * `life` changes with every start, and whenever the node gives up a replica that leads: a group that rests under that
 * leader must not go on resting. `clocks` is what peers compare theirs with, see clock-exchange.ts; a node that compares
 * nothing leaves it out. Numbers that are absent are zero.
 */
import type { Random } from '../../platform/index.ts';
import { MalformedFrameError } from '../errors.ts';
import type { ClockStamp } from './clock-exchange.ts';

/** No version of a frame of messages has this first byte. */
const TAG = 0x81;
const BEAT_BYTES = 9;
const CLOCK_BYTES = 41;
const LIFE_BYTES = 6;
const IS_OFF = 1;
const HAS_HELD = 2;
const HAS_ECHO = 4;

/** What a beat says. */
export interface Beat {
  readonly life: number;
  /** Undefined from a node that compares no clocks. */
  readonly clocks: ClockStamp | undefined;
}

/** Draws an identity for a stretch of a process' life. */
export function newLife(random: Random): number {
  return random.bytes(LIFE_BYTES).readUIntBE(0, LIFE_BYTES);
}

/** True for a frame that is no batch of messages but a beat, however it goes on. */
export function isBeat(frame: Buffer): boolean {
  return frame[0] === TAG;
}

/** @param life from `newLife` */
export function encodeBeat(life: number, clocks?: ClockStamp): Buffer {
  const frame = Buffer.alloc(BEAT_BYTES + (clocks === undefined ? 0 : CLOCK_BYTES));
  frame.writeUInt8(TAG, 0);
  frame.writeUIntBE(life, BEAT_BYTES - LIFE_BYTES, LIFE_BYTES);
  if (clocks === undefined) return frame;
  const { isOff, heldMs, echo } = clocks;
  const flags = (isOff ? IS_OFF : 0) | (heldMs === undefined ? 0 : HAS_HELD) | (echo === undefined ? 0 : HAS_ECHO);
  let at = frame.writeUInt8(flags, BEAT_BYTES);
  for (const number of [clocks.sentAtMs, clocks.wallMs, heldMs ?? 0, echo?.sentAtMs ?? 0, echo?.keptMs ?? 0]) {
    at = frame.writeDoubleBE(number, at);
  }
  return frame;
}

/** @throws MalformedFrameError */
export function decodeBeat(frame: Buffer): Beat {
  const isWhole = frame.length === BEAT_BYTES || frame.length === BEAT_BYTES + CLOCK_BYTES;
  if (!isBeat(frame) || !isWhole || frame.readUInt16BE(1) !== 0) {
    throw new MalformedFrameError(`a beat of ${frame.length} bytes`);
  }
  const life = frame.readUIntBE(BEAT_BYTES - LIFE_BYTES, LIFE_BYTES);
  if (frame.length === BEAT_BYTES) return { life, clocks: undefined };
  const flags = frame.readUInt8(BEAT_BYTES);
  const number = (place: number): number => frame.readDoubleBE(BEAT_BYTES + 1 + 8 * place);
  const clocks: ClockStamp = {
    isOff: (flags & IS_OFF) !== 0,
    sentAtMs: number(0),
    wallMs: number(1),
    heldMs: (flags & HAS_HELD) === 0 ? undefined : number(2),
    echo: (flags & HAS_ECHO) === 0 ? undefined : { sentAtMs: number(3), keptMs: number(4) },
  };
  if (![0, 1, 2, 3, 4].every((place) => Number.isFinite(number(place))))
    throw new MalformedFrameError('a beat without time');
  return { life, clocks };
}
