/** What Query and Scan ask, checked: which rows, from where, how many, and what is shown of them. */
import { type DynamoError, validationError } from '../errors/index.ts';
import {
  type BoundKeyCondition,
  bindKeyCondition,
  type Condition,
  checkFilterKeys,
  type Expressions,
  type KeyConditions,
  meetsRange,
  type Projection,
  pathsOf,
  QUERY,
  rangeOf,
  readExpressions,
  SCAN,
} from '../expressions/index.ts';
import {
  BASE_INDEX,
  globalIndexKey,
  globalIndexPrefix,
  itemPrefix,
  localIndexKey,
  localIndexPrefix,
  type RowRange,
  TOKEN_COUNT,
  tokenOf,
  tokenRange,
} from '../rows/index.ts';
import {
  type AnyIndex,
  attributesOf,
  isGlobal,
  type KeySchema,
  keyBytes,
  keyProblem,
  rowKeyOf,
  type TableDescriptor,
  tableNameOf,
} from '../tables/index.ts';
import { areEqual, type Item, keyComponent, prefixEnd, readItem, type ScalarValue } from '../values/index.ts';
import { SCHEMA_MISMATCH } from './key-errors.ts';
import type { QueryInput, ScanInput, Select } from './requests.ts';

const INVALID_START = 'The provided starting key is invalid';

/** A request without its table. */
export interface PagePlan {
  readonly name: string;
  readonly input: QueryInput | ScanInput;
  /** Undefined for a Scan. */
  readonly keyConditions: KeyConditions | undefined;
  readonly filter: Condition | undefined;
  readonly projection: Projection | undefined;
  readonly select: Select | undefined;
  readonly startKey: Item | undefined;
  readonly isReverse: boolean;
  /** A statement's condition may look at attributes of the key beside those that name it. */
  readonly mayFilterKeys?: boolean;
}

/** The rows that a request reads. */
export interface PageRange {
  readonly table: TableDescriptor;
  readonly index: AnyIndex | undefined;
  readonly range: RowRange;
  /** Token of the rows, whose fence is to be looked at; that of the start of a Scan. */
  readonly token: number;
  /** What is shown is in the table, not in the index. */
  readonly isFetched: boolean;
}

function planOf(input: QueryInput | ScanInput, expressions: Expressions, isReverse: boolean): PagePlan {
  const { Select: select, IndexName } = input;
  const { filter, projection, keyConditions } = expressions;
  if (select === 'ALL_PROJECTED_ATTRIBUTES' && IndexName === undefined) {
    throw validationError('ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName');
  }
  if (select === 'SPECIFIC_ATTRIBUTES' && projection === undefined) {
    throw validationError(
      'Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES',
    );
  }
  if (select !== undefined && select !== 'SPECIFIC_ATTRIBUTES' && projection !== undefined) {
    const member = input.ProjectionExpression === undefined ? 'AttributesToGet' : 'ProjectionExpression';
    throw validationError(
      `Cannot specify the ${member} when choosing to get ${select === 'COUNT' ? 'only the Count' : select}`,
    );
  }
  return {
    name: tableNameOf(input.TableName),
    input,
    keyConditions,
    filter,
    projection,
    select,
    startKey: input.ExclusiveStartKey === undefined ? undefined : readItem(input.ExclusiveStartKey),
    isReverse,
  };
}

/** @throws DynamoError */
export const planQuery = (input: QueryInput): PagePlan =>
  planOf(input, readExpressions(input, QUERY), input.ScanIndexForward === false);

/** @throws DynamoError */
export function planScan(input: ScanInput): PagePlan {
  const { Segment: segment, TotalSegments: total } = input;
  if (segment !== undefined && total === undefined) {
    throw validationError(
      'The TotalSegments parameter is required but was not present in the request when Segment parameter is present',
    );
  }
  if (segment === undefined && total !== undefined) {
    throw validationError(
      'The Segment parameter is required but was not present in the request when parameter TotalSegments is present',
    );
  }
  if (segment !== undefined && segment >= total!) {
    throw validationError(
      `The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: ${segment} is not less than TotalSegments: ${total}`,
    );
  }
  return planOf(input, readExpressions(input, SCAN), false);
}

