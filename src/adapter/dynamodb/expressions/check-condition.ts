/**
 * From the syntax of a condition to its tree. What may be wrong is looked for in the order of the service: what concerns the whole text first, then,
 * comparison by comparison, what names and values stand for.
 */
import type { DynamoError } from '../errors/index.ts';
import { type AttributeType, type AttributeValue, compareScalars, isScalar, wireValue } from '../values/index.ts';
import {
  callsOf,
  constantOf,
  constantType,
  incorrectCount,
  incorrectType,
  requiresPath,
  reservedWithin,
  undefinedWithin,
} from './check-operands.ts';
import { type ExpressionMember, expressionError } from './parser.ts';
import { shownPath } from './paths.ts';
import type { Scope } from './scope.ts';
import type { CallSyntax, ConditionSyntax, OperandSyntax, ParsedCondition } from './syntax.ts';
import type { Condition, DocumentPath, Operand } from './tree.ts';

type Leaf = Exclude<ConditionSyntax, { kind: 'and' | 'or' | 'not' }>;

const OPERAND_COUNTS: ReadonlyMap<string, number> = new Map([
  ['attribute_exists', 1],
  ['attribute_not_exists', 1],
  ['attribute_type', 2],
  ['begins_with', 2],
  ['contains', 2],
  ['size', 1],
]);

/** As the service lists them. */
const SHOWN_TYPES = '{B,NULL,SS,BOOL,L,BS,N,NS,S,M}';
const SHOWN_ANY_TYPE = '{NS,SS,L,BS,N,M,B,BOOL,NULL,S}';
const TYPES: ReadonlySet<string> = new Set(['B', 'NULL', 'SS', 'BOOL', 'L', 'BS', 'N', 'NS', 'S', 'M']);
const HAS_NO_SIZE: ReadonlySet<AttributeType> = new Set(['N', 'BOOL', 'NULL']);
const ORDERED: ReadonlySet<string> = new Set(['<', '<=', '>', '>=']);

/** Comparisons and calls, from left to right. */
function* leavesOfCondition(condition: ConditionSyntax): Generator<Leaf> {
  switch (condition.kind) {
    case 'and':
    case 'or':
      yield* leavesOfCondition(condition.left);
      yield* leavesOfCondition(condition.right);
      return;
    case 'not':
      yield* leavesOfCondition(condition.condition);
      return;
    default:
      yield condition;
  }
}

const operandsOf = (leaf: Leaf): readonly OperandSyntax[] => leaf.operands;

