/** All that a request asks by expressions, or by parameters of the older kind, checked as far as it can be without its table. */
import { validationError } from '../errors/index.ts';
import type { JsonMap, WireAttributeValue } from '../values/index.ts';
import { checkCondition } from './check-condition.ts';
import { checkProjection, checkUpdate } from './check-update.ts';
import { parseCondition } from './condition-parser.ts';
import { type KeyConditions, readKeyCondition } from './key-condition.ts';
import {
  type ConditionalOperator,
  readAttributesToGet,
  readAttributeUpdates,
  readExpected,
  readFilter,
  readKeyConditions,
  type WireAttributeUpdate,
  type WireCondition,
  type WireExpectation,
} from './legacy.ts';
import { ParsedTexts } from './parsed-texts.ts';
import type { ExpressionMember } from './parser.ts';
import { Scope } from './scope.ts';
import type { Condition, Projection, Update } from './tree.ts';
import { parseProjection, parseUpdate } from './update-parser.ts';

/** Members of requests that are read here; an operation has some of them. */
export interface ExpressionMembers {
  readonly ConditionExpression?: string;
  readonly FilterExpression?: string;
  readonly KeyConditionExpression?: string;
  readonly ProjectionExpression?: string;
  readonly UpdateExpression?: string;
  readonly ExpressionAttributeNames?: JsonMap<string>;
  readonly ExpressionAttributeValues?: JsonMap<WireAttributeValue>;
  readonly AttributesToGet?: readonly string[];
  readonly AttributeUpdates?: JsonMap<WireAttributeUpdate>;
  readonly ConditionalOperator?: string;
  readonly Expected?: JsonMap<WireExpectation>;
  readonly KeyConditions?: JsonMap<WireCondition>;
  readonly QueryFilter?: JsonMap<WireCondition>;
  readonly ScanFilter?: JsonMap<WireCondition>;
}

type LegacyMember =
  | 'AttributesToGet'
  | 'AttributeUpdates'
  | 'ConditionalOperator'
  | 'Expected'
  | 'KeyConditions'
  | 'QueryFilter'
  | 'ScanFilter';

/** What an operation has of both kinds, in the order in which the service names them. */
export interface ExpressionUse {
  readonly expressions: readonly ExpressionMember[];
  readonly legacy: readonly LegacyMember[];
}

/** PutItem and DeleteItem, and the parts of transactions that are like them. */
export const CONDITIONAL_WRITE: ExpressionUse = {
  expressions: ['ConditionExpression'],
  legacy: ['Expected', 'ConditionalOperator'],
};

/** UpdateItem, and the part of a transaction that is like it. */
export const UPDATE: ExpressionUse = {
  expressions: ['UpdateExpression', 'ConditionExpression'],
  legacy: ['AttributeUpdates', 'Expected', 'ConditionalOperator'],
};

/** GetItem, and the tables of BatchGetItem. */
export const GET: ExpressionUse = { expressions: ['ProjectionExpression'], legacy: ['AttributesToGet'] };

/** Query. */
export const QUERY: ExpressionUse = {
  expressions: ['ProjectionExpression', 'FilterExpression', 'KeyConditionExpression'],
  legacy: ['AttributesToGet', 'QueryFilter', 'ConditionalOperator', 'KeyConditions'],
};

/** Scan. */
export const SCAN: ExpressionUse = {
  expressions: ['ProjectionExpression', 'FilterExpression'],
  legacy: ['AttributesToGet', 'ScanFilter', 'ConditionalOperator'],
};

/** What a request asks, whichever way it says so. */
export interface Expressions {
  readonly update: Update | undefined;
  readonly condition: Condition | undefined;
  readonly keyConditions: KeyConditions | undefined;
  readonly filter: Condition | undefined;
  readonly projection: Projection | undefined;
}

const conditions = new ParsedTexts((text) => parseCondition('ConditionExpression', text));
const filters = new ParsedTexts((text) => parseCondition('FilterExpression', text));
const keyConditionTexts = new ParsedTexts((text) => parseCondition('KeyConditionExpression', text));
const updates = new ParsedTexts(parseUpdate);
const projections = new ParsedTexts(parseProjection);

