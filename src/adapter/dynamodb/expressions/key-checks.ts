/** What expressions may do with the attributes of keys. */
import { validationError } from '../errors/index.ts';
import { type Condition, type DocumentPath, pathsOf, type Update } from './tree.ts';

function checkScalars(paths: readonly DocumentPath[], names: readonly string[], what: 'Key' | 'IndexKey'): void {
  const wrong = paths.find((path) => path.length > 1 && names.includes(path[0] as string));
  if (wrong !== undefined)
    throw validationError(
      "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: " +
        `${what}: ${wrong[0]}`,
    );
}

/** Names of the attributes of a table's key, and of all its indexes' keys. */
export interface KeyNames {
  readonly table: readonly string[];
  readonly indexes: readonly string[];
}

/**
 * Refuses conditions that look into key attributes.
 * @throws DynamoError ValidationException
 */
export function checkConditionKeys(condition: Condition, { table, indexes }: KeyNames): void {
  const paths = pathsOf(condition);
  checkScalars(paths, table, 'Key');
  checkScalars(paths, indexes, 'IndexKey');
}

/**
 * Refuses updates of the table's key, and those that look into keys of indexes.
 * @throws DynamoError ValidationException
 */
export function checkUpdateKeys({ actions }: Update, { table, indexes }: KeyNames): void {
  const paths = actions.map(({ path }) => path);
  const changed = paths.find(([name]) => table.includes(name as string));
  if (changed !== undefined)
    throw validationError(
      `One or more parameter values were invalid: Cannot update attribute ${changed[0]}. This attribute is part of the key`,
    );
  checkScalars(paths, indexes, 'IndexKey');
}

/**
 * Refuses filters of a Query that look at attributes of the key that is asked.
 * @param keys of the table or index
 * @param member as the request calls the filter
 * @throws DynamoError ValidationException
 */
export function checkFilterKeys(
  filter: Condition,
  keys: readonly string[],
  member: 'FilterExpression' | 'QueryFilter',
): void {
  const found = pathsOf(filter).find(([name]) => keys.includes(name as string));
  if (found === undefined) return;
  const shown = member === 'FilterExpression' ? 'Filter Expression' : member;
  throw validationError(`${shown} can only contain non-primary key attributes: Primary key attribute: ${found[0]}`);
}