/** The index that is asked for. @throws DynamoError when it is not there, or cannot answer so */
function indexOf(table: TableDescriptor, { input, select, projection }: PagePlan): AnyIndex | undefined {
  const name = input.IndexName;
  if (name === undefined) return undefined;
  const index: AnyIndex | undefined =
    table.localIndexes.find((one) => one.name === name) ?? table.globalIndexes.find((one) => one.name === name);
  if (index === undefined || (isGlobal(index) && index.state === 'DELETING')) {
    throw validationError(`The table does not have the specified index: ${name}`);
  }
  if (!isGlobal(index)) return index;
  if (index.state === 'CREATING') {
    throw validationError(`Cannot read from backfilling global secondary index: ${name}`);
  }
  if (input.ConsistentRead === true) {
    throw validationError('Consistent reads are not supported on global secondary indexes');
  }
  if (index.projection.kind !== 'ALL') {
    if (select === 'ALL_ATTRIBUTES') {
      throw validationError(
        'One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global secondary index ' +
          `${name} because its projection type is not ALL`,
      );
    }
    const names = projectedNames(table, index);
    const others = (projection?.paths ?? []).map(([first]) => first as string).filter((one) => !names.has(one));
    if (others.length > 0) {
      throw validationError(
        `One or more parameter values were invalid: Global secondary index ${name} does not project [${[...new Set(others)].join(', ')}]`,
      );
    }
  }
  return index;
}

function projectedNames(table: TableDescriptor, index: AnyIndex): Set<string> {
  const names = new Set([...attributesOf(table.key), ...attributesOf(index.key)].map(({ name }) => name));
  if (index.projection.kind === 'INCLUDE') for (const name of index.projection.names) names.add(name);
  return names;
}

/** Whether rows of a local index have not all that is asked for. */
function needsFetch(
  table: TableDescriptor,
  index: AnyIndex | undefined,
  { select, projection, filter }: PagePlan,
): boolean {
  if (index === undefined || isGlobal(index) || index.projection.kind === 'ALL') return false;
  if (select === 'ALL_ATTRIBUTES') return true;
  const names = projectedNames(table, index);
  // A filter that looks at more than the index has looks at the item too.
  const asked = [...(projection?.paths ?? []), ...(filter === undefined ? [] : pathsOf(filter))];
  return asked.some(([first]) => !names.has(first as string));
}

/** @throws DynamoError when the request does not fit the table */
export function rangeOfPlan(table: TableDescriptor, plan: PagePlan): PageRange {
  const index = indexOf(table, plan);
  const key = index?.key ?? table.key;
  const whole = plan.keyConditions === undefined ? scanRange(table, index, plan) : queryRange(table, index, key, plan);
  const isFetched = needsFetch(table, index, plan);
  const range = plan.startKey === undefined ? whole.range : restOf(table, index, plan, plan.startKey, whole);
  return { table, index, range, token: whole.token, isFetched };
}

interface WholeRange {
  readonly range: RowRange;
  readonly token: number;
  readonly bound: BoundKeyCondition | undefined;
}

function queryRange(table: TableDescriptor, index: AnyIndex | undefined, key: KeySchema, plan: PagePlan): WholeRange {
  const bound = bindKeyCondition(plan.keyConditions!, key);
  if (plan.filter !== undefined && plan.mayFilterKeys !== true) {
    const names = attributesOf(key).map(({ name }) => name);
    checkFilterKeys(plan.filter, names, plan.input.FilterExpression === undefined ? 'QueryFilter' : 'FilterExpression');
  }
  const hashKey = Buffer.concat(bound.hash.map(keyComponent));
  const prefix =
    index === undefined
      ? itemPrefix(table.id, hashKey)
      : isGlobal(index)
        ? globalIndexPrefix(table.id, index.number, hashKey)
        : localIndexPrefix(table.id, hashKey, index.number);
  const { start, end } = rangeOf(prefix, bound);
  return { range: { start, end: end ?? prefixEnd(prefix)! }, token: tokenOf(hashKey), bound };
}

