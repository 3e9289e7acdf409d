/** What checks of conditions and updates share: operands with their names and values, and types that are known without an item. */
import type { AttributeType, AttributeValue } from '../values/index.ts';
import { reservedIn, type Scope, undefinedValue } from './scope.ts';
import type { CallSyntax, OperandSyntax } from './syntax.ts';

export const incorrectType = (operator: string, type: string): string =>
  `Incorrect operand type for operator or function; operator or function: ${operator}, operand type: ${type}`;

export const incorrectCount = ({ name, operands }: CallSyntax): string =>
  `Incorrect number of operands for operator or function; operator or function: ${name}, number of operands: ${operands.length}`;

export const requiresPath = (name: string): string =>
  `Operator or function requires a document path; operator or function: ${name}`;

/** The value that an operand stands for when it is a constant that is defined. */
export const constantOf = (operand: OperandSyntax, scope: Scope): AttributeValue | undefined =>
  operand.kind === 'value' ? scope.value(operand) : undefined;

/** The type of a constant. */
export const constantType = (operand: OperandSyntax, scope: Scope): AttributeType | undefined =>
  constantOf(operand, scope)?.type;

/** All calls of an operand, the inner ones first, as they are read. */
export function* callsOf(operand: OperandSyntax): Generator<CallSyntax> {
  if (operand.kind !== 'call') return;
  for (const inner of operand.operands) yield* callsOf(inner);
  yield operand;
}

/** All paths and values of an operand, from left to right. */
export function* leavesOf(operand: OperandSyntax): Generator<Exclude<OperandSyntax, CallSyntax>> {
  if (operand.kind !== 'call') yield operand;
  else for (const inner of operand.operands) yield* leavesOf(inner);
}

/** The first bare name that is a reserved word. */
export function reservedWithin(operands: readonly OperandSyntax[]): string | undefined {
  for (const operand of operands)
    for (const leaf of leavesOf(operand)) {
      const problem = leaf.kind === 'path' ? reservedIn(leaf) : undefined;
      if (problem !== undefined) return problem;
    }
  return undefined;
}

/** The first name or value that is not defined. Marks all others as used. */
export function undefinedWithin(
  operands: readonly OperandSyntax[],
  scope: Scope,
  kind: 'path' | 'value' | 'both' = 'both',
): string | undefined {
  for (const operand of operands)
    for (const leaf of leavesOf(operand)) {
      if (leaf.kind === 'path' && kind !== 'value' && scope.path(leaf) === undefined) return scope.undefinedName(leaf);
      if (leaf.kind === 'value' && kind !== 'path' && scope.value(leaf) === undefined) return undefinedValue(leaf);
    }
  return undefined;
}
