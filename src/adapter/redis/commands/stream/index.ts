/** Streams and consumer groups. */
import type { CommandSpec } from '../../command/index.ts';
import { claimCommands } from './claim.ts';
import { entryCommands } from './entries.ts';
import { groupCommands } from './groups.ts';
import { infoCommands } from './info.ts';
import { pendingCommands } from './pending.ts';
import { readCommands } from './read.ts';
import { restoreCommands } from './restore.ts';

export { restoreStream, streamToStore } from './stored-stream.ts';

export const streamCommands: readonly CommandSpec[] = [
  ...entryCommands,
  ...readCommands,
  ...groupCommands,
  ...pendingCommands,
  ...claimCommands,
  ...infoCommands,
  ...restoreCommands,
];