/** The first token of a segment. */
const segmentStart = (segment: number, total: number): number => Math.ceil((segment * TOKEN_COUNT) / total);

function scanRange(table: TableDescriptor, index: AnyIndex | undefined, { input }: PagePlan): WholeRange {
  const { Segment: segment = 0, TotalSegments: total = 1 } = input as ScanInput;
  const from = segmentStart(segment, total);
  const number = index !== undefined && isGlobal(index) ? index.number : BASE_INDEX;
  return {
    range: tokenRange(table.id, number, from, segmentStart(segment + 1, total)),
    token: from % TOKEN_COUNT,
    bound: undefined,
  };
}

/** What is left of a range behind a start key. @throws DynamoError for keys that no page of the range can have ended with */
function restOf(
  table: TableDescriptor,
  index: AnyIndex | undefined,
  plan: PagePlan,
  startKey: Item,
  { range, bound }: WholeRange,
): RowRange {
  const row = startRow(table, index, startKey);
  if (bound !== undefined) checkQueryStart(index?.key ?? table.key, startKey, bound, table, index);
  const isInside = Buffer.compare(row, range.start) >= 0 && Buffer.compare(row, range.end) < 0;
  if (!isInside) {
    if (bound !== undefined) throw outsideQuery();
    const { Segment: segment = 0, TotalSegments: total = 1 } = plan.input as ScanInput;
    throw validationError(
      `${INVALID_START}: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. TotalSegments: ${total} Segment: ${segment}`,
    );
  }
  return plan.isReverse
    ? { start: range.start, end: row }
    : { start: Buffer.concat([row, Buffer.of(0)]), end: range.end };
}

const outsideQuery = (): DynamoError =>
  validationError('The provided starting key is outside query boundaries based on provided conditions');

/** The row that a start key names, whether it is there or not. @throws DynamoError */
export function startRow(table: TableDescriptor, index: AnyIndex | undefined, startKey: Item): Buffer {
  const schemas = index === undefined ? [table.key] : [index.key, table.key];
  const names = new Set(schemas.flatMap((schema) => attributesOf(schema).map(({ name }) => name)));
  if (startKey.size !== names.size) {
    throw validationError(index === undefined ? `${INVALID_START}: ${SCHEMA_MISMATCH}` : INVALID_START);
  }
  for (const schema of schemas) {
    if (keyProblem(schema, startKey) === undefined) continue;
    throw validationError(index === undefined ? `${INVALID_START}: ${SCHEMA_MISMATCH}` : INVALID_START);
  }
  const place = keyBytes(table.key, startKey);
  if (index === undefined) return rowKeyOf(table, place);
  const { hashKey, sortKey: indexSortKey } = keyBytes(index.key, startKey);
  return isGlobal(index)
    ? globalIndexKey(table.id, index.number, hashKey, { indexSortKey, ...place })
    : localIndexKey(table.id, place.hashKey, index.number, indexSortKey, place.sortKey);
}

function checkQueryStart(
  key: KeySchema,
  startKey: Item,
  bound: BoundKeyCondition,
  table: TableDescriptor,
  index: AnyIndex | undefined,
): void {
  if (index === undefined && table.key.range.length === 0) {
    throw validationError('The query can return at most one row and cannot be restarted');
  }
  for (const [at, { name }] of key.hash.entries()) {
    if (!areEqual(startKey.get(name)!, bound.hash[at]!)) throw outsideQuery();
  }
  for (const [at, { name }] of key.range.entries()) {
    const value = startKey.get(name) as ScalarValue;
    const asked = bound.range[at];
    const isMet =
      asked !== undefined
        ? areEqual(value, asked)
        : at > bound.range.length || bound.last === undefined || meetsRange(bound.last, value);
    if (!isMet) throw validationError('The provided starting key does not match the range key predicate');
  }
}
