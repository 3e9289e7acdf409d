/** Every command that the server knows: one line a file. */
import type { CommandSpec } from '../command.ts';
import { bitfieldCommands } from './bitfield.ts';
import { bitCommands } from './bits.ts';
import { clientCommands } from './client.ts';
import { clusterCommands } from './cluster.ts';
import { configCommands } from './config.ts';
import { connectionCommands } from './connection.ts';
import { diagnosticCommands } from './diagnostics.ts';
import { expiryCommands } from './expiry.ts';
import { failoverCommands } from './failover.ts';
import { introspectionCommands } from './introspection.ts';
import { keyCommands } from './keys.ts';
import { lcsCommands } from './lcs.ts';
import { numberCommands } from './numbers.ts';
import { objectCommands } from './object.ts';
import { scanCommands } from './scan.ts';
import { serverCommands } from './server.ts';
import { stringCommands } from './strings.ts';
import { stringPartCommands } from './strings-parts.ts';
import { transactionCommands } from './transactions.ts';

export const ALL_COMMANDS: readonly CommandSpec[] = [
  ...bitfieldCommands,
  ...bitCommands,
  ...clientCommands,
  ...clusterCommands,
  ...configCommands,
  ...connectionCommands,
  ...diagnosticCommands,
  ...expiryCommands,
  ...failoverCommands,
  ...introspectionCommands,
  ...keyCommands,
  ...lcsCommands,
  ...numberCommands,
  ...objectCommands,
  ...scanCommands,
  ...serverCommands,
  ...stringCommands,
  ...stringPartCommands,
  ...transactionCommands,
];
