/** Positions on the earth, kept as scores of sorted sets. */
import type { CommandSpec } from '../../command/index.ts';
import { positionCommands } from './positions.ts';
import { searchCommands } from './search.ts';

export const geoCommands: readonly CommandSpec[] = [...positionCommands, ...searchCommands];
