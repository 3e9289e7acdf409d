/** What docs/dynamodb.md says about operations and parameters beside what the sources say by themselves. */

/** How an operation or a parameter is served. */
export type Standing =
  /** As the service does it. */
  | 'yes'
  /** Stored and described; nothing else happens. */
  | 'kept'
  /** Taken, and without effect. */
  | 'ignored'
  /** Answers that there is none. */
  | 'none'
  /** Refused with an exception of its own. */
  | 'refused'
  /** Answered as an operation that the service does not know. */
  | 'unknown';

export interface Note {
  /** Left out: as the service does it. */
  readonly standing?: Standing;
  /** What is different, a sentence or two. */
  readonly difference?: string;
  /** By name; parameters that are not named are as the service has them. */
  readonly parameters?: Readonly<Record<string, Note>>;
}

const KEPT: Note = { standing: 'kept', difference: 'Nothing is throttled or billed by it.' };
const NO_COPIES: Note = { standing: 'refused', difference: 'There are no copies in other regions.' };
const NO_VECTORS: Note = { standing: 'refused', difference: 'There are no vector indexes.' };
const NO_BACKUPS: Note = {
  standing: 'refused',
  difference: 'The whole cluster is backed up, see operations.',
};
const NO_KINESIS: Note = { standing: 'refused', difference: 'Tables have their own streams.' };
const IGNORED: Note = { standing: 'ignored' };
const METRICS: Note = { difference: 'SizeEstimateRangeGB is always 0 to 1: partitions have no limit of 10 GB.' };

/** The service passes over members of requests that are refused in any case. */
const REFUSED_ANYHOW: Note = { standing: 'ignored', difference: 'The request is refused in any case.' };

const TABLE_SETTINGS: Readonly<Record<string, Note>> = {
  ProvisionedThroughput: KEPT,
  OnDemandThroughput: KEPT,
  WarmThroughput: KEPT,
  SSESpecification: { standing: 'kept', difference: 'Data is not encrypted by it.' },
  TableClass: { standing: 'kept' },
};

export const NOTES: Readonly<Record<string, Note>> = {
  BatchExecuteStatement: {
    parameters: { ReturnConsumedCapacity: { difference: 'One member for each statement, not for each table.' } },
  },
  CreateTable: {
    difference: 'The table is there when the answer comes; the answer says CREATING, as programs expect.',
    parameters: {
      ...TABLE_SETTINGS,
      ResourcePolicy: { standing: 'ignored', difference: 'Access keys say who may read and write.' },
      GlobalTableSourceArn: NO_COPIES,
      GlobalTableSettingsReplicationMode: NO_COPIES,
      VectorIndexes: NO_VECTORS,
    },
  },
  DescribeStream: {
    difference: 'Shards are cut where ranges have come to other groups, not by throughput.',
  },
  UpdateTable: {
    parameters: {
      ...TABLE_SETTINGS,
      DisassociationProtectionEnabled: { standing: 'ignored', difference: 'There are no copies in other regions.' },
      ReplicaUpdates: NO_COPIES,
      MultiRegionConsistency: NO_COPIES,
      GlobalTableWitnessUpdates: NO_COPIES,
      GlobalTableSettingsReplicationMode: NO_COPIES,
      VectorIndexUpdates: NO_VECTORS,
    },
  },
  Query: {
    difference:
      'Global indexes are consistent: a page has everything that was acknowledged before. ConsistentRead on one is refused all the same.',
  },
  Scan: {
    difference: 'Global indexes are consistent. ConsistentRead on one is refused all the same.',
  },
  PutItem: { parameters: { ReturnItemCollectionMetrics: METRICS } },
  UpdateItem: { parameters: { ReturnItemCollectionMetrics: METRICS } },
  DeleteItem: { parameters: { ReturnItemCollectionMetrics: METRICS } },
  BatchWriteItem: { parameters: { ReturnItemCollectionMetrics: METRICS } },
  TransactWriteItems: {
    difference:
      'An item that another transaction holds is waited for, where the service answers TransactionConflict at once.',
    parameters: { ReturnItemCollectionMetrics: METRICS },
  },
  DescribeLimits: { difference: 'The limits of a new account; nothing counts against them.' },
  DescribeEndpoints: { difference: 'The endpoint that was asked.' },

  DescribeContinuousBackups: { standing: 'none' },
  UpdateContinuousBackups: {
    standing: 'refused',
    difference: 'Switching off succeeds.',
    parameters: { PointInTimeRecoverySpecification: { difference: 'Only off is taken.' } },
  },
  ListBackups: {
    standing: 'none',
    parameters: { TimeRangeLowerBound: IGNORED, TimeRangeUpperBound: IGNORED },
  },
  CreateBackup: NO_BACKUPS,
  DescribeBackup: NO_BACKUPS,
  DeleteBackup: NO_BACKUPS,
  RestoreTableFromBackup: NO_BACKUPS,
  RestoreTableToPointInTime: NO_BACKUPS,
  ExportTableToPointInTime: NO_BACKUPS,
  DescribeExport: NO_BACKUPS,
  ListExports: { standing: 'none' },
  ImportTable: { standing: 'refused', difference: 'Items are written with BatchWriteItem.' },
  DescribeImport: { standing: 'refused', difference: 'There is none.' },
  ListImports: { standing: 'none' },
  StartBulkPutItems: { standing: 'unknown' },
  DescribeBulkOperation: { standing: 'unknown' },
  CancelBulkOperation: { standing: 'unknown' },
  ListBulkOperations: { standing: 'none' },
  SearchVectors: { standing: 'unknown' },

  DescribeContributorInsights: { standing: 'none' },
  UpdateContributorInsights: {
    standing: 'refused',
    difference: 'Switching off succeeds. Nodes have metrics of their own.',
  },
  ListContributorInsights: { standing: 'none' },
  DescribeKinesisStreamingDestination: { standing: 'none' },
  EnableKinesisStreamingDestination: NO_KINESIS,
  DisableKinesisStreamingDestination: NO_KINESIS,
  UpdateKinesisStreamingDestination: NO_KINESIS,
  GetResourcePolicy: { standing: 'none' },
  PutResourcePolicy: { standing: 'refused', difference: 'Access keys say who may read and write.' },
  DeleteResourcePolicy: { standing: 'none' },
  DescribeGlobalTable: { standing: 'none' },
  DescribeGlobalTableSettings: { standing: 'none' },
  CreateGlobalTable: NO_COPIES,
  UpdateGlobalTable: NO_COPIES,
  UpdateGlobalTableSettings: NO_COPIES,
  ListGlobalTables: { standing: 'none' },
  DescribeTableReplicaAutoScaling: { standing: 'none' },
  UpdateTableReplicaAutoScaling: NO_COPIES,
};

/** The note of a parameter that the model of this program has not: only what is refused or answers that there is none may do without. */
export const noteOfMissing = (operation: string): Note | undefined => {
  const standing = NOTES[operation]?.standing;
  if (standing === 'refused') return REFUSED_ANYHOW;
  return standing === 'none' || standing === 'unknown' ? IGNORED : undefined;
};
