/** What ranges of a sorted set are, and the keys that they begin and end with. */
import { keyAboveScore, orderKey } from './score.ts';

/** An end of a range of scores. */
export interface ScoreBound {
  readonly score: number;
  readonly isExclusive: boolean;
}

/** An end of a range of members: before all, behind all, or at one. */
export type LexBound = 'first' | 'last' | { readonly member: Buffer; readonly isExclusive: boolean };

export interface ScoreRange {
  readonly by: 'score';
  readonly min: ScoreBound;
  readonly max: ScoreBound;
}

/** A range of members, for sets whose scores are all the same. */
export interface LexRange {
  readonly by: 'lex';
  readonly min: LexBound;
  readonly max: LexBound;
}

/** Positions from 0, both included; they need not exist. */
export interface RankRange {
  readonly by: 'rank';
  readonly from: number;
  readonly to: number;
}

export type OrderedRange = ScoreRange | LexRange | RankRange;

/** The keys from `lower` on and below `upper`. */
export interface KeyWindow {
  readonly lower: Buffer;
  readonly upper: Buffer;
}

const NO_MEMBER = Buffer.alloc(0);
const ZERO = Buffer.of(0);

/** The keys of a range of scores. */
export function scoreWindow({ min, max }: ScoreRange): KeyWindow {
  return {
    lower: min.isExclusive ? keyAboveScore(min.score) : orderKey(min.score, NO_MEMBER),
    upper: max.isExclusive ? orderKey(max.score, NO_MEMBER) : keyAboveScore(max.score),
  };
}

/** The keys of a range of members. @param score the one that all members have */
export function lexWindow({ min, max }: LexRange, score: number): KeyWindow {
  return { lower: lexKey(min, score, false), upper: lexKey(max, score, true) };
}

/** The first key behind an end: behind its member when that is to be left out below, or kept above. */
function lexKey(bound: LexBound, score: number, isUpper: boolean): Buffer {
  if (bound === 'first') return orderKey(score, NO_MEMBER);
  if (bound === 'last') return keyAboveScore(score);
  const isBehind = bound.isExclusive !== isUpper;
  return orderKey(score, isBehind ? Buffer.concat([bound.member, ZERO]) : bound.member);
}

/** Whether a member is not before the lower end of a range. */
export function isAtLeast(member: Buffer, min: LexBound): boolean {
  if (typeof min === 'string') return min === 'first';
  const order = Buffer.compare(member, min.member);
  return min.isExclusive ? order > 0 : order >= 0;
}

/** Whether a member is not behind the upper end of a range. */
export function isAtMost(member: Buffer, max: LexBound): boolean {
  if (typeof max === 'string') return max === 'last';
  const order = Buffer.compare(member, max.member);
  return max.isExclusive ? order < 0 : order <= 0;
}
