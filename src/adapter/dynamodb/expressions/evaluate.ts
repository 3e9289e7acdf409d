/** Whether an item meets a condition. Wrong types in the item make a comparison false, never an error. */
import { type AttributeValue, areEqual, compareScalars, hasMember, type Item, isScalar } from '../values/index.ts';
import { valueAt } from './paths.ts';
import type { Comparator } from './syntax.ts';
import type { Condition, Operand } from './tree.ts';

/** Strings have as many characters as UTF-16 has units, as on the real service. */
function sizeOf(value: AttributeValue): number | undefined {
  switch (value.type) {
    case 'S':
    case 'B':
    case 'SS':
    case 'NS':
    case 'BS':
    case 'L':
      return value.value.length;
    case 'M':
      return value.value.size;
    default:
      return undefined;
  }
}

function resolve(operand: Operand, item: Item): AttributeValue | undefined {
  if (operand.kind === 'path') return valueAt(operand.path, item);
  if (operand.kind === 'value') return operand.value;
  const value = resolve(operand.of, item);
  const size = value === undefined ? undefined : sizeOf(value);
  return size === undefined ? undefined : { type: 'N', value: String(size) };
}

function orderOf(left: AttributeValue | undefined, right: AttributeValue | undefined): number | undefined {
  if (left === undefined || right === undefined || !isScalar(left) || !isScalar(right)) return undefined;
  return compareScalars(left, right);
}

/** What is not there equals nothing, not even what is not there either. */
function compare(comparator: Comparator, left: AttributeValue | undefined, right: AttributeValue | undefined): boolean {
  if (comparator === '=' || comparator === '<>') {
    const isEqual = left !== undefined && right !== undefined && areEqual(left, right);
    return isEqual === (comparator === '=');
  }
  const order = orderOf(left, right);
  if (order === undefined) return false;
  if (comparator === '<') return order < 0;
  if (comparator === '<=') return order <= 0;
  return comparator === '>' ? order > 0 : order >= 0;
}

function beginsWith(value: AttributeValue | undefined, part: AttributeValue | undefined): boolean {
  if (value?.type === 'S') return part?.type === 'S' && value.value.startsWith(part.value);
  if (value?.type !== 'B' || part?.type !== 'B') return false;
  return value.value.subarray(0, part.value.length).equals(part.value);
}

function contains(value: AttributeValue | undefined, part: AttributeValue | undefined): boolean {
  if (value === undefined || part === undefined) return false;
  switch (value.type) {
    case 'S':
      return part.type === 'S' && value.value.includes(part.value);
    case 'B':
      return part.type === 'B' && value.value.includes(part.value);
    case 'SS':
      return part.type === 'S' && hasMember(value, part.value);
    case 'NS':
      return part.type === 'N' && hasMember(value, part.value);
    case 'BS':
      return part.type === 'B' && hasMember(value, part.value);
    case 'L':
      return value.value.some((element) => areEqual(element, part));
    default:
      return false;
  }
}

/** @param item empty when there is none */
export function meets(condition: Condition, item: Item): boolean {
  switch (condition.kind) {
    case 'and':
      return meets(condition.left, item) && meets(condition.right, item);
    case 'or':
      return meets(condition.left, item) || meets(condition.right, item);
    case 'not':
      return !meets(condition.condition, item);
    case 'compare':
      return compare(condition.comparator, resolve(condition.left, item), resolve(condition.right, item));
    case 'between': {
      const value = resolve(condition.operand, item);
      return compare('>=', value, resolve(condition.low, item)) && compare('<=', value, resolve(condition.high, item));
    }
    case 'in': {
      const value = resolve(condition.operand, item);
      return condition.members.some((member) => compare('=', value, resolve(member, item)));
    }
    case 'exists':
      return valueAt(condition.path, item) !== undefined;
    case 'attribute_type':
      return resolve(condition.operand, item)?.type === condition.type;
    case 'begins_with':
      return beginsWith(resolve(condition.operand, item), resolve(condition.part, item));
    case 'contains':
      return contains(resolve(condition.operand, item), resolve(condition.part, item));
  }
}
