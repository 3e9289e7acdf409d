/**
 * What expressions mean, whoever wrote them: expressions, parameters of the older kind and statements all become these trees. Names and values
 * are in them, and what a tree may not have was refused when it was made.
 */
import type { AttributeType, AttributeValue } from '../values/index.ts';
import type { Comparator } from './syntax.ts';

/** Names of attributes and map members, indexes of list elements; the first is a name. */
export type DocumentPath = readonly (string | number)[];

export type Operand =
  | { readonly kind: 'path'; readonly path: DocumentPath }
  | { readonly kind: 'value'; readonly value: AttributeValue }
  | { readonly kind: 'size'; readonly of: Operand };

export type Condition =
  | { readonly kind: 'and' | 'or'; readonly left: Condition; readonly right: Condition }
  | { readonly kind: 'not'; readonly condition: Condition }
  | { readonly kind: 'compare'; readonly comparator: Comparator; readonly left: Operand; readonly right: Operand }
  | { readonly kind: 'between'; readonly operand: Operand; readonly low: Operand; readonly high: Operand }
  | { readonly kind: 'in'; readonly operand: Operand; readonly members: readonly Operand[] }
  | { readonly kind: 'exists'; readonly path: DocumentPath }
  | { readonly kind: 'attribute_type'; readonly operand: Operand; readonly type: AttributeType }
  | { readonly kind: 'begins_with' | 'contains'; readonly operand: Operand; readonly part: Operand };

/** What SET computes, from the item as it was. */
export type UpdateValue =
  | { readonly kind: 'path'; readonly path: DocumentPath }
  | { readonly kind: 'value'; readonly value: AttributeValue }
  | { readonly kind: 'if_not_exists'; readonly path: DocumentPath; readonly otherwise: UpdateValue }
  | { readonly kind: 'list_append'; readonly left: UpdateValue; readonly right: UpdateValue }
  | { readonly kind: 'arithmetic'; readonly sign: '+' | '-'; readonly left: UpdateValue; readonly right: UpdateValue };

export type UpdateAction =
  | { readonly kind: 'set'; readonly path: DocumentPath; readonly value: UpdateValue }
  | { readonly kind: 'remove'; readonly path: DocumentPath }
  /** Adds to a number or a set, or behind a list, which only parameters of the older kind can ask. */
  | { readonly kind: 'add'; readonly path: DocumentPath; readonly value: AttributeValue }
  /** Takes members out of a set. */
  | { readonly kind: 'delete'; readonly path: DocumentPath; readonly value: AttributeValue };

export interface Update {
  /** Their paths neither overlap nor conflict. */
  readonly actions: readonly UpdateAction[];
  /** Of a value in the item that has another type than an action needs. */
  readonly mismatch: string;
}

/** The paths neither overlap nor conflict. */
export interface Projection {
  readonly paths: readonly DocumentPath[];
}

/** Text of `Update.mismatch` for expressions. */
export const OPERAND_MISMATCH = 'An operand in the update expression has an incorrect data type';

/** Every path that a condition looks at. */
export function pathsOf(condition: Condition): DocumentPath[] {
  const paths: DocumentPath[] = [];
  const ofOperand = (operand: Operand): void => {
    if (operand.kind === 'path') paths.push(operand.path);
    else if (operand.kind === 'size') ofOperand(operand.of);
  };
  const walk = (node: Condition): void => {
    switch (node.kind) {
      case 'and':
      case 'or':
        walk(node.left);
        walk(node.right);
        return;
      case 'not':
        walk(node.condition);
        return;
      case 'compare':
        ofOperand(node.left);
        ofOperand(node.right);
        return;
      case 'between':
        ofOperand(node.operand);
        ofOperand(node.low);
        ofOperand(node.high);
        return;
      case 'in':
        ofOperand(node.operand);
        node.members.forEach(ofOperand);
        return;
      case 'exists':
        paths.push(node.path);
        return;
      case 'attribute_type':
        ofOperand(node.operand);
        return;
      case 'begins_with':
      case 'contains':
        ofOperand(node.operand);
        ofOperand(node.part);
        return;
    }
  };
  walk(condition);
  return paths;
}
