/** Every command that the server knows: one line a file. */
import type { CommandSpec } from '../command.ts';
import { connectionCommands } from './connection.ts';
import { dataCommands } from './data.ts';
import { scanCommands } from './scan.ts';
import { transactionCommands } from './transactions.ts';

export const ALL_COMMANDS: readonly CommandSpec[] = [
  ...dataCommands,
  ...connectionCommands,
  ...transactionCommands,
  ...scanCommands,
];
