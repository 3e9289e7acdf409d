/** Every command that the server knows: one line a file. */
import type { CommandSpec } from '../command.ts';

export const ALL_COMMANDS: readonly CommandSpec[] = [];
