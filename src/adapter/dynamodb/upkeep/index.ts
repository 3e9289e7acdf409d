/**
 * What goes on behind the requests: items whose time is over are deleted, records of streams are put in order and go when they are old. `table-upkeep`
 * goes round, `expiry-sweep` and `stream-upkeep` are what it does.
 */

export { TableUpkeep } from './table-upkeep.ts';
