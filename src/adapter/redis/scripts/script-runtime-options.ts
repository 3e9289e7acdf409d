/** What scripts and functions run with. */
import type { Random } from '../../../platform/index.ts';
import type { CommandTable } from '../command/index.ts';
import type { LuaLimits } from '../lua/index.ts';

export interface ScriptRuntimeOptions {
  /** The commands that scripts may call. */
  readonly table: CommandTable;
  readonly random: Random;
  readonly limits: LuaLimits;
}
