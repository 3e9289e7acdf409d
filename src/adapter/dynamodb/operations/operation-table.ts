/** All operations by name. A name that is not here is answered as the service answers one that it does not know. */
import { assert } from '../../../platform/index.ts';
import type { AnyOperation } from '../operation/index.ts';
import { ACCOUNT_OPERATIONS } from './account.ts';
import { backupOperations } from './backups.ts';
import { surroundingOperations } from './surroundings.ts';
import type { TableLookup } from './table-lookup.ts';

/**
 * @param lookUp for operations around tables
 * @param others of tables, items and streams
 */
export function operationTable(
  lookUp: TableLookup,
  others: readonly AnyOperation[],
): ReadonlyMap<string, AnyOperation> {
  const table = new Map<string, AnyOperation>();
  for (const operation of [
    ...ACCOUNT_OPERATIONS,
    ...backupOperations(lookUp),
    ...surroundingOperations(lookUp),
    ...others,
  ]) {
    assert(!table.has(operation.name), `${operation.name} is declared once`);
    table.set(operation.name, operation);
  }
  return table;
}
