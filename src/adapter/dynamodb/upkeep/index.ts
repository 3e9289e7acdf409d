/**
 * What goes on behind the requests: items whose time is over are deleted, records of streams are put in order and go when they are old, segments follow
 * ranges to other groups, items are counted. `table-upkeep` goes round where `led-tables` finds something, `expiry-sweep`, `stream-upkeep`, `follow-ranges` and
 * `table-counts` are what it does.
 */

export { TableUpkeep } from './table-upkeep.ts';
