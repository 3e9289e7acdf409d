/** A statement of a request, read; and what it is for a table that is known. */
import { createHash } from 'node:crypto';
import { DynamoError, validationError } from '../errors/index.ts';
import type { Condition, KeySchemaAttributes } from '../expressions/index.ts';
import type { ItemChange, PagePlan, ReturnConsumedCapacity } from '../items/index.ts';
import { keyOfWhere, parseStatement, type SelectStatement, type Statement, splitCondition } from '../partiql/index.ts';
import type { TableDescriptor } from '../tables/index.ts';
import { type AttributeValue, readItem, readValue, type WireAttributeValue, type WireItem } from '../values/index.ts';

const MAX_STATEMENT_CHARACTERS = 8192;

/** A statement as requests have it. */
export interface WireStatement {
  readonly Statement: string;
  readonly Parameters?: readonly WireAttributeValue[];
  readonly ConsistentRead?: boolean;
  readonly ReturnValuesOnConditionCheckFailure?: 'ALL_OLD' | 'NONE';
}

/** What a page of a SELECT is asked with. */
export interface PageOptions {
  readonly ConsistentRead?: boolean;
  readonly Limit?: number;
  readonly NextToken?: string;
  readonly ReturnConsumedCapacity?: ReturnConsumedCapacity;
}

export interface PlannedStatement {
  readonly statement: Statement;
  readonly wire: WireStatement;
}

/** Statements that change nothing. */
export const isRead = ({ statement }: PlannedStatement): boolean => statement.kind === 'select';

/** @throws DynamoError ValidationException */
export function planStatement(wire: WireStatement): PlannedStatement {
  const { Statement: text, Parameters: parameters = [] } = wire;
  if (text.length > MAX_STATEMENT_CHARACTERS)
    throw validationError(`Statement exceeds the maximum length of ${MAX_STATEMENT_CHARACTERS}`);
  const values: AttributeValue[] = parameters.map((parameter) => readValue(parameter));
  return { statement: parseStatement(text, values), wire };
}

/** The answer to an INSERT of what is there. */
export const duplicateItem = (): DynamoError =>
  new DynamoError('DuplicateItemException', 'Duplicate primary key exists in table');

const both = (left: Condition, right: Condition | undefined): Condition =>
  right === undefined ? left : { kind: 'and', left, right };

/**
 * What a statement does to one item of its table.
 * @throws DynamoError ValidationException when it does not name one
 */
export function changeOf({ statement, wire }: PlannedStatement, table: TableDescriptor): ItemChange {
  const returnsItem = wire.ReturnValuesOnConditionCheckFailure === 'ALL_OLD';
  const exists: Condition = { kind: 'exists', path: [table.key.hash[0]!.name] };
  const change = { update: undefined, returnsItem };
  if (statement.kind === 'insert')
    return { ...change, kind: 'put', item: statement.item, condition: { kind: 'not', condition: exists } };
  if (statement.kind === 'select') throw validationError('A statement that selects changes nothing');
  const { key, rest } = keyOfWhere(statement.where, table.key);
  switch (statement.kind) {
    case 'update':
      return { ...change, kind: 'update', item: key, condition: both(exists, rest), update: statement.update };
    case 'delete':
      return { ...change, kind: 'delete', item: key, condition: rest };
    case 'exists':
      return { ...change, kind: 'check', item: key, condition: both(exists, rest) };
  }
}

function schemaOf(table: TableDescriptor, { index }: SelectStatement): KeySchemaAttributes {
  const found = [...table.localIndexes, ...table.globalIndexes].find(({ name }) => name === index);
  return found?.key ?? table.key;
}

/** What a token of one statement stands for: where its next page begins. */
interface Continuation {
  readonly key: WireItem;
  readonly statement: string;
}

/** Statements with their parameters, told apart. */
const digestOf = ({ wire: { Statement: text, Parameters: parameters } }: PlannedStatement): string =>
  createHash('sha256')
    .update(JSON.stringify([text, parameters ?? []]))
    .digest('base64url')
    .slice(0, 22);

/** As clients carry it to the next page. */
export function nextToken(planned: PlannedStatement, key: WireItem): string {
  const continuation: Continuation = { key, statement: digestOf(planned) };
  return Buffer.from(JSON.stringify(continuation), 'utf8').toString('base64url');
}

function startKeyOf(planned: PlannedStatement, token: string): PagePlan['startKey'] {
  const wrong = (): DynamoError => validationError('NextToken does not match request');
  try {
    const { key, statement } = JSON.parse(Buffer.from(token, 'base64url').toString('utf8')) as Continuation;
    if (statement !== digestOf(planned)) throw wrong();
    return readItem(key);
  } catch {
    throw wrong();
  }
}

/**
 * What a SELECT reads of its table: a partition of it or of an index when its condition names one, else everything.
 * @throws DynamoError ValidationException
 */
export function pageOf(planned: PlannedStatement, table: TableDescriptor, options: PageOptions): PagePlan {
  const statement = planned.statement as SelectStatement;
  const { where, order, index, projection } = statement;
  const schema = schemaOf(table, statement);
  const { keyConditions, rest } =
    where === undefined ? { keyConditions: undefined, rest: undefined } : splitCondition(where, schema);
  if (order !== undefined) {
    if (where === undefined)
      throw validationError('Must have WHERE clause in the statement when using ORDER BY clause.');
    if (keyConditions === undefined)
      throw validationError(
        'Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.',
      );
    if (![...schema.hash, ...schema.range].some(({ name }) => name === order.name))
      throw validationError(`Variable reference ${order.name} in ORDER BY clause must be part of the primary key`);
  }
  const { ConsistentRead, Limit, NextToken: token, ReturnConsumedCapacity } = options;
  return {
    name: table.name,
    input: { TableName: table.name, IndexName: index, ConsistentRead, Limit, ReturnConsumedCapacity },
    keyConditions,
    filter: rest,
    projection,
    select: undefined,
    startKey: token === undefined ? undefined : startKeyOf(planned, token),
    isReverse: order?.isDescending === true && schema.range.some(({ name }) => name === order.name),
    mayFilterKeys: true,
  };
}

/**
 * The key of the one item that a SELECT names.
 * @throws DynamoError ValidationException when it names no item, or asks for more than its key
 */
export function keyOfSelect(
  { statement }: PlannedStatement,
  table: TableDescriptor,
  where: string,
): ReturnType<typeof keyOfWhere> {
  const { where: condition, index } = statement as SelectStatement;
  const wrong = (): DynamoError =>
    validationError(`Select statements within ${where} must specify the primary key in the where clause.`);
  if (condition === undefined || index !== undefined) throw wrong();
  try {
    return keyOfWhere(condition, table.key);
  } catch {
    throw wrong();
  }
}
