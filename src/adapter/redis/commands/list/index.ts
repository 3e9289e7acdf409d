/** Lists: LPUSH, RPOP and their kin at the ends, those that wait, LINDEX, LRANGE, LPOS and their kin at positions. */
import type { CommandSpec } from '../../command/index.ts';
import { blockingListCommands } from './blocking.ts';
import { listCommands as plainListCommands } from './list-commands.ts';

export const listCommands: readonly CommandSpec[] = [...plainListCommands, ...blockingListCommands];
