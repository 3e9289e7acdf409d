/** Requests about tables: their life, indexes, tags, expiry, and streams. */
import { INDEX_NAME, TABLE_NAME, TABLE_OF_CONTROL, TAG_LIST } from './common.ts';
import {
  BOOLEAN,
  integer,
  type ListShape,
  list,
  long,
  OPAQUE,
  oneOf,
  type StructureShape,
  string,
  structure,
} from './shapes.ts';

const KEY_ATTRIBUTE_NAME = string({ min: 1, max: 255 });

const ATTRIBUTE_DEFINITIONS = list(
  structure('AttributeDefinition', {
    'AttributeName!': KEY_ATTRIBUTE_NAME,
    'AttributeType!': oneOf('B', 'N', 'S'),
  }),
);

const keySchemaOf = (max: number): ListShape =>
  list(
    structure('KeySchemaElement', {
      'AttributeName!': KEY_ATTRIBUTE_NAME,
      'KeyType!': oneOf('HASH', 'RANGE'),
    }),
    { min: 1, max },
  );

/** A hash key and a range key. */
const KEY_SCHEMA = keySchemaOf(2);
/** Up to four of each. */
const GLOBAL_KEY_SCHEMA = keySchemaOf(8);

const PROJECTION = structure('Projection', {
  ProjectionType: oneOf('ALL', 'INCLUDE', 'KEYS_ONLY'),
  NonKeyAttributes: list(string({ min: 1, max: 255 }), { min: 1, max: 20 }),
});

const PROVISIONED_THROUGHPUT = structure('ProvisionedThroughput', {
  'WriteCapacityUnits!': long({ min: 1 }),
  'ReadCapacityUnits!': long({ min: 1 }),
});

const ON_DEMAND_THROUGHPUT = structure('OnDemandThroughput', {
  MaxReadRequestUnits: long(),
  MaxWriteRequestUnits: long(),
});

const WARM_THROUGHPUT = structure('WarmThroughput', { ReadUnitsPerSecond: long(), WriteUnitsPerSecond: long() });

const LOCAL_INDEXES = list(
  structure('LocalSecondaryIndex', {
    'IndexName!': INDEX_NAME,
    'KeySchema!': KEY_SCHEMA,
    'Projection!': PROJECTION,
  }),
);

const GLOBAL_INDEX_MEMBERS = {
  'IndexName!': INDEX_NAME,
  'KeySchema!': GLOBAL_KEY_SCHEMA,
  'Projection!': PROJECTION,
  ProvisionedThroughput: PROVISIONED_THROUGHPUT,
  OnDemandThroughput: ON_DEMAND_THROUGHPUT,
  WarmThroughput: WARM_THROUGHPUT,
};

const BILLING_MODE = oneOf('PROVISIONED', 'PAY_PER_REQUEST');

const STREAM_SPECIFICATION = structure('StreamSpecification', {
  'StreamEnabled!': BOOLEAN,
  StreamViewType: oneOf('NEW_IMAGE', 'OLD_IMAGE', 'NEW_AND_OLD_IMAGES', 'KEYS_ONLY'),
});

const SSE_SPECIFICATION = structure('SSESpecification', {
  Enabled: BOOLEAN,
  SSEType: oneOf('AES256', 'KMS'),
  KMSMasterKeyId: string(),
});

const TABLE_CLASS = oneOf('STANDARD', 'STANDARD_INFREQUENT_ACCESS');

const CREATE_TABLE = structure('CreateTableInput', {
  'AttributeDefinitions!': ATTRIBUTE_DEFINITIONS,
  'TableName!': TABLE_OF_CONTROL,
  BillingMode: BILLING_MODE,
  ProvisionedThroughput: PROVISIONED_THROUGHPUT,
  'KeySchema!': KEY_SCHEMA,
  LocalSecondaryIndexes: LOCAL_INDEXES,
  GlobalSecondaryIndexes: list(structure('GlobalSecondaryIndex', GLOBAL_INDEX_MEMBERS)),
  StreamSpecification: STREAM_SPECIFICATION,
  SSESpecification: SSE_SPECIFICATION,
  Tags: TAG_LIST,
  TableClass: TABLE_CLASS,
  DeletionProtectionEnabled: BOOLEAN,
  WarmThroughput: WARM_THROUGHPUT,
  ResourcePolicy: string(),
  OnDemandThroughput: ON_DEMAND_THROUGHPUT,
  GlobalTableSourceArn: OPAQUE,
  GlobalTableSettingsReplicationMode: OPAQUE,
  VectorIndexes: OPAQUE,
});

