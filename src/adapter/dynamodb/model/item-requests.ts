/** Requests about items: one, many, transactions, queries, statements. */
import {
  ATTRIBUTE_NAMES,
  ATTRIBUTE_VALUES,
  ATTRIBUTES_TO_GET,
  CLIENT_REQUEST_TOKEN,
  CONDITIONAL_OPERATOR,
  CONDITIONS,
  EXPECTED,
  EXPRESSION,
  INDEX_NAME,
  ITEM,
  KEY,
  RETURN_CONSUMED_CAPACITY,
  RETURN_ITEM_COLLECTION_METRICS,
  RETURN_VALUES,
  RETURN_VALUES_ON_FAILURE,
  TABLE,
} from './common.ts';
import { ATTRIBUTE, BOOLEAN, integer, list, map, oneOf, type StructureShape, string, structure } from './shapes.ts';

const SELECT = oneOf('SPECIFIC_ATTRIBUTES', 'COUNT', 'ALL_ATTRIBUTES', 'ALL_PROJECTED_ATTRIBUTES');
const LIMIT = integer({ min: 1 });

const GET_ITEM = structure('GetItemInput', {
  ReturnConsumedCapacity: RETURN_CONSUMED_CAPACITY,
  AttributesToGet: ATTRIBUTES_TO_GET,
  'TableName!': TABLE,
  'Key!': KEY,
  ConsistentRead: BOOLEAN,
  ProjectionExpression: EXPRESSION,
  ExpressionAttributeNames: ATTRIBUTE_NAMES,
});

const PUT_ITEM = structure('PutItemInput', {
  ReturnConsumedCapacity: RETURN_CONSUMED_CAPACITY,
  'TableName!': TABLE,
  'Item!': ITEM,
  ConditionalOperator: CONDITIONAL_OPERATOR,
  Expected: EXPECTED,
  ReturnValues: RETURN_VALUES,
  ReturnItemCollectionMetrics: RETURN_ITEM_COLLECTION_METRICS,
  ConditionExpression: EXPRESSION,
  ExpressionAttributeValues: ATTRIBUTE_VALUES,
  ExpressionAttributeNames: ATTRIBUTE_NAMES,
  ReturnValuesOnConditionCheckFailure: RETURN_VALUES_ON_FAILURE,
});

const DELETE_ITEM = structure('DeleteItemInput', {
  ReturnConsumedCapacity: RETURN_CONSUMED_CAPACITY,
  'TableName!': TABLE,
  ReturnValues: RETURN_VALUES,
  ReturnItemCollectionMetrics: RETURN_ITEM_COLLECTION_METRICS,
  'Key!': KEY,
  ConditionalOperator: CONDITIONAL_OPERATOR,
  Expected: EXPECTED,
  ConditionExpression: EXPRESSION,
  ExpressionAttributeValues: ATTRIBUTE_VALUES,
  ExpressionAttributeNames: ATTRIBUTE_NAMES,
  ReturnValuesOnConditionCheckFailure: RETURN_VALUES_ON_FAILURE,
});

const UPDATE_ITEM = structure('UpdateItemInput', {
  ReturnConsumedCapacity: RETURN_CONSUMED_CAPACITY,
  'TableName!': TABLE,
  ReturnItemCollectionMetrics: RETURN_ITEM_COLLECTION_METRICS,
  ReturnValues: RETURN_VALUES,
  'Key!': KEY,
  ConditionalOperator: CONDITIONAL_OPERATOR,
  Expected: EXPECTED,
  AttributeUpdates: map(structure('AttributeValueUpdate', { Action: oneOf('ADD', 'DELETE', 'PUT'), Value: ATTRIBUTE })),
  ConditionExpression: EXPRESSION,
  UpdateExpression: EXPRESSION,
  ExpressionAttributeValues: ATTRIBUTE_VALUES,
  ExpressionAttributeNames: ATTRIBUTE_NAMES,
  ReturnValuesOnConditionCheckFailure: RETURN_VALUES_ON_FAILURE,
});