function firstOf<Element>(
  elements: Iterable<Element>,
  problemOf: (element: Element) => string | undefined,
): string | undefined {
  for (const element of elements) {
    const problem = problemOf(element);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** Makes the tree of one condition. */
class ConditionCheck {
  private readonly member: ExpressionMember;
  private readonly scope: Scope;

  constructor(member: ExpressionMember, scope: Scope) {
    this.member = member;
    this.scope = scope;
  }

  check({ condition, isOverwrapped }: ParsedCondition): void {
    if (isOverwrapped) throw this.error('The expression has redundant parentheses;');
    const leaves = [...leavesOfCondition(condition)];
    const calls = leaves.flatMap((leaf) => this.callsOfLeaf(leaf));
    const problem =
      firstOf(calls, ({ name }) =>
        OPERAND_COUNTS.has(name) ? undefined : `Invalid function name; function: ${name}`,
      ) ??
      firstOf(calls, ({ name }) => this.notInKeyCondition(name)) ??
      firstOf(leaves, misusedFunction) ??
      firstOf(leaves, (leaf) => reservedWithin(operandsOf(leaf))) ??
      firstOf(leaves, (leaf) => this.leafProblem(leaf));
    if (problem !== undefined) throw this.error(problem);
  }

  private error(problem: string): DynamoError {
    return expressionError(this.member, problem);
  }

  private callsOfLeaf(leaf: Leaf): CallSyntax[] {
    return leaf.kind === 'call' ? [...callsOf(leaf)] : operandsOf(leaf).flatMap((operand) => [...callsOf(operand)]);
  }

  private notInKeyCondition(name: string): string | undefined {
    if (this.member !== 'KeyConditionExpression' || name !== 'size') return undefined;
    return `The function is not allowed in a key condition expression; function: ${name}`;
  }

  private leafProblem(leaf: Leaf): string | undefined {
    const calls = this.callsOfLeaf(leaf);
    return (
      undefinedWithin(operandsOf(leaf), this.scope) ??
      firstOf(calls, (call) =>
        call.operands.length === OPERAND_COUNTS.get(call.name) ? undefined : incorrectCount(call),
      ) ??
      firstOf(calls, (call) => this.notDistinct(call.name, call.operands)) ??
      (leaf.kind === 'compare' ? this.notDistinct(leaf.comparator, leaf.operands) : undefined) ??
      firstOf(calls, (call) => this.wrongCall(call)) ??
      this.wrongOperands(leaf)
    );
  }

  private notDistinct(operator: string, operands: readonly OperandSyntax[]): string | undefined {
    const [first, second] = operands;
    if (operands.length !== 2 || first?.kind !== 'path' || second?.kind !== 'path') return undefined;
    const path = this.path(first);
    const shown = shownPath(path);
    const other = this.path(second);
    if (path.length !== other.length || path.some((part, at) => part !== other[at])) return undefined;
    return (
      'The first operand must be distinct from the remaining operands for this operator or function; ' +
      `operator: ${operator}, first operand: ${shown}`
    );
  }

  /** What is known of an operand's type: that of a constant, or a number for sizes. */
  private typeOf(operand: OperandSyntax): AttributeType | undefined {
    return operand.kind === 'call' ? 'N' : constantType(operand, this.scope);
  }

  private wrongCall({ name, operands }: CallSyntax): string | undefined {
    switch (name) {
      case 'attribute_exists':
      case 'attribute_not_exists':
        return operands[0]!.kind === 'path' ? undefined : requiresPath(name);
      case 'begins_with':
        return firstOf(operands, (operand) => {
          const type = this.typeOf(operand);
          return type === undefined || type === 'S' || type === 'B' ? undefined : incorrectType(name, type);
        });
      case 'attribute_type':
        return this.wrongTypeName(operands[1]!);
      case 'size': {
        const type = this.typeOf(operands[0]!);
        return type !== undefined && HAS_NO_SIZE.has(type) ? incorrectType(name, type) : undefined;
      }
      default:
        return undefined;
    }
  }

  private wrongTypeName(operand: OperandSyntax): string | undefined {
    const constant = constantOf(operand, this.scope);
    if (constant?.type !== 'S') return incorrectType('attribute_type', this.typeOf(operand) ?? SHOWN_ANY_TYPE);
    if (TYPES.has(constant.value)) return undefined;
    return `Invalid attribute type name found; type: ${constant.value}, valid types: ${SHOWN_TYPES}`;
  }

  private wrongOperands(leaf: Leaf): string | undefined {
    if (leaf.kind === 'between') return this.wrongBounds(leaf.operands) ?? this.unordered('BETWEEN', leaf.operands);
    if (leaf.kind !== 'compare' || !ORDERED.has(leaf.comparator)) return undefined;
    return this.unordered(leaf.comparator, leaf.operands);
  }

  /** Constants whose type has no order. */
  private unordered(operator: string, operands: readonly OperandSyntax[]): string | undefined {
    return firstOf(operands, (operand) => {
      const constant = constantOf(operand, this.scope);
      return constant === undefined || isScalar(constant) ? undefined : incorrectType(operator, constant.type);
    });
  }

  private wrongBounds(operands: readonly OperandSyntax[]): string | undefined {
    const low = constantOf(operands[1]!, this.scope);
    const high = constantOf(operands[2]!, this.scope);
    if (low === undefined || high === undefined) return undefined;
    if (low.type !== high.type) return wrongBounds('same data type for lower and upper bounds', low, high);
    const order = isScalar(low) && isScalar(high) ? compareScalars(low, high)! : 0;
    if (order <= 0) return undefined;
    return wrongBounds('upper bound to be greater than or equal to lower bound', low, high);
  }

  private path(syntax: OperandSyntax): DocumentPath {
    return syntax.kind === 'path' ? this.scope.path(syntax)! : [];
  }

  private operand(syntax: OperandSyntax): Operand {
    if (syntax.kind === 'path') return { kind: 'path', path: this.path(syntax) };
    if (syntax.kind === 'value') return { kind: 'value', value: this.scope.value(syntax)! };
    return { kind: 'size', of: this.operand(syntax.operands[0]!) };
  }

  /** The tree of a condition that `check` has found nothing wrong with. */
  tree(syntax: ConditionSyntax): Condition {
    switch (syntax.kind) {
      case 'and':
      case 'or':
        return { kind: syntax.kind, left: this.tree(syntax.left), right: this.tree(syntax.right) };
      case 'not':
        return { kind: 'not', condition: this.tree(syntax.condition) };
      case 'compare': {
        const [left, right] = syntax.operands.map((operand) => this.operand(operand));
        return { kind: 'compare', comparator: syntax.comparator, left: left!, right: right! };
      }
      case 'between': {
        const [operand, low, high] = syntax.operands.map((each) => this.operand(each));
        return { kind: 'between', operand: operand!, low: low!, high: high! };
      }
      case 'in': {
        const [operand, ...members] = syntax.operands.map((each) => this.operand(each));
        return { kind: 'in', operand: operand!, members };
      }
      case 'call':
        return this.call(syntax);
    }
  }

  private call({ name, operands }: CallSyntax): Condition {
    if (name === 'attribute_exists') return { kind: 'exists', path: this.path(operands[0]!) };
    if (name === 'attribute_not_exists')
      return { kind: 'not', condition: { kind: 'exists', path: this.path(operands[0]!) } };
    const operand = this.operand(operands[0]!);
    if (name === 'attribute_type') {
      const type = constantOf(operands[1]!, this.scope) as { readonly value: AttributeType };
      return { kind: name, operand, type: type.value };
    }
    return { kind: name as 'begins_with' | 'contains', operand, part: this.operand(operands[1]!) };
  }
}

function wrongBounds(rule: string, ...bounds: readonly [AttributeValue, AttributeValue]): string {
  const [low, high] = bounds.map((bound) => `AttributeValue: {${bound.type}:${wireValue(bound)[bound.type]}}`);
  return `The BETWEEN operator requires ${rule}; lower bound operand: ${low}, upper bound operand: ${high}`;
}

/** Functions other than `size` are conditions, and `size` is none. */
function misusedFunction(leaf: Leaf): string | undefined {
  const misused = (name: string): string =>
    `The function is not allowed to be used this way in an expression; function: ${name}`;
  const withinOperands = (operands: readonly OperandSyntax[]): string | undefined =>
    firstOf(operands, (operand) => {
      if (operand.kind !== 'call') return undefined;
      return withinOperands(operand.operands) ?? (operand.name === 'size' ? undefined : misused(operand.name));
    });
  return (
    withinOperands(operandsOf(leaf)) ?? (leaf.kind === 'call' && leaf.name === 'size' ? misused(leaf.name) : undefined)
  );
}

/**
 * Checks a parsed condition with the names and values of its request.
 * @throws DynamoError ValidationException
 */
export function checkCondition(member: ExpressionMember, parsed: ParsedCondition, scope: Scope): Condition {
  const check = new ConditionCheck(member, scope);
  check.check(parsed);
  return check.tree(parsed.condition);
}
