/**
 * Parameters of the older kind, which came before expressions: they become the same trees. Their names are names of whole attributes, whatever
 * characters they have.
 */
import { validationError } from '../errors/index.ts';
import {
  type AttributeType,
  type AttributeValue,
  compareScalars,
  isScalar,
  type JsonMap,
  readValue,
  type WireAttributeValue,
} from '../values/index.ts';
import type { AttributeCondition, KeyConditions, KeyOperator } from './key-condition.ts';
import type { Comparator } from './syntax.ts';
import type { Condition, Operand, Projection, Update, UpdateAction } from './tree.ts';

export type ConditionalOperator = 'AND' | 'OR';

type ComparisonOperator =
  | 'EQ'
  | 'NE'
  | 'LE'
  | 'LT'
  | 'GE'
  | 'GT'
  | 'IN'
  | 'BETWEEN'
  | 'NULL'
  | 'NOT_NULL'
  | 'CONTAINS'
  | 'NOT_CONTAINS'
  | 'BEGINS_WITH';

/** A member of QueryFilter, ScanFilter and KeyConditions. */
export interface WireCondition {
  readonly ComparisonOperator: string;
  readonly AttributeValueList?: readonly WireAttributeValue[];
}

/** A member of Expected. */
export interface WireExpectation {
  readonly Value?: WireAttributeValue;
  readonly Exists?: boolean;
  readonly ComparisonOperator?: string;
  readonly AttributeValueList?: readonly WireAttributeValue[];
}

/** A member of AttributeUpdates. */
export interface WireAttributeUpdate {
  readonly Value?: WireAttributeValue;
  readonly Action?: string;
}

const PREFIX = 'One or more parameter values were invalid: ';
const invalid = (problem: string): Error => validationError(PREFIX + problem);

/** Least and most arguments. */
const ARGUMENT_COUNTS: Readonly<Record<ComparisonOperator, readonly [number, number]>> = {
  EQ: [1, 1],
  NE: [1, 1],
  LE: [1, 1],
  LT: [1, 1],
  GE: [1, 1],
  GT: [1, 1],
  IN: [1, Number.POSITIVE_INFINITY],
  BETWEEN: [2, 2],
  NULL: [0, 0],
  NOT_NULL: [0, 0],
  CONTAINS: [1, 1],
  NOT_CONTAINS: [1, 1],
  BEGINS_WITH: [1, 1],
};

const SCALARS: readonly AttributeType[] = ['S', 'N', 'B'];
/** Types of arguments; those that are not here take any. */
const ARGUMENT_TYPES: Readonly<Partial<Record<ComparisonOperator, readonly AttributeType[]>>> = {
  LE: SCALARS,
  LT: SCALARS,
  GE: SCALARS,
  GT: SCALARS,
  IN: SCALARS,
  BETWEEN: SCALARS,
  CONTAINS: SCALARS,
  NOT_CONTAINS: SCALARS,
  BEGINS_WITH: ['S', 'B'],
};

const COMPARATORS: Readonly<Partial<Record<ComparisonOperator, Comparator>>> = {
  EQ: '=',
  NE: '<>',
  LE: '<=',
  LT: '<',
  GE: '>=',
  GT: '>',
};

function checkArguments(operator: ComparisonOperator, values: readonly AttributeValue[]): void {
  const [least, most] = ARGUMENT_COUNTS[operator];
  if (values.length < least || values.length > most)
    throw invalid(`Invalid number of argument(s) for the ${operator} ComparisonOperator`);
  const [first] = values;
  if (values.some(({ type }) => type !== first!.type))
    throw invalid('AttributeValues inside AttributeValueList must be of same type');
  const types = ARGUMENT_TYPES[operator];
  if (first !== undefined && types !== undefined && !types.includes(first.type))
    throw invalid(`ComparisonOperator ${operator} is not valid for ${first.type} AttributeValue type`);
  const [low, high] = values;
  if (operator === 'BETWEEN' && isScalar(low!) && isScalar(high!) && compareScalars(low, high)! > 0)
    throw validationError(
      'The BETWEEN condition was provided a range where the lower bound is greater than the upper bound',
    );
}

function conditionOn(name: string, operator: ComparisonOperator, values: readonly AttributeValue[]): Condition {
  const operand: Operand = { kind: 'path', path: [name] };
  const [first, second] = values.map((value): Operand => ({ kind: 'value', value }));
  switch (operator) {
    case 'NOT_NULL':
      return { kind: 'exists', path: [name] };
    case 'NULL':
      return { kind: 'not', condition: { kind: 'exists', path: [name] } };
    case 'BETWEEN':
      return { kind: 'between', operand, low: first!, high: second! };
    case 'IN':
      return { kind: 'in', operand, members: values.map((value) => ({ kind: 'value', value })) };
    case 'CONTAINS':
      return { kind: 'contains', operand, part: first! };
    case 'NOT_CONTAINS':
      return { kind: 'not', condition: { kind: 'contains', operand, part: first! } };
    case 'BEGINS_WITH':
      return { kind: 'begins_with', operand, part: first! };
    default:
      return { kind: 'compare', comparator: COMPARATORS[operator]!, left: operand, right: first! };
  }
}

