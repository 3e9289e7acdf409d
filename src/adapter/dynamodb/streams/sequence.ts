/**
 * Places in a shard: the commit timestamp of a change, then a number that tells changes of one timestamp apart. As sequence numbers they are decimals of
 * one length, so that they rise as texts too.
 */
import { type HlcTimestamp, hlcTimestamp } from '../../../platform/index.ts';
import { validationError } from '../errors/index.ts';

const TS_DIGITS = 20;
const NUMBER_DIGITS = 10;
/** Numbers are below this. */
export const NUMBERS = 2 ** 32;
const SEQUENCE = /^1(\d{20})(\d{10})$/;

export interface Place {
  readonly ts: HlcTimestamp;
  readonly number: number;
}

/** Below, at or above zero. */
export function comparePlaces(a: Place, b: Place): number {
  if (a.ts !== b.ts) return a.ts < b.ts ? -1 : 1;
  return a.number - b.number;
}

/** The later of two places. */
export const later = (one: Place, other: Place): Place => (comparePlaces(one, other) < 0 ? other : one);

/** The place behind which everything has a later timestamp. */
export const endOf = (ts: HlcTimestamp): Place => ({ ts, number: NUMBERS - 1 });

/** The first place of a timestamp. */
export const startOf = (ts: HlcTimestamp): Place => ({ ts, number: 0 });

/** The place right behind another one. */
export const behind = ({ ts, number }: Place): Place =>
  number < NUMBERS - 1 ? { ts, number: number + 1 } : { ts: hlcTimestamp(ts + 1n), number: 0 };

/** As clients see it. */
export const sequenceNumber = ({ ts, number }: Place): string =>
  `1${String(ts).padStart(TS_DIGITS, '0')}${String(number).padStart(NUMBER_DIGITS, '0')}`;

/** @throws DynamoError ValidationException for what no record can have */
export function placeOf(sequence: string): Place {
  const match = SEQUENCE.exec(sequence);
  const ts = match === null ? 0n : BigInt(match[1]!);
  const number = match === null ? NUMBERS : Number(match[2]!);
  if (ts >= 1n << 64n || number >= NUMBERS) throw validationError(`Invalid SequenceNumber: ${sequence}`);
  return { ts: hlcTimestamp(ts), number };
}
