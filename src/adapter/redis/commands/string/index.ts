/** Strings as bytes, numbers and texts: SET, GET and their kin, APPEND and ranges, INCR, LCS. */
import type { CommandSpec } from '../../command/index.ts';
import { lcsCommands } from './lcs.ts';
import { numberCommands } from './numbers.ts';
import { stringCommands as wholeStringCommands } from './strings.ts';
import { stringPartCommands } from './strings-parts.ts';

export { addLongDoubles, formatLongDouble, parseLongDouble, ZERO_LONG_DOUBLE } from './numbers-long-double.ts';

export const stringCommands: readonly CommandSpec[] = [
  ...wholeStringCommands,
  ...stringPartCommands,
  ...numberCommands,
  ...lcsCommands,
];
