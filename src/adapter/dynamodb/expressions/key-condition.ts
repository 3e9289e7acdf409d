/**
 * Key conditions: what they may consist of, what they mean for the key of a table or index, and the range of rows that meets them.
 */
import { validationError } from '../errors/index.ts';
import {
  type AttributeValue,
  compareScalars,
  isScalar,
  keyComponent,
  keyComponentPrefix,
  prefixEnd,
  type ScalarValue,
} from '../values/index.ts';
import type { Condition, Operand } from './tree.ts';

export type KeyOperator = '=' | '<' | '<=' | '>' | '>=' | 'between' | 'begins_with';

/** What a request asks of one attribute of the key: two values for `between`, else one. */
export interface AttributeCondition {
  readonly operator: KeyOperator;
  readonly values: readonly AttributeValue[];
}

/** By the names of the attributes. */
export type KeyConditions = ReadonlyMap<string, AttributeCondition>;

/** An attribute of a key, as a table or index declares it. */
export interface KeyAttribute {
  readonly name: string;
  readonly type: ScalarValue['type'];
}

/** The key of a table or index: the attributes of the partition and those of the order. */
export interface KeySchemaAttributes {
  readonly hash: readonly KeyAttribute[];
  readonly range: readonly KeyAttribute[];
}

/** What is asked of the last attribute of the order that is asked for anything but equality. */
export interface RangeCondition {
  readonly operator: Exclude<KeyOperator, '='>;
  readonly values: readonly ScalarValue[];
}

/** A key condition by the key that it is for. */
export interface BoundKeyCondition {
  /** Of all attributes of the partition. */
  readonly hash: readonly ScalarValue[];
  /** Of the first attributes of the order, which are to be equal. */
  readonly range: readonly ScalarValue[];
  /** Of the next one. */
  readonly last: RangeCondition | undefined;
}

const FLIPPED: Readonly<Record<string, KeyOperator>> = { '=': '=', '<': '>', '<=': '>=', '>': '<', '>=': '<=' };
const PREFIX = 'Invalid condition in KeyConditionExpression: ';

const invalidOperator = (operator: string): Error =>
  validationError(`Invalid operator used in KeyConditionExpression: ${operator}`);

/** Puts together what a condition asks of each attribute. */
class KeyConditionReader {
  readonly found = new Map<string, AttributeCondition>();

  read(condition: Condition): void {
    switch (condition.kind) {
      case 'and':
        this.read(condition.left);
        this.read(condition.right);
        return;
      case 'or':
      case 'in':
        throw invalidOperator(condition.kind.toUpperCase());
      case 'not':
        throw invalidOperator(condition.condition.kind === 'exists' ? 'attribute_not_exists' : 'NOT');
      case 'exists':
        throw invalidOperator('attribute_exists');
      case 'attribute_type':
      case 'contains':
        throw invalidOperator(condition.kind);
      case 'begins_with':
        this.add(condition.kind, condition.kind, [condition.operand, condition.part]);
        return;
      case 'between':
        this.add(condition.kind, 'BETWEEN', [condition.operand, condition.low, condition.high]);
        return;
      case 'compare': {
        const { comparator, left, right } = condition;
        if (comparator === '<>') throw invalidOperator(comparator);
        const isFlipped = left.kind !== 'path' && right.kind === 'path';
        if (isFlipped) this.add(FLIPPED[comparator]!, comparator, [right, left]);
        else this.add(comparator, comparator, [left, right]);
        return;
      }
    }
  }

  private add(operator: KeyOperator, shown: string, operands: readonly Operand[]): void {
    const [attribute] = operands;
    const isCalled = operator === 'between' || operator === 'begins_with';
    if (isCalled && attribute!.kind !== 'path')
      throw validationError(`${PREFIX}${shown} operator must have the key attribute as its first operand`);
    const paths = operands.flatMap((operand) => (operand.kind === 'path' ? [operand.path] : []));
    if (paths.length > 1) throw validationError(`${PREFIX}Multiple attribute names used in one condition`);
    if (paths.some((path) => path.length > 1))
      throw validationError('KeyConditionExpressions cannot have conditions on nested attributes');
    const name = paths[0]?.[0];
    if (name === undefined) throw validationError(`${PREFIX}No key attribute specified`);
    if (this.found.has(name as string))
      throw validationError('KeyConditionExpressions must only contain one condition per key');
    const values = operands.flatMap((operand) => (operand.kind === 'value' ? [operand.value] : []));
    this.found.set(name as string, { operator, values });
  }
}