const QUERY = structure('QueryInput', {
  Select: SELECT,
  IndexName: INDEX_NAME,
  ReturnConsumedCapacity: RETURN_CONSUMED_CAPACITY,
  QueryFilter: CONDITIONS,
  'TableName!': TABLE,
  ConditionalOperator: CONDITIONAL_OPERATOR,
  AttributesToGet: ATTRIBUTES_TO_GET,
  Limit: LIMIT,
  KeyConditions: CONDITIONS,
  ExclusiveStartKey: KEY,
  ConsistentRead: BOOLEAN,
  ScanIndexForward: BOOLEAN,
  KeyConditionExpression: EXPRESSION,
  FilterExpression: EXPRESSION,
  ProjectionExpression: EXPRESSION,
  ExpressionAttributeValues: ATTRIBUTE_VALUES,
  ExpressionAttributeNames: ATTRIBUTE_NAMES,
});

const SCAN = structure('ScanInput', {
  Select: SELECT,
  IndexName: INDEX_NAME,
  TotalSegments: integer({ min: 1, max: 1_000_000 }),
  ReturnConsumedCapacity: RETURN_CONSUMED_CAPACITY,
  'TableName!': TABLE,
  ConditionalOperator: CONDITIONAL_OPERATOR,
  ScanFilter: CONDITIONS,
  Segment: integer({ min: 0, max: 999_999 }),
  Limit: LIMIT,
  AttributesToGet: ATTRIBUTES_TO_GET,
  ExclusiveStartKey: KEY,
  ConsistentRead: BOOLEAN,
  FilterExpression: EXPRESSION,
  ProjectionExpression: EXPRESSION,
  ExpressionAttributeValues: ATTRIBUTE_VALUES,
  ExpressionAttributeNames: ATTRIBUTE_NAMES,
});

const BATCH_GET_ITEM = structure('BatchGetItemInput', {
  ReturnConsumedCapacity: RETURN_CONSUMED_CAPACITY,
  'RequestItems!': map(
    structure('KeysAndAttributes', {
      'Keys!': list(KEY, { min: 1, max: 100 }),
      AttributesToGet: ATTRIBUTES_TO_GET,
      ConsistentRead: BOOLEAN,
      ProjectionExpression: EXPRESSION,
      ExpressionAttributeNames: ATTRIBUTE_NAMES,
    }),
    { key: TABLE, min: 1, max: 100 },
  ),
});

const BATCH_WRITE_ITEM = structure('BatchWriteItemInput', {
  ReturnConsumedCapacity: RETURN_CONSUMED_CAPACITY,
  ReturnItemCollectionMetrics: RETURN_ITEM_COLLECTION_METRICS,
  'RequestItems!': map(
    list(
      structure('WriteRequest', {
        DeleteRequest: structure('DeleteRequest', { 'Key!': KEY }),
        PutRequest: structure('PutRequest', { 'Item!': ITEM }),
      }),
      { min: 1, max: 25 },
    ),
    { key: TABLE, min: 1, max: 25 },
  ),
});

const TRANSACT_GET_ITEMS = structure('TransactGetItemsInput', {
  'TransactItems!': list(
    structure('TransactGetItem', {
      'Get!': structure('Get', {
        'Key!': KEY,
        'TableName!': TABLE,
        ProjectionExpression: EXPRESSION,
        ExpressionAttributeNames: ATTRIBUTE_NAMES,
      }),
    }),
    { min: 1, max: 100 },
  ),
  ReturnConsumedCapacity: RETURN_CONSUMED_CAPACITY,
});

const CONDITION_MEMBERS = {
  ExpressionAttributeNames: ATTRIBUTE_NAMES,
  ExpressionAttributeValues: ATTRIBUTE_VALUES,
  ReturnValuesOnConditionCheckFailure: RETURN_VALUES_ON_FAILURE,
};

