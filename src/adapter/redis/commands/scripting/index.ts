/** Scripts: EVAL and its kin, and the scripts that are known by their SHA-1. */
import type { CommandSpec } from '../../command/index.ts';
import { evalCommands } from './eval.ts';
import { scriptCommands } from './script.ts';

export const scriptingCommands: readonly CommandSpec[] = [...evalCommands, ...scriptCommands];
