/** Which key a condition names: what of it is a key condition of a table or index, and what is left to be looked at item by item. */
import { validationError } from '../errors/index.ts';
import type {
  AttributeCondition,
  Condition,
  KeyConditions,
  KeyOperator,
  KeySchemaAttributes,
} from '../expressions/index.ts';
import type { AttributeValue, Item } from '../values/index.ts';

/** A condition in two parts that hold together exactly when it does. */
export interface SplitCondition {
  /** Undefined when the partition is not named: everything has to be looked at. */
  readonly keyConditions: KeyConditions | undefined;
  readonly rest: Condition | undefined;
}

interface Part {
  readonly condition: Condition;
  readonly name: string | undefined;
  readonly asked: AttributeCondition | undefined;
}

function conjuncts(condition: Condition): Condition[] {
  const found: Condition[] = [];
  // The left sides of a long chain lie within each other.
  let rest = condition;
  while (rest.kind === 'and') {
    found.push(...(rest.right.kind === 'and' ? conjuncts(rest.right) : [rest.right]));
    rest = rest.left;
  }
  found.push(rest);
  return found.reverse();
}

const FLIPPED: Readonly<Record<string, KeyOperator>> = { '=': '=', '<': '>', '<=': '>=', '>': '<', '>=': '<=' };

function partOf(condition: Condition): Part {
  const nothing = { condition, name: undefined, asked: undefined };
  const asks = (path: readonly (string | number)[], operator: KeyOperator, values: AttributeValue[]): Part =>
    path.length === 1 ? { condition, name: path[0] as string, asked: { operator, values } } : nothing;
  if (condition.kind === 'compare' && condition.comparator !== '<>') {
    const { left, right, comparator } = condition;
    if (left.kind === 'path' && right.kind === 'value') return asks(left.path, comparator, [right.value]);
    if (left.kind === 'value' && right.kind === 'path') return asks(right.path, FLIPPED[comparator]!, [left.value]);
  }
  if (condition.kind === 'between') {
    const { operand, low, high } = condition;
    if (operand.kind === 'path' && low.kind === 'value' && high.kind === 'value')
      return asks(operand.path, 'between', [low.value, high.value]);
  }
  if (condition.kind === 'begins_with') {
    const { operand, part } = condition;
    if (operand.kind === 'path' && part.kind === 'value') return asks(operand.path, 'begins_with', [part.value]);
  }
  return nothing;
}

const joined = (conditions: readonly Condition[]): Condition | undefined =>
  conditions.length === 0 ? undefined : conditions.reduce((left, right) => ({ kind: 'and', left, right }));

/** Splits the condition of a SELECT. */
export function splitCondition(condition: Condition, schema: KeySchemaAttributes): SplitCondition {
  const left = conjuncts(condition).map(partOf);
  const keyConditions = new Map<string, AttributeCondition>();
  const take = (name: string, isWanted: (operator: KeyOperator) => boolean): KeyOperator | undefined => {
    const at = left.findIndex((part) => part.name === name && isWanted(part.asked!.operator));
    if (at < 0) return undefined;
    const { asked } = left.splice(at, 1)[0]!;
    keyConditions.set(name, asked!);
    return asked!.operator;
  };
  for (const { name } of schema.hash)
    if (take(name, (operator) => operator === '=') === undefined) return { keyConditions: undefined, rest: condition };
  for (const { name } of schema.range) {
    const operator = take(name, (found) => found === '=') ?? take(name, () => true);
    if (operator !== '=') break;
  }
  return { keyConditions, rest: joined(left.map((part) => part.condition)) };
}

/** A whole key, and what else is asked of its item. */
export interface KeyOfWhere {
  readonly key: Item;
  readonly rest: Condition | undefined;
}

/**
 * The one item that a condition names.
 * @throws DynamoError ValidationException when it names none
 */
export function keyOfWhere(condition: Condition, schema: KeySchemaAttributes): KeyOfWhere {
  const { keyConditions, rest } = splitCondition(condition, schema);
  const key = new Map<string, AttributeValue>();
  for (const { name } of [...schema.hash, ...schema.range]) {
    const asked = keyConditions?.get(name);
    if (asked?.operator !== '=')
      throw validationError('Where clause does not contain a mandatory equality on all key attributes');
    key.set(name, asked.values[0]!);
  }
  return { key, rest };
}