/**
 * Takes a key condition apart, whatever table it is for.
 * @throws DynamoError ValidationException: it has what a key condition may not have
 */
export function readKeyCondition(condition: Condition): KeyConditions {
  const reader = new KeyConditionReader();
  reader.read(condition);
  return reader.found;
}

const missing = (name: string): Error => validationError(`Query condition missed key schema element: ${name}`);
const notSupported = (): Error => validationError('Query key condition not supported');

function keyValues({ name, type }: KeyAttribute, { operator, values }: AttributeCondition): ScalarValue[] {
  return values.map((value) => {
    if (!isScalar(value) || value.type !== type)
      throw validationError(
        'One or more parameter values were invalid: Condition parameter type does not match schema type',
      );
    if (value.type !== 'N' && value.value.length === 0 && operator !== 'begins_with')
      throw validationError(
        'One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty ' +
          `${value.type === 'S' ? 'string' : 'binary'} value. Key: ${name}`,
      );
    return value;
  });
}

/**
 * What a key condition means for the key of a table or index.
 * @throws DynamoError ValidationException: it does not fit the key
 */
export function bindKeyCondition(conditions: KeyConditions, schema: KeySchemaAttributes): BoundKeyCondition {
  const left = new Set(conditions.keys());
  const taken = (attribute: KeyAttribute): AttributeCondition | undefined => {
    left.delete(attribute.name);
    return conditions.get(attribute.name);
  };
  if (schema.range.length === 0 && conditions.size > schema.hash.length) throw notSupported();
  const hash = schema.hash.flatMap((attribute) => {
    const condition = taken(attribute);
    if (condition === undefined) throw missing(attribute.name);
    const values = keyValues(attribute, condition);
    if (condition.operator !== '=') throw notSupported();
    return values;
  });
  const range: ScalarValue[] = [];
  let last: RangeCondition | undefined;
  for (const attribute of schema.range) {
    if (left.size === 0) break;
    const condition = taken(attribute);
    if (condition === undefined) throw missing(attribute.name);
    if (last !== undefined) throw notSupported();
    const values = keyValues(attribute, condition);
    if (condition.operator === '=') range.push(...values);
    else last = { operator: condition.operator, values };
  }
  if (left.size > 0) throw notSupported();
  return { hash, range, last };
}

/** A half-open range of keys. */
export interface KeyRange {
  readonly start: Buffer;
  readonly end: Buffer;
}

/**
 * The range of rows that meets a key condition.
 * @param partition not empty and not all FF: what the keys of all rows of the partition begin with, up to the first attribute of the order
 */
export function rangeOf(partition: Buffer, { range, last }: BoundKeyCondition): KeyRange {
  const prefix = Buffer.concat([partition, ...range.map(keyComponent)]);
  if (last === undefined) return { start: prefix, end: prefixEnd(prefix)! };
  const [first, second] = last.values;
  const at = (value: ScalarValue): Buffer => Buffer.concat([prefix, keyComponent(value)]);
  switch (last.operator) {
    case '<':
      return { start: prefix, end: at(first!) };
    case '<=':
      return { start: prefix, end: prefixEnd(at(first!))! };
    case '>':
      return { start: prefixEnd(at(first!))!, end: prefixEnd(prefix)! };
    case '>=':
      return { start: at(first!), end: prefixEnd(prefix)! };
    case 'between':
      return { start: at(first!), end: prefixEnd(at(second!))! };
    case 'begins_with': {
      if (first!.type === 'N') throw notSupported();
      const start = Buffer.concat([prefix, keyComponentPrefix(first!)]);
      return { start, end: prefixEnd(start)! };
    }
  }
}

/** True when a value of the attribute that `last` is about meets it. */
export function meetsRange({ operator, values }: RangeCondition, value: ScalarValue): boolean {
  const [first, second] = values;
  if (operator === 'begins_with') {
    if (value.type === 'S') return first!.type === 'S' && value.value.startsWith(first!.value);
    return (
      value.type === 'B' && first!.type === 'B' && value.value.subarray(0, first!.value.length).equals(first!.value)
    );
  }
  const order = compareScalars(value, first!);
  if (order === undefined) return false;
  switch (operator) {
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '>=':
      return order >= 0;
    case 'between':
      return order >= 0 && compareScalars(value, second!)! <= 0;
  }
}
