/** What is said of keys that do not fit. */
import { type DynamoError, validationError } from '../errors/index.ts';
import {
  attributesOf,
  type KeyBytes,
  type KeyProblem,
  type KeySchema,
  keyBytes,
  keyProblem,
  type TableDescriptor,
} from '../tables/index.ts';
import type { Item } from '../values/index.ts';

const INVALID = 'One or more parameter values were invalid: ';
const EMPTY = 'One or more parameter values are not valid. ';

const emptyKind = (type: string): string => (type === 'S' ? 'string' : 'binary');

function commonKeyError(problem: Extract<KeyProblem, { readonly kind: 'empty' | 'size' }>): DynamoError {
  const { attribute } = problem;
  if (problem.kind === 'empty') {
    return validationError(
      `${EMPTY}The AttributeValue for a key attribute cannot contain an empty ${emptyKind(attribute.type)} value. Key: ${attribute.name}`,
    );
  }
  return validationError(
    problem.isHash
      ? `${INVALID}Size of hashkey has exceeded the maximum size limit of2048 bytes`
      : `${INVALID}Aggregated size of all range keys has exceeded the size limit of 1024 bytes`,
  );
}

/** The place of an item that is put. @throws DynamoError */
export function placeOfItem({ key }: TableDescriptor, item: Item): KeyBytes {
  const problem = keyProblem(key, item);
  if (problem === undefined) return keyBytes(key, item);
  const { name, type } = problem.attribute;
  if (problem.kind === 'missing') throw validationError(`${INVALID}Missing the key ${name} in the item`);
  if (problem.kind === 'type') {
    throw validationError(`${INVALID}Type mismatch for key ${name} expected: ${type} actual: ${problem.found.type}`);
  }
  throw commonKeyError(problem);
}

export const SCHEMA_MISMATCH = 'The provided key element does not match the schema';

/** The place that a key names: all attributes of the table's key, and no others. @throws DynamoError */
export function placeOfKey({ key: schema }: TableDescriptor, key: Item): KeyBytes {
  if (!hasOnly(schema, key)) throw validationError(SCHEMA_MISMATCH);
  const problem = keyProblem(schema, key);
  if (problem === undefined) return keyBytes(schema, key);
  if (problem.kind === 'missing' || problem.kind === 'type') throw validationError(SCHEMA_MISMATCH);
  throw commonKeyError(problem);
}

const hasOnly = (schema: KeySchema, key: Item): boolean => key.size === attributesOf(schema).length;

/** A part of a key is empty: then the whole request is refused, whatever else it has. */
export const isEmptyKey = ({ message }: DynamoError): boolean => message.startsWith(EMPTY);

/** An attribute of an item cannot be part of an index's key. */
export function indexKeyError(problem: KeyProblem, index: { readonly name: string }, isUpdate: boolean): DynamoError {
  const { name, type } = problem.attribute;
  switch (problem.kind) {
    case 'missing':
    case 'type': {
      const found = problem.kind === 'type' ? problem.found.type : 'NULL';
      const what = `Type mismatch for Index Key ${name} Expected: ${type} Actual: ${found} IndexName: ${index.name}`;
      return validationError(
        isUpdate
          ? `The update expression attempted to update the secondary index key to unsupported type`
          : `${INVALID}${what}`,
      );
    }
    case 'empty': {
      const update = isUpdate
        ? 'The update expression attempted to update a secondary index key to a value that is not supported. '
        : '';
      return validationError(
        `${EMPTY}${update}The AttributeValue for a key attribute cannot contain an empty ${emptyKind(type)} value. IndexName: ${index.name}, IndexKey: ${name}`,
      );
    }
    case 'size':
      return commonKeyError(problem);
  }
}
