/** Keys of whatever type: DEL, RENAME and their kin, expiries, OBJECT, and walks over all keys. */
import type { CommandSpec } from '../../command/index.ts';
import { dumpCommands } from './dump.ts';
import { expiryCommands } from './expiry.ts';
import { keyCommands } from './keys.ts';
import { objectCommands } from './object.ts';
import { scanCommands } from './scan.ts';

export { encodingOf, idleSeconds, memoryUsage, referencesOf } from './object.ts';
export { usageOf } from './usage.ts';

export const genericCommands: readonly CommandSpec[] = [
  ...keyCommands,
  ...expiryCommands,
  ...objectCommands,
  ...dumpCommands,
  ...scanCommands,
];
