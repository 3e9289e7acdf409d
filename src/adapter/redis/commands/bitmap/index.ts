/** Strings as bits: SETBIT, BITCOUNT, BITPOS, BITOP, BITFIELD. */
import type { CommandSpec } from '../../command/index.ts';
import { bitfieldCommands } from './bitfield.ts';
import { bitCommands } from './bits.ts';

export const bitmapCommands: readonly CommandSpec[] = [...bitCommands, ...bitfieldCommands];
