/** Lists: LPUSH, RPOP and their kin at the ends, LINDEX, LRANGE, LPOS and their kin at positions. */
export { listCommands } from './list-commands.ts';
