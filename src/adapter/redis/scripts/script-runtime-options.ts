/** What scripts and functions run with. */
import type { Clock, Random } from '../../../platform/index.ts';
import type { CommandTable, LibraryLender } from '../command/index.ts';
import type { LuaLimits } from '../lua/index.ts';

export interface ScriptRuntimeOptions {
  /** The commands that scripts may call. */
  readonly table: CommandTable;
  readonly random: Random;
  readonly clock: Clock;
  readonly limits: LuaLimits;
  /** Copies of libraries that another group has; left out: they are read with the keys of a call. */
  copies?(): LibraryLender | undefined;
}