const NO_EXPRESSIONS: Expressions = {
  update: undefined,
  condition: undefined,
  keyConditions: undefined,
  filter: undefined,
  projection: undefined,
};

/** Most puts and reads of single items are so. */
function asksNothing(members: ExpressionMembers, { expressions, legacy }: ExpressionUse): boolean {
  if (members.ExpressionAttributeNames !== undefined || members.ExpressionAttributeValues !== undefined) return false;
  for (const member of expressions) if (members[member] !== undefined) return false;
  for (const member of legacy) if (members[member] !== undefined) return false;
  return true;
}

function checkKinds(members: ExpressionMembers, { expressions, legacy }: ExpressionUse): void {
  const used = expressions.filter((member) => members[member] !== undefined);
  if (used.length > 0) {
    // The older key conditions may stand beside a filter expression.
    const other = legacy.filter(
      (member) =>
        members[member] !== undefined && !(member === 'KeyConditions' && members.KeyConditionExpression === undefined),
    );
    if (other.length > 0)
      throw validationError(
        'Can not use both expression and non-expression parameters in the same request: ' +
          `Non-expression parameters: {${other.join(', ')}} Expression parameters: {${used.join(', ')}}`,
      );
  }
  if (members.ExpressionAttributeNames !== undefined && used.length === 0)
    throw validationError('ExpressionAttributeNames can only be specified when using expressions');
  const withValues = expressions.filter((member) => member !== 'ProjectionExpression');
  if (members.ExpressionAttributeValues !== undefined && withValues.every((member) => members[member] === undefined))
    throw validationError(
      'ExpressionAttributeValues can only be specified when using expressions: ' +
        `${withValues.join(' and ')} ${withValues.length > 1 ? 'are' : 'is'} null`,
    );
}

/**
 * Reads what a request asks.
 * @param members of the request
 * @param use what the operation has of them
 * @throws DynamoError ValidationException
 */
export function readExpressions(members: ExpressionMembers, use: ExpressionUse): Expressions {
  // A query without a key condition is refused below.
  if (use !== QUERY && asksNothing(members, use)) return NO_EXPRESSIONS;
  checkKinds(members, use);
  const operator = members.ConditionalOperator as ConditionalOperator | undefined;
  const hasFilter = use.legacy.includes('QueryFilter') || use.legacy.includes('ScanFilter');
  const legacyCondition = use.legacy.includes('Expected') ? readExpected(members.Expected, operator) : undefined;
  const legacyFilter = hasFilter ? readFilter(members.QueryFilter ?? members.ScanFilter, operator) : undefined;
  const { AttributeUpdates, AttributesToGet, KeyConditions: legacyKeys } = members;
  const legacyUpdate = AttributeUpdates === undefined ? undefined : readAttributeUpdates(AttributeUpdates);
  const legacyProjection = AttributesToGet === undefined ? undefined : readAttributesToGet(AttributesToGet);
  const isQuery = use.expressions.includes('KeyConditionExpression');
  if (isQuery && legacyKeys === undefined && members.KeyConditionExpression === undefined)
    throw validationError(
      'Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.',
    );
  const scope = new Scope(members.ExpressionAttributeNames, members.ExpressionAttributeValues);
  const condition = (member: ExpressionMember, texts: typeof conditions): Condition | undefined => {
    const text = members[member];
    return text === undefined ? undefined : checkCondition(member, texts.of(text), scope);
  };
  const update =
    members.UpdateExpression === undefined ? legacyUpdate : checkUpdate(updates.of(members.UpdateExpression), scope);
  const checked = condition('ConditionExpression', conditions);
  const keyCondition = condition('KeyConditionExpression', keyConditionTexts);
  const filter = condition('FilterExpression', filters);
  const projection =
    members.ProjectionExpression === undefined
      ? legacyProjection
      : checkProjection(projections.of(members.ProjectionExpression), scope);
  scope.end();
  const legacyKeyConditions = legacyKeys === undefined ? undefined : readKeyConditions(legacyKeys);
  return {
    update,
    condition: checked ?? legacyCondition,
    keyConditions: keyCondition === undefined ? legacyKeyConditions : readKeyCondition(keyCondition),
    filter: filter ?? legacyFilter,
    projection,
  };
}