const UPDATE_TABLE = structure('UpdateTableInput', {
  'TableName!': TABLE_OF_CONTROL,
  AttributeDefinitions: ATTRIBUTE_DEFINITIONS,
  ProvisionedThroughput: PROVISIONED_THROUGHPUT,
  BillingMode: BILLING_MODE,
  GlobalSecondaryIndexUpdates: list(
    structure('GlobalSecondaryIndexUpdate', {
      Update: structure('UpdateGlobalSecondaryIndexAction', {
        'IndexName!': INDEX_NAME,
        ProvisionedThroughput: PROVISIONED_THROUGHPUT,
        OnDemandThroughput: ON_DEMAND_THROUGHPUT,
        WarmThroughput: WARM_THROUGHPUT,
      }),
      Create: structure('CreateGlobalSecondaryIndexAction', GLOBAL_INDEX_MEMBERS),
      Delete: structure('DeleteGlobalSecondaryIndexAction', { 'IndexName!': INDEX_NAME }),
    }),
  ),
  StreamSpecification: STREAM_SPECIFICATION,
  SSESpecification: SSE_SPECIFICATION,
  ReplicaUpdates: OPAQUE,
  TableClass: TABLE_CLASS,
  DeletionProtectionEnabled: BOOLEAN,
  MultiRegionConsistency: OPAQUE,
  GlobalTableWitnessUpdates: OPAQUE,
  OnDemandThroughput: ON_DEMAND_THROUGHPUT,
  WarmThroughput: WARM_THROUGHPUT,
  GlobalTableSettingsReplicationMode: OPAQUE,
  VectorIndexUpdates: OPAQUE,
});

const STREAM_ARN = string({ min: 37, max: 1024 });
const SHARD_ID = string({ min: 28, max: 65 });
const PAGE_LIMIT = integer({ min: 1, max: 100 });

/** By the names of their operations. */
export const TABLE_REQUESTS: Readonly<Record<string, StructureShape>> = {
  CreateTable: CREATE_TABLE,
  UpdateTable: UPDATE_TABLE,
  DescribeTable: structure('DescribeTableInput', { 'TableName!': TABLE_OF_CONTROL }),
  DeleteTable: structure('DeleteTableInput', { 'TableName!': TABLE_OF_CONTROL }),
  ListTables: structure('ListTablesInput', { Limit: PAGE_LIMIT, ExclusiveStartTableName: TABLE_NAME }),
  // The operations on tags say by themselves what is wrong with theirs, in words that fit nothing else.
  TagResource: structure('TagResourceInput', { ResourceArn: string(), Tags: TAG_LIST }),
  UntagResource: structure('UntagResourceInput', { ResourceArn: string(), TagKeys: list(string()) }),
  ListTagsOfResource: structure('ListTagsOfResourceInput', { ResourceArn: string(), NextToken: string() }),
  UpdateTimeToLive: structure('UpdateTimeToLiveInput', {
    'TableName!': TABLE_OF_CONTROL,
    'TimeToLiveSpecification!': structure('TimeToLiveSpecification', {
      'Enabled!': BOOLEAN,
      'AttributeName!': string({ min: 1, max: 255 }),
    }),
  }),
  DescribeTimeToLive: structure('DescribeTimeToLiveInput', { 'TableName!': TABLE_OF_CONTROL }),
};

/** By the names of their operations, which have a target of their own. */
export const STREAM_REQUESTS: Readonly<Record<string, StructureShape>> = {
  ListStreams: structure('ListStreamsInput', {
    TableName: TABLE_NAME,
    Limit: PAGE_LIMIT,
    ExclusiveStartStreamArn: STREAM_ARN,
  }),
  DescribeStream: structure('DescribeStreamInput', {
    'StreamArn!': STREAM_ARN,
    Limit: PAGE_LIMIT,
    ExclusiveStartShardId: SHARD_ID,
    ShardFilter: structure('ShardFilter', { Type: oneOf('CHILD_SHARDS'), ShardId: SHARD_ID }),
  }),
  GetShardIterator: structure('GetShardIteratorInput', {
    'StreamArn!': STREAM_ARN,
    'ShardId!': SHARD_ID,
    'ShardIteratorType!': oneOf('TRIM_HORIZON', 'LATEST', 'AT_SEQUENCE_NUMBER', 'AFTER_SEQUENCE_NUMBER'),
    SequenceNumber: string({ min: 21, max: 40 }),
  }),
  GetRecords: structure('GetRecordsInput', {
    'ShardIterator!': string({ min: 1, max: 2048 }),
    Limit: integer({ min: 1, max: 1000 }),
  }),
};
