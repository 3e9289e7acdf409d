/**
 * Expressions: their texts, what they mean, and what they make of items. Pure code.
 *
 * `request` reads all that a request asks, from `tokens` and the grammars (`parser`, `condition-parser`, `update-parser`), which know no names and
 * values and are kept by text, through the checks with the names and values of the `scope`, to the trees of `tree`; `legacy` makes the same trees of the
 * parameters that came before expressions. `evaluate`, `apply-update`, `projection` and `key-condition` are what the trees do, `key-checks`
 * what they may not do with keys.
 */

export { applyUpdate, type UpdatedItem } from './apply-update.ts';
export { checkPaths } from './check-update.ts';
export { meets } from './evaluate.ts';
export { checkConditionKeys, checkFilterKeys, checkUpdateKeys, type KeyNames } from './key-checks.ts';
export {
  type AttributeCondition,
  type BoundKeyCondition,
  bindKeyCondition,
  type KeyAttribute,
  type KeyConditions,
  type KeyOperator,
  type KeyRange,
  type KeySchemaAttributes,
  meetsRange,
  type RangeCondition,
  rangeOf,
  readKeyCondition,
} from './key-condition.ts';
export { valueAt } from './paths.ts';
export { ProjectedItems } from './projection.ts';
export {
  CONDITIONAL_WRITE,
  type ExpressionMembers,
  type Expressions,
  type ExpressionUse,
  GET,
  QUERY,
  readExpressions,
  SCAN,
  UPDATE,
} from './request.ts';
export type { Comparator } from './syntax.ts';
export {
  type Condition,
  type DocumentPath,
  type Operand,
  type Projection,
  pathsOf,
  type Update,
  type UpdateAction,
  type UpdateValue,
} from './tree.ts';
