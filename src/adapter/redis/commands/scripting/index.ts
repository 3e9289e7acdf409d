/** Scripts: EVAL and its kin, the scripts that are known by their SHA-1, and libraries of functions. */
import type { CommandSpec } from '../../command/index.ts';
import { evalCommands } from './eval.ts';
import { fcallCommands } from './fcall.ts';
import { functionCommands } from './function.ts';
import { scriptCommands } from './script.ts';

export const scriptingCommands: readonly CommandSpec[] = [
  ...evalCommands,
  ...scriptCommands,
  ...fcallCommands,
  ...functionCommands,
];
