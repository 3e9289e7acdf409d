/** Sorted sets: members by name, and in the order of their scores. */

export { scoreBytesIn } from './large-order.ts';
export { newOrdered, OrderedBody, openOrdered, type RangeOptions, type ScoredMember } from './ordered-body.ts';
export type { LexBound, LexRange, OrderedRange, RankRange, ScoreBound, ScoreRange } from './ranges.ts';
export { memberOf, orderKey, scoreOf } from './score.ts';
