/** Sorted sets. */
import type { CommandSpec } from '../../command/index.ts';
import { addCommands } from './add.ts';
import { algebraCommands } from './algebra.ts';
import { blockingSortedSetCommands } from './blocking.ts';
import { memberCommands } from './members.ts';
import { popCommands } from './pops.ts';
import { randomCommands } from './random.ts';
import { rangeCommands } from './ranges.ts';
import { sortedSetScanCommands } from './scan.ts';

export { addMembers } from './add.ts';

export const sortedSetCommands: readonly CommandSpec[] = [
  ...addCommands,
  ...memberCommands,
  ...rangeCommands,
  ...popCommands,
  ...blockingSortedSetCommands,
  ...randomCommands,
  ...algebraCommands,
  ...sortedSetScanCommands,
];
