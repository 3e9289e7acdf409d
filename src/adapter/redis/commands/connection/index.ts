/** The client's own connection: HELLO, AUTH, SELECT, CLIENT. */
import type { CommandSpec } from '../../command/index.ts';
import { clientCommands } from './client-commands.ts';
import { connectionCommands as ownCommands } from './connection.ts';

export { clientLine } from './client.ts';

export const connectionCommands: readonly CommandSpec[] = [...clientCommands, ...ownCommands];
