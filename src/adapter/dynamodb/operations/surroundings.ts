/**
 * What the service has around tables and this one has not: insights, streams to Kinesis, policies, copies in other regions. Descriptions and lists say
 * that there is none; what would switch one on is refused.
 */
import { DynamoError, validationError } from '../errors/index.ts';
import { type AnyOperation, declareOperation } from '../operation/index.ts';
import type { OfGlobalTable, OfIndex, OfResource, OfTable } from './requests.ts';
import { type TableLookup, tableOrNotFound } from './table-lookup.ts';

/** An operation on a table that only refuses, once the table is there. */
const refusedOnTable = (name: string, lookUp: TableLookup, reason: string): AnyOperation =>
  declareOperation({
    name,
    access: 'write',
    validate: (input: OfTable) => input,
    async run(context, { TableName }): Promise<object> {
      await tableOrNotFound(lookUp, TableName, context);
      throw validationError(reason);
    },
  });

const insights = (lookUp: TableLookup): AnyOperation[] => [
  declareOperation({
    name: 'DescribeContributorInsights',
    access: 'read',
    validate: (input: OfIndex) => input,
    async run(context, { TableName, IndexName }) {
      const name = await tableOrNotFound(lookUp, TableName, context);
      return { TableName: name, IndexName, ContributorInsightsStatus: 'DISABLED' };
    },
  }),
  declareOperation({
    name: 'UpdateContributorInsights',
    access: 'write',
    validate(input: OfIndex & { readonly ContributorInsightsAction: 'ENABLE' | 'DISABLE' }) {
      if (input.ContributorInsightsAction === 'ENABLE') {
        throw validationError('Contributor insights cannot be enabled here: the node has metrics of its own.');
      }
      return input;
    },
    async run(context, { TableName, IndexName }) {
      const name = await tableOrNotFound(lookUp, TableName, context);
      return { TableName: name, IndexName, ContributorInsightsStatus: 'DISABLED' };
    },
  }),
  declareOperation({
    name: 'ListContributorInsights',
    access: 'read',
    validate: (input: object) => input,
    run: async () => ({ ContributorInsightsSummaries: [] }),
  }),
];

const NO_KINESIS = 'Tables cannot be streamed to Kinesis here: read their streams with GetRecords.';

const kinesis = (lookUp: TableLookup): AnyOperation[] => [
  declareOperation({
    name: 'DescribeKinesisStreamingDestination',
    access: 'read',
    validate: (input: OfTable) => input,
    async run(context, { TableName }) {
      const name = await tableOrNotFound(lookUp, TableName, context);
      return { TableName: name, KinesisDataStreamDestinations: [] };
    },
  }),
  refusedOnTable('EnableKinesisStreamingDestination', lookUp, NO_KINESIS),
  refusedOnTable('DisableKinesisStreamingDestination', lookUp, NO_KINESIS),
  refusedOnTable('UpdateKinesisStreamingDestination', lookUp, NO_KINESIS),
];

const POLICIES: readonly AnyOperation[] = [
  declareOperation({
    name: 'GetResourcePolicy',
    access: 'read',
    validate: (input: OfResource) => input,
    async run(_context, { ResourceArn }): Promise<object> {
      throw new DynamoError(
        'PolicyNotFoundException',
        `Resource-based policy not found for the provided ResourceArn: ${ResourceArn}`,
      );
    },
  }),
  declareOperation({
    name: 'PutResourcePolicy',
    access: 'write',
    validate(_input: OfResource): object {
      throw validationError('Resources have no policies here: access keys say who may read and write.');
    },
    run: async (_context, input) => input,
  }),
  // There is none, and deleting it again is no error.
  declareOperation({
    name: 'DeleteResourcePolicy',
    access: 'write',
    validate: (input: OfResource) => input,
    run: async () => ({}),
  }),
];

const NO_COPIES = 'Tables have no copies in other regions here: the cluster has its own replicas.';

const onGlobalTable = (name: string, access: 'read' | 'write'): AnyOperation =>
  declareOperation({
    name,
    access,
    validate: (input: OfGlobalTable) => input,
    async run(_context, { GlobalTableName }): Promise<object> {
      throw new DynamoError(
        'GlobalTableNotFoundException',
        `Global table not found: Global table with name: '${GlobalTableName}' does not exist.`,
      );
    },
  });

const globalTables = (lookUp: TableLookup): AnyOperation[] => [
  onGlobalTable('DescribeGlobalTable', 'read'),
  onGlobalTable('DescribeGlobalTableSettings', 'read'),
  onGlobalTable('UpdateGlobalTable', 'write'),
  onGlobalTable('UpdateGlobalTableSettings', 'write'),
  declareOperation({
    name: 'CreateGlobalTable',
    access: 'write',
    validate(_input: OfGlobalTable): object {
      throw validationError(NO_COPIES);
    },
    run: async (_context, input) => input,
  }),
  declareOperation({
    name: 'ListGlobalTables',
    access: 'read',
    validate: (input: object) => input,
    run: async () => ({ GlobalTables: [] }),
  }),
  declareOperation({
    name: 'DescribeTableReplicaAutoScaling',
    access: 'read',
    validate: (input: OfTable) => input,
    async run(context, { TableName }) {
      const name = await tableOrNotFound(lookUp, TableName, context);
      return { TableAutoScalingDescription: { TableName: name, TableStatus: 'ACTIVE', Replicas: [] } };
    },
  }),
  refusedOnTable('UpdateTableReplicaAutoScaling', lookUp, NO_COPIES),
];

/** All of them. */
export const surroundingOperations = (lookUp: TableLookup): AnyOperation[] => [
  ...insights(lookUp),
  ...kinesis(lookUp),
  ...POLICIES,
  ...globalTables(lookUp),
];
