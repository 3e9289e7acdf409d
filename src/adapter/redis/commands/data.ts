/** The data commands: what works on keys through a view, one line a group. */
import type { CommandSpec } from '../command.ts';
import { bitfieldCommands } from './bitfield.ts';
import { bitCommands } from './bits.ts';
import { expiryCommands } from './expiry.ts';
import { keyCommands } from './keys.ts';
import { lcsCommands } from './lcs.ts';
import { numberCommands } from './numbers.ts';
import { objectCommands } from './object.ts';
import { stringCommands } from './strings.ts';
import { stringPartCommands } from './strings-parts.ts';

export const dataCommands: readonly CommandSpec[] = [
  ...stringCommands,
  ...stringPartCommands,
  ...numberCommands,
  ...lcsCommands,
  ...bitCommands,
  ...bitfieldCommands,
  ...keyCommands,
  ...expiryCommands,
  ...objectCommands,
];