function joined(conditions: readonly Condition[], operator: ConditionalOperator | undefined): Condition | undefined {
  if (conditions.length === 0) {
    if (operator !== undefined) throw validationError('ConditionalOperator cannot be used without Filter or Expected');
    return undefined;
  }
  const kind = operator === 'OR' ? 'or' : 'and';
  // In halves, so that thousands of conditions are no deep tree.
  const join = (from: number, to: number): Condition => {
    if (to - from === 1) return conditions[from]!;
    const middle = (from + to) >>> 1;
    return { kind, left: join(from, middle), right: join(middle, to) };
  };
  return join(0, conditions.length);
}

const valuesOf = (list: readonly WireAttributeValue[] | undefined): AttributeValue[] =>
  (list ?? []).map((wire) => readValue(wire));

/** @throws DynamoError ValidationException */
export function readFilter(
  filter: JsonMap<WireCondition> | undefined,
  conditionalOperator: ConditionalOperator | undefined,
): Condition | undefined {
  const conditions = Object.keys(filter ?? {}).map((name) => {
    const { ComparisonOperator: operator, AttributeValueList: list } = filter![name]!;
    const values = valuesOf(list);
    checkArguments(operator as ComparisonOperator, values);
    return conditionOn(name, operator as ComparisonOperator, values);
  });
  return joined(conditions, conditionalOperator);
}

const KEY_OPERATORS: Readonly<Partial<Record<string, KeyOperator>>> = {
  EQ: '=',
  LE: '<=',
  LT: '<',
  GE: '>=',
  GT: '>',
  BETWEEN: 'between',
  BEGINS_WITH: 'begins_with',
};

/** @throws DynamoError ValidationException */
export function readKeyConditions(wire: JsonMap<WireCondition>): KeyConditions {
  const conditions = new Map<string, AttributeCondition>();
  for (const name of Object.keys(wire)) {
    const { ComparisonOperator: shown, AttributeValueList: list } = wire[name]!;
    const values = valuesOf(list);
    checkArguments(shown as ComparisonOperator, values);
    const operator = KEY_OPERATORS[shown];
    if (operator === undefined) throw validationError('Attempted conditional constraint is not an indexable operation');
    conditions.set(name, { operator, values });
  }
  return conditions;
}

function expectation(name: string, wire: WireExpectation): Condition {
  const { Value: value, Exists: exists, AttributeValueList: list } = wire;
  const operator = wire.ComparisonOperator as ComparisonOperator | undefined;
  if (list !== undefined && value !== undefined)
    throw invalid(`Value and AttributeValueList cannot be used together for Attribute: ${name}`);
  if (operator !== undefined) {
    if (exists !== undefined)
      throw invalid(`Exists and ComparisonOperator cannot be used together for Attribute: ${name}`);
    if (list === undefined && value === undefined && ARGUMENT_COUNTS[operator][0] > 0)
      throw invalid(
        `Value or AttributeValueList must be used with ComparisonOperator: ${operator} for Attribute: ${name}`,
      );
    const values = valuesOf(value === undefined ? list : [value]);
    checkArguments(operator, values);
    return conditionOn(name, operator, values);
  }
  if (list !== undefined)
    throw invalid(`AttributeValueList can only be used with a ComparisonOperator for Attribute: ${name}`);
  if (exists === false) {
    if (value !== undefined) throw invalid(`Value cannot be used when Exists is false for Attribute: ${name}`);
    return conditionOn(name, 'NULL', []);
  }
  if (value === undefined)
    throw invalid(`Value must be provided when Exists is ${exists ?? 'null'} for Attribute: ${name}`);
  return conditionOn(name, 'EQ', [readValue(value)]);
}

/** @throws DynamoError ValidationException */
export function readExpected(
  expected: JsonMap<WireExpectation> | undefined,
  conditionalOperator: ConditionalOperator | undefined,
): Condition | undefined {
  const conditions = Object.keys(expected ?? {}).map((name) => expectation(name, expected![name]!));
  return joined(conditions, conditionalOperator);
}

const ADDED: readonly AttributeType[] = ['N', 'SS', 'NS', 'BS', 'L'];
const DELETED: readonly AttributeType[] = ['SS', 'NS', 'BS'];

function updateAction(name: string, { Value: wire, Action: action = 'PUT' }: WireAttributeUpdate): UpdateAction {
  const path = [name];
  if (wire === undefined) {
    if (action !== 'DELETE') throw invalid('Only DELETE action is allowed when no attribute value is specified');
    return { kind: 'remove', path };
  }
  const value = readValue(wire);
  if (action === 'PUT') return { kind: 'set', path, value: { kind: 'value', value } };
  const isAdd = action === 'ADD';
  if (!(isAdd ? ADDED : DELETED).includes(value.type))
    throw invalid(`${action} action ${isAdd ? '' : 'with value '}is not supported for the type ${value.type}`);
  return { kind: isAdd ? 'add' : 'delete', path, value };
}

/** @throws DynamoError ValidationException */
export function readAttributeUpdates(updates: JsonMap<WireAttributeUpdate>): Update {
  const actions = Object.keys(updates).map((name) => updateAction(name, updates[name]!));
  return { actions, mismatch: 'Type mismatch for attribute to update' };
}

/** @throws DynamoError ValidationException */
export function readAttributesToGet(names: readonly string[]): Projection {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) throw invalid(`Duplicate value in attribute name: ${name}`);
    seen.add(name);
  }
  return { paths: names.map((name) => [name]) };
}
