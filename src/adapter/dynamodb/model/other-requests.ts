/**
 * Requests about what is around tables. Operations that are refused have those members alone that decide how: the service passes over members that
 * it does not know, and so do we.
 */
import { INDEX_NAME, RESOURCE_ARN, TABLE, TABLE_NAME } from './common.ts';
import { BOOLEAN, integer, oneOf, type StructureShape, string, structure } from './shapes.ts';

const ARN = string({ min: 37, max: 1024 });
const OF_TABLE = { 'TableName!': TABLE };
const OF_GLOBAL_TABLE = { 'GlobalTableName!': TABLE_NAME };
const NEXT_TOKEN = string();

/** By the names of their operations. */
export const OTHER_REQUESTS: Readonly<Record<string, StructureShape>> = {
  DescribeLimits: structure('DescribeLimitsInput', {}),
  DescribeEndpoints: structure('DescribeEndpointsRequest', {}),

  DescribeContinuousBackups: structure('DescribeContinuousBackupsInput', OF_TABLE),
  UpdateContinuousBackups: structure('UpdateContinuousBackupsInput', {
    ...OF_TABLE,
    'PointInTimeRecoverySpecification!': structure('PointInTimeRecoverySpecification', {
      'PointInTimeRecoveryEnabled!': BOOLEAN,
      RecoveryPeriodInDays: integer({ min: 1, max: 35 }),
    }),
  }),
  ListBackups: structure('ListBackupsInput', {
    TableName: TABLE,
    Limit: integer({ min: 1, max: 100 }),
    ExclusiveStartBackupArn: ARN,
    BackupType: oneOf('USER', 'SYSTEM', 'AWS_BACKUP', 'ALL'),
  }),
  CreateBackup: structure('CreateBackupInput', { ...OF_TABLE, 'BackupName!': TABLE_NAME }),
  DescribeBackup: structure('DescribeBackupInput', { 'BackupArn!': ARN }),
  DeleteBackup: structure('DeleteBackupInput', { 'BackupArn!': ARN }),
  RestoreTableFromBackup: structure('RestoreTableFromBackupInput', {
    'TargetTableName!': TABLE_NAME,
    'BackupArn!': ARN,
  }),
  RestoreTableToPointInTime: structure('RestoreTableToPointInTimeInput', {
    SourceTableArn: TABLE,
    SourceTableName: TABLE_NAME,
    'TargetTableName!': TABLE_NAME,
  }),

  ExportTableToPointInTime: structure('ExportTableToPointInTimeInput', {
    'TableArn!': TABLE,
    'S3Bucket!': string({ max: 255 }),
  }),
  DescribeExport: structure('DescribeExportInput', { 'ExportArn!': ARN }),
  ListExports: structure('ListExportsInput', {
    TableArn: TABLE,
    MaxResults: integer({ min: 1, max: 25 }),
    NextToken: NEXT_TOKEN,
  }),
  ImportTable: structure('ImportTableInput', {}),
  DescribeImport: structure('DescribeImportInput', { 'ImportArn!': ARN }),
  ListImports: structure('ListImportsInput', {
    TableArn: TABLE,
    PageSize: integer({ min: 1, max: 25 }),
    NextToken: NEXT_TOKEN,
  }),

  ListBulkOperations: structure('ListBulkOperationsInput', {}),

  DescribeContributorInsights: structure('DescribeContributorInsightsInput', { ...OF_TABLE, IndexName: INDEX_NAME }),
  UpdateContributorInsights: structure('UpdateContributorInsightsInput', {
    ...OF_TABLE,
    IndexName: INDEX_NAME,
    'ContributorInsightsAction!': oneOf('ENABLE', 'DISABLE'),
    ContributorInsightsMode: oneOf('ACCESSED_AND_THROTTLED_KEYS', 'THROTTLED_KEYS'),
  }),
  ListContributorInsights: structure('ListContributorInsightsInput', {
    TableName: TABLE,
    NextToken: NEXT_TOKEN,
    MaxResults: integer({ max: 100 }),
  }),

  DescribeKinesisStreamingDestination: structure('DescribeKinesisStreamingDestinationInput', OF_TABLE),
  EnableKinesisStreamingDestination: structure('KinesisStreamingDestinationInput', { ...OF_TABLE, 'StreamArn!': ARN }),
  DisableKinesisStreamingDestination: structure('KinesisStreamingDestinationInput', { ...OF_TABLE, 'StreamArn!': ARN }),
  UpdateKinesisStreamingDestination: structure('UpdateKinesisStreamingDestinationInput', {
    ...OF_TABLE,
    'StreamArn!': ARN,
  }),

  GetResourcePolicy: structure('GetResourcePolicyInput', { 'ResourceArn!': RESOURCE_ARN }),
  PutResourcePolicy: structure('PutResourcePolicyInput', { 'ResourceArn!': RESOURCE_ARN, 'Policy!': string() }),
  DeleteResourcePolicy: structure('DeleteResourcePolicyInput', { 'ResourceArn!': RESOURCE_ARN }),

  DescribeGlobalTable: structure('DescribeGlobalTableInput', OF_GLOBAL_TABLE),
  DescribeGlobalTableSettings: structure('DescribeGlobalTableSettingsInput', OF_GLOBAL_TABLE),
  CreateGlobalTable: structure('CreateGlobalTableInput', OF_GLOBAL_TABLE),
  UpdateGlobalTable: structure('UpdateGlobalTableInput', OF_GLOBAL_TABLE),
  UpdateGlobalTableSettings: structure('UpdateGlobalTableSettingsInput', OF_GLOBAL_TABLE),
  ListGlobalTables: structure('ListGlobalTablesInput', {
    ExclusiveStartGlobalTableName: TABLE_NAME,
    Limit: integer({ min: 1 }),
    RegionName: string(),
  }),
  DescribeTableReplicaAutoScaling: structure('DescribeTableReplicaAutoScalingInput', OF_TABLE),
  UpdateTableReplicaAutoScaling: structure('UpdateTableReplicaAutoScalingInput', OF_TABLE),
};
