/** Sets: SADD, SPOP and their kin over the members of one, SINTER, SUNION, SDIFF and their kin over several. */
export { setCommands } from './set-commands.ts';
