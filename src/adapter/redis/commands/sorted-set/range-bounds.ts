/** The ends of ranges as arguments spell them. */
import type { LexBound, LexRange, ScoreBound, ScoreRange } from '../../bodies/index.ts';
import { RedisError, readDoublePrefix } from '../../protocol/index.ts';

const OPEN = 0x28;
const BRACKET = 0x5b;
const PLUS = 0x2b;
const MINUS = 0x2d;
/** Where C takes a text to end. */
const END = '\0';

/** A score, in front of it `(` when it does not belong to the range. Read as C reads a text: nothing is 0, and a zero byte ends it. */
function parseScoreBound(argument: Buffer): ScoreBound | undefined {
  const isExclusive = argument[0] === OPEN;
  const [text = ''] = argument.toString('latin1', isExclusive ? 1 : 0).split(END, 1);
  const { value, length } = readDoublePrefix(text);
  return length !== text.length || Number.isNaN(value) ? undefined : { score: value, isExclusive };
}

/** `-`, `+`, `[member` or `(member`. */
function parseLexBound(argument: Buffer): LexBound | undefined {
  const [kind] = argument;
  if (kind === OPEN || kind === BRACKET) return { member: argument.subarray(1), isExclusive: kind === OPEN };
  const isAlone = argument.length === 1 || argument[1] === 0;
  if (kind === PLUS && isAlone) return 'last';
  return kind === MINUS && isAlone ? 'first' : undefined;
}

/** @throws RedisError */
export function scoreRange(lower: Buffer, upper: Buffer): ScoreRange {
  const [min, max] = [parseScoreBound(lower), parseScoreBound(upper)];
  if (min === undefined || max === undefined) throw new RedisError('ERR min or max is not a float');
  return { by: 'score', min, max };
}

/** @throws RedisError */
export function lexRange(lower: Buffer, upper: Buffer): LexRange {
  const [min, max] = [parseLexBound(lower), parseLexBound(upper)];
  if (min === undefined || max === undefined) throw new RedisError('ERR min or max not valid string range item');
  return { by: 'lex', min, max };
}
