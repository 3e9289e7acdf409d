/**
 * The table of all operations, and those that are about what is around tables: limits and endpoints, backups, exports and imports, insights, policies,
 * copies in other regions.
 */

export { operationTable } from './operation-table.ts';
export type { TableLookup } from './table-lookup.ts';
