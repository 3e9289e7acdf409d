/**
 * From the syntax of updates and projections to their trees. What may be wrong is looked for in the order of the service, each kind over the whole
 * text before the next one.
 */
import { validationError } from '../errors/index.ts';
import type { AttributeType, AttributeValue } from '../values/index.ts';
import {
  callsOf,
  constantType,
  incorrectCount,
  incorrectType,
  requiresPath,
  reservedWithin,
  undefinedWithin,
} from './check-operands.ts';
import { expressionError } from './parser.ts';
import { type PathQuarrel, PathTreeBuilder } from './paths.ts';
import type { Scope } from './scope.ts';
import type {
  ActionSyntax,
  ArithmeticSyntax,
  CallSyntax,
  OperandSyntax,
  ParsedProjection,
  ParsedUpdate,
  Section,
} from './syntax.ts';
import {
  type DocumentPath,
  OPERAND_MISMATCH,
  type Projection,
  type Update,
  type UpdateAction,
  type UpdateValue,
} from './tree.ts';

const FUNCTIONS: ReadonlySet<string> = new Set(['if_not_exists', 'list_append']);
const OPERANDS_OF_FUNCTIONS = 2;

/** Types as texts about ADD and DELETE name them; sets are what these are for. */
const LONG_NAMES: Readonly<Partial<Record<AttributeType, string>>> = {
  S: 'STRING',
  N: 'NUMBER',
  B: 'BINARY',
  NULL: 'NULL',
  BOOL: 'BOOLEAN',
  L: 'LIST',
  M: 'MAP',
};

/** Operands of an action behind its path. */
function valuesOf(action: ActionSyntax): readonly OperandSyntax[] {
  if (action.section === 'REMOVE') return [];
  return action.value.kind === 'arithmetic' ? action.value.operands : [action.value];
}

function repeatedSection(sections: readonly Section[]): string | undefined {
  const repeated = sections.find((section, at) => sections.indexOf(section) < at);
  return repeated === undefined
    ? undefined
    : `The "${repeated}" section can only be used once in an update expression;`;
}

/** The first two paths that overlap, else the first two that conflict. */
function quarrelOf(paths: readonly DocumentPath[]): PathQuarrel | undefined {
  const builder = new PathTreeBuilder<true>();
  let first: PathQuarrel | undefined;
  for (const path of paths) {
    const wrong = builder.add(path, true);
    if (wrong?.kind === 'overlap') return wrong;
    first ??= wrong;
  }
  return first;
}

function wrongFunction(call: CallSyntax, scope: Scope): string | undefined {
  if (call.operands.length !== OPERANDS_OF_FUNCTIONS) return incorrectCount(call);
  if (call.name === 'if_not_exists') return call.operands[0]!.kind === 'path' ? undefined : requiresPath(call.name);
  return wrongConstant(call.name, call.operands, 'L', scope);
}

function wrongConstant(
  operator: string,
  operands: readonly OperandSyntax[],
  expected: AttributeType,
  scope: Scope,
): string | undefined {
  for (const operand of operands) {
    const type = constantType(operand, scope);
    if (type !== undefined && type !== expected) return incorrectType(operator, type);
  }
  return undefined;
}

function wrongOperand(action: ActionSyntax, scope: Scope): string | undefined {
  if (action.section !== 'ADD' && action.section !== 'DELETE') return undefined;
  const type = constantType(action.value, scope);
  const shown = type === undefined ? undefined : LONG_NAMES[type];
  if (shown === undefined || (action.section === 'ADD' && type === 'N')) return undefined;
  return `Incorrect operand type for operator or function; operator: ${action.section}, operand type: ${shown}`;
}

/** The first problem with functions and sums of an action, in the order in which they are read. */
function wrongValue(action: ActionSyntax, scope: Scope): string | undefined {
  for (const operand of valuesOf(action))
    for (const call of callsOf(operand)) {
      const problem = wrongFunction(call, scope);
      if (problem !== undefined) return problem;
    }
  if (action.section !== 'SET' || action.value.kind !== 'arithmetic') return undefined;
  return wrongConstant(action.value.sign, action.value.operands, 'N', scope);
}

function updateValue(syntax: OperandSyntax | ArithmeticSyntax, scope: Scope): UpdateValue {
  if (syntax.kind === 'path') return { kind: 'path', path: scope.path(syntax)! };
  if (syntax.kind === 'value') return { kind: 'value', value: scope.value(syntax)! };
  const [left, right] = syntax.operands.map((operand) => updateValue(operand, scope));
  if (syntax.kind === 'arithmetic') return { kind: 'arithmetic', sign: syntax.sign, left: left!, right: right! };
  if (syntax.name === 'list_append') return { kind: 'list_append', left: left!, right: right! };
  return { kind: 'if_not_exists', path: (left as { readonly path: DocumentPath }).path, otherwise: right! };
}

function actionOf(syntax: ActionSyntax, scope: Scope): UpdateAction {
  const path = scope.path(syntax.path)!;
  if (syntax.section === 'REMOVE') return { kind: 'remove', path };
  if (syntax.section === 'SET') return { kind: 'set', path, value: updateValue(syntax.value, scope) };
  const value: AttributeValue = scope.value(syntax.value)!;
  return { kind: syntax.section === 'ADD' ? 'add' : 'delete', path, value };
}

/**
 * Checks a parsed update with the names and values of its request.
 * @throws DynamoError ValidationException
 */
export function checkUpdate({ actions, sections }: ParsedUpdate, scope: Scope): Update {
  const each = (problemOf: (action: ActionSyntax) => string | undefined): string | undefined => {
    for (const action of actions) {
      const problem = problemOf(action);
      if (problem !== undefined) return problem;
    }
    return undefined;
  };
  const operandsOf = (action: ActionSyntax): readonly OperandSyntax[] => [action.path, ...valuesOf(action)];
  const unknown = (action: ActionSyntax): string | undefined => {
    const calls = valuesOf(action).flatMap((operand) => [...callsOf(operand)]);
    const found = calls.find(({ name }) => !FUNCTIONS.has(name));
    return found === undefined ? undefined : `Invalid function name; function: ${found.name}`;
  };
  const problem =
    each((action) => reservedWithin(operandsOf(action))) ??
    each(unknown) ??
    repeatedSection(sections) ??
    each((action) => undefinedWithin(operandsOf(action), scope, 'path')) ??
    each((action) => undefinedWithin(operandsOf(action), scope, 'value')) ??
    quarrelOf(actions.map(({ path }) => scope.path(path)!))?.text ??
    each((action) => wrongOperand(action, scope)) ??
    each((action) => wrongValue(action, scope));
  if (problem !== undefined) throw expressionError('UpdateExpression', problem);
  return { actions: actions.map((action) => actionOf(action, scope)), mismatch: OPERAND_MISMATCH };
}

/**
 * Checks a parsed projection with the names of its request.
 * @throws DynamoError ValidationException
 */
export function checkProjection({ paths }: ParsedProjection, scope: Scope): Projection {
  const problem =
    reservedWithin(paths) ?? undefinedWithin(paths, scope) ?? quarrelOf(paths.map((path) => scope.path(path)!))?.text;
  if (problem !== undefined) throw expressionError('ProjectionExpression', problem);
  return { paths: paths.map((path) => scope.path(path)!) };
}

/**
 * Refuses updates whose paths cannot be beside each other, whoever made them.
 * @throws DynamoError ValidationException
 */
export function checkPaths(actions: readonly UpdateAction[]): void {
  const wrong = quarrelOf(actions.map(({ path }) => path));
  if (wrong !== undefined) throw validationError(wrong.text);
}
