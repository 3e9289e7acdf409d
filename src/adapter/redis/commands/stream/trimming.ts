/** How XADD and XTRIM say what is to be removed. */
import type { Kept, TrimEffort } from '../../bodies/index.ts';
import { errors, optionName, RedisError, requirePosition } from '../../protocol/index.ts';
import { type GivenId, idArgument, isSign, newIdArgument } from './ids.ts';

/** Entries that a trim that is not exact removes at most, unless it is told otherwise. */
const USUAL_LIMIT = 10_000;

export interface Trimming {
  readonly kept: Kept;
  readonly effort: TrimEffort;
}

/** What stands in front of the fields of XADD, and all of XTRIM. */
export interface TrimArguments {
  readonly trimming: Trimming | undefined;
  readonly mayNotCreate: boolean;
  /** Undefined when the server is to choose it. */
  readonly id: GivenId | undefined;
  /** Position of the id; behind the end when there is none. */
  readonly at: number;
}

/** An integer that is not negative; what is beyond the safe integers is brought to the nearest. @throws RedisError */
function countOf(name: string, argument: Buffer): number {
  const count = requirePosition(argument);
  if (count < 0) throw new RedisError(`ERR The ${name} argument must be >= 0.`);
  return count;
}

/** @param isAdding whether an id ends them @throws RedisError */
export function parseTrimming(args: readonly Buffer[], isAdding: boolean): TrimArguments {
  let kept: Kept | undefined;
  let isExact = true;
  let limit: number | undefined;
  let mayNotCreate = false;
  let id: GivenId | undefined;
  let at = 2;
  for (; at < args.length; at++) {
    const argument = args[at]!;
    const name = optionName(argument);
    const left = args.length - 1 - at;
    if (isAdding && isSign(argument, '*')) break;
    if ((name === 'MAXLEN' || name === 'MINID') && left > 0) {
      if (kept !== undefined)
        throw new RedisError('ERR syntax error, MAXLEN and MINID options at the same time are not compatible');
      isExact = !(left >= 2 && isSign(args[at + 1]!, '~'));
      if (!isExact || (left >= 2 && isSign(args[at + 1]!, '='))) at++;
      const threshold = args[++at]!;
      kept = name === 'MAXLEN' ? { atMost: countOf(name, threshold) } : { from: idArgument(threshold) };
    } else if (name === 'LIMIT' && left > 0) limit = countOf(name, args[++at]!);
    else if (isAdding && name === 'NOMKSTREAM') mayNotCreate = true;
    else if (isAdding) {
      id = newIdArgument(argument);
      break;
    } else throw errors.syntax();
  }
  const trimming = trimmingOf(kept, isExact, limit, isAdding);
  return { trimming, mayNotCreate, id, at };
}

/** @throws RedisError */
function trimmingOf(
  kept: Kept | undefined,
  isExact: boolean,
  limit: number | undefined,
  isAdding: boolean,
): Trimming | undefined {
  if (kept === undefined && limit !== undefined && limit > 0)
    throw new RedisError('ERR syntax error, LIMIT cannot be used without specifying a trimming strategy');
  if (kept === undefined && !isAdding)
    throw new RedisError('ERR syntax error, XTRIM must be called with a trimming strategy');
  if (isExact && limit !== undefined)
    throw new RedisError('ERR syntax error, LIMIT cannot be used without the special ~ option');
  return kept && { kept, effort: isExact ? 'exact' : { atMost: limit ?? USUAL_LIMIT } };
}
