/**
 * Databases whose rows are encrypted, keys and values, below everything that reads and writes them. `hidden-names` has the keys, `areas` the
 * forms that rows may have, `ordered-walk` finds them in order by what `branches` knows, `sealed-level` is the database.
 */

export { SealedLevel, SealedLevels, type SealedLevelsOptions } from './sealed-level.ts';
