/** Hashes: HSET, HGET and their kin, numbers in fields, fields by chance and scans. */
import type { CommandSpec } from '../../command/index.ts';
import { hashNumberCommands } from './hash-numbers.ts';
import { hashWalkCommands } from './hash-walks.ts';
import { hashFieldCommands } from './hashes.ts';

export const hashCommands: readonly CommandSpec[] = [...hashFieldCommands, ...hashNumberCommands, ...hashWalkCommands];
