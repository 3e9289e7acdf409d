/** Calls that bring along so much for one value that it is built aside, see `FillRule`. */
import { MAX_WHOLE_ROW_BYTES } from '../bodies/index.ts';
import type { FillRule } from '../command/index.ts';

/**
 * Arguments of a call that adds elements to one value in one entry: evaluating so many takes 50 ms of a leader, and each replica as long to write them.
 */
const MOST_ADDED_AT_ONCE = 16_384;

/** A rule for commands that write a string as a whole. @param at position of its bytes */
export const largeValueAt = (at: number): FillRule => ({
  replaces: true,
  isLarge: (args) => args.length > at && args[at]!.length > MAX_WHOLE_ROW_BYTES,
});

/** A rule for commands that add elements to a collection. */
export const MANY_ELEMENTS: FillRule = { replaces: false, isLarge: (args) => args.length > MOST_ADDED_AT_ONCE };

const OFTEN_CHANGED = 'as other large values are: TRYAGAIN when others change the key all the time meanwhile.';

/** What the declarations of commands with `MANY_ELEMENTS` differ in from Redis. */
export const MANY_ELEMENTS_DIFFER = `With more than ${MOST_ADDED_AT_ONCE} arguments, a collection that is not large yet is built aside, ${OFTEN_CHANGED}`;

/** And those with `largeValueAt`. */
export const LARGE_VALUE_DIFFERS = `A value of more than ${MAX_WHOLE_ROW_BYTES / 2 ** 20} MiB is built aside, ${OFTEN_CHANGED}`;
