/** Hashes: HSET, HGET and their kin, numbers in fields, fields by chance and scans, fields that expire. */
import type { CommandSpec } from '../../command/index.ts';
import { expiringValueCommands } from './expiring-values.ts';
import { fieldExpiryCommands } from './field-expiry.ts';
import { hashNumberCommands } from './hash-numbers.ts';
import { hashWalkCommands } from './hash-walks.ts';
import { hashFieldCommands } from './hashes.ts';

export const hashCommands: readonly CommandSpec[] = [
  ...hashFieldCommands,
  ...hashNumberCommands,
  ...hashWalkCommands,
  ...fieldExpiryCommands,
  ...expiringValueCommands,
];
