/** Requests about items as their checked trees have them. */
import type { ExpressionMembers } from '../expressions/index.ts';
import type { WireItem } from '../values/index.ts';
import type { ReturnConsumedCapacity } from './consumed-capacity.ts';

export type ReturnValues = 'NONE' | 'ALL_OLD' | 'UPDATED_OLD' | 'ALL_NEW' | 'UPDATED_NEW';

interface Costed {
  readonly ReturnConsumedCapacity?: ReturnConsumedCapacity;
}

interface Metered extends Costed {
  readonly ReturnItemCollectionMetrics?: 'SIZE' | 'NONE';
}

export interface GetItemInput extends Costed, ExpressionMembers {
  readonly TableName: string;
  readonly Key: WireItem;
  readonly ConsistentRead?: boolean;
}

interface WriteInput extends Metered, ExpressionMembers {
  readonly TableName: string;
  readonly ReturnValues?: ReturnValues;
  readonly ReturnValuesOnConditionCheckFailure?: 'ALL_OLD' | 'NONE';
}

export interface PutItemInput extends WriteInput {
  readonly Item: WireItem;
}

export interface DeleteItemInput extends WriteInput {
  readonly Key: WireItem;
}

export interface UpdateItemInput extends WriteInput {
  readonly Key: WireItem;
}

interface TransactAction extends ExpressionMembers {
  readonly TableName: string;
  readonly ReturnValuesOnConditionCheckFailure?: 'ALL_OLD' | 'NONE';
}

export interface TransactWriteItem {
  readonly ConditionCheck?: TransactAction & { readonly Key: WireItem };
  readonly Put?: TransactAction & { readonly Item: WireItem };
  readonly Delete?: TransactAction & { readonly Key: WireItem };
  readonly Update?: TransactAction & { readonly Key: WireItem };
}

export interface TransactWriteItemsInput extends Metered {
  readonly TransactItems: readonly TransactWriteItem[];
  readonly ClientRequestToken?: string;
}

export interface TransactGetItemsInput extends Costed {
  readonly TransactItems: readonly {
    readonly Get: ExpressionMembers & { readonly TableName: string; readonly Key: WireItem };
  }[];
}

export interface WireWriteRequest {
  readonly PutRequest?: { readonly Item: WireItem };
  readonly DeleteRequest?: { readonly Key: WireItem };
}

export interface BatchWriteItemInput extends Metered {
  readonly RequestItems: { readonly [table: string]: readonly WireWriteRequest[] };
}

export interface WireKeysAndAttributes extends ExpressionMembers {
  readonly Keys: readonly WireItem[];
  readonly ConsistentRead?: boolean;
}

export interface BatchGetItemInput extends Costed {
  readonly RequestItems: { readonly [table: string]: WireKeysAndAttributes };
}

export type Select = 'ALL_ATTRIBUTES' | 'ALL_PROJECTED_ATTRIBUTES' | 'SPECIFIC_ATTRIBUTES' | 'COUNT';

interface PageInput extends Costed, ExpressionMembers {
  readonly TableName: string;
  readonly IndexName?: string;
  readonly Select?: Select;
  readonly Limit?: number;
  readonly ConsistentRead?: boolean;
  readonly ExclusiveStartKey?: WireItem;
}

export interface QueryInput extends PageInput {
  readonly ScanIndexForward?: boolean;
}

export interface ScanInput extends PageInput {
  readonly Segment?: number;
  readonly TotalSegments?: number;
}