const TRANSACT_WRITE_ITEMS = structure('TransactWriteItemsInput', {
  'TransactItems!': list(
    structure('TransactWriteItem', {
      ConditionCheck: structure('ConditionCheck', {
        'Key!': KEY,
        'TableName!': TABLE,
        'ConditionExpression!': EXPRESSION,
        ...CONDITION_MEMBERS,
      }),
      Put: structure('Put', {
        'Item!': ITEM,
        'TableName!': TABLE,
        ConditionExpression: EXPRESSION,
        ...CONDITION_MEMBERS,
      }),
      Delete: structure('Delete', {
        'Key!': KEY,
        'TableName!': TABLE,
        ConditionExpression: EXPRESSION,
        ...CONDITION_MEMBERS,
      }),
      Update: structure('Update', {
        'Key!': KEY,
        'UpdateExpression!': EXPRESSION,
        'TableName!': TABLE,
        ConditionExpression: EXPRESSION,
        ...CONDITION_MEMBERS,
      }),
    }),
    { min: 1, max: 100 },
  ),
  ReturnConsumedCapacity: RETURN_CONSUMED_CAPACITY,
  ReturnItemCollectionMetrics: RETURN_ITEM_COLLECTION_METRICS,
  ClientRequestToken: CLIENT_REQUEST_TOKEN,
});

const STATEMENT = string({ min: 1, max: 8192 });
const PARAMETERS = list(ATTRIBUTE, { min: 1 });

const EXECUTE_STATEMENT = structure('ExecuteStatementInput', {
  'Statement!': STATEMENT,
  Parameters: PARAMETERS,
  ConsistentRead: BOOLEAN,
  NextToken: string({ min: 1, max: 32_768 }),
  ReturnConsumedCapacity: RETURN_CONSUMED_CAPACITY,
  Limit: LIMIT,
  ReturnValuesOnConditionCheckFailure: RETURN_VALUES_ON_FAILURE,
});

const BATCH_EXECUTE_STATEMENT = structure('BatchExecuteStatementInput', {
  'Statements!': list(
    structure('BatchStatementRequest', {
      'Statement!': STATEMENT,
      Parameters: PARAMETERS,
      ConsistentRead: BOOLEAN,
      ReturnValuesOnConditionCheckFailure: RETURN_VALUES_ON_FAILURE,
    }),
    { min: 1, max: 25 },
  ),
  ReturnConsumedCapacity: RETURN_CONSUMED_CAPACITY,
});

const EXECUTE_TRANSACTION = structure('ExecuteTransactionInput', {
  'TransactStatements!': list(
    structure('ParameterizedStatement', {
      'Statement!': STATEMENT,
      Parameters: PARAMETERS,
      ReturnValuesOnConditionCheckFailure: RETURN_VALUES_ON_FAILURE,
    }),
    { min: 1, max: 100 },
  ),
  ClientRequestToken: CLIENT_REQUEST_TOKEN,
  ReturnConsumedCapacity: RETURN_CONSUMED_CAPACITY,
});

/** By the names of their operations. */
export const ITEM_REQUESTS: Readonly<Record<string, StructureShape>> = {
  GetItem: GET_ITEM,
  PutItem: PUT_ITEM,
  DeleteItem: DELETE_ITEM,
  UpdateItem: UPDATE_ITEM,
  Query: QUERY,
  Scan: SCAN,
  BatchGetItem: BATCH_GET_ITEM,
  BatchWriteItem: BATCH_WRITE_ITEM,
  TransactGetItems: TRANSACT_GET_ITEMS,
  TransactWriteItems: TRANSACT_WRITE_ITEMS,
  ExecuteStatement: EXECUTE_STATEMENT,
  BatchExecuteStatement: BATCH_EXECUTE_STATEMENT,
  ExecuteTransaction: EXECUTE_TRANSACTION,
};
