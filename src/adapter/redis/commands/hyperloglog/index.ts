/** Sketches of sets that count different elements with an error of 0.81 %, in 12 KiB at most: PFADD, PFCOUNT, PFMERGE and a look inside. */
import type { CommandSpec } from '../../command/index.ts';
import { sketchDebugCommands } from './sketch-debug.ts';
import { sketchCommands } from './sketches.ts';

export const hyperLogLogCommands: readonly CommandSpec[] = [...sketchCommands, ...sketchDebugCommands];
