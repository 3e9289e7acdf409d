/**
 * Backups, points in time, exports and imports. There are none: a cluster is backed up as a whole, with `raftadmin`. Descriptions and lists say so, so
 * that tools which look at everything go on; what would make one is refused and never succeeds for show.
 */
import { DynamoError, validationError } from '../errors/index.ts';
import { type AnyOperation, declareOperation } from '../operation/index.ts';
import type { OfBackup, OfTable } from './requests.ts';
import { type TableLookup, tableForBackups } from './table-lookup.ts';

const NONE_CONTINUOUS = {
  ContinuousBackupsDescription: {
    ContinuousBackupsStatus: 'DISABLED',
    PointInTimeRecoveryDescription: { PointInTimeRecoveryStatus: 'DISABLED' },
  },
};
const WHOLE_CLUSTER = 'Tables are not backed up one by one here: an operator backs up the whole cluster.';

interface UpdateContinuousBackupsInput extends OfTable {
  readonly PointInTimeRecoverySpecification: { readonly PointInTimeRecoveryEnabled: boolean };
}

interface RestoreToPointInTimeInput {
  readonly SourceTableArn?: string;
  readonly SourceTableName?: string;
}

const continuousUnavailable = () => new DynamoError('ContinuousBackupsUnavailableException', WHOLE_CLUSTER);

const noBackup = ({ BackupArn }: OfBackup): never => {
  throw new DynamoError('BackupNotFoundException', `Backup not found: ${BackupArn}`);
};

/** An operation on a backup, none of which exists. */
const onBackup = (name: string, access: 'read' | 'write'): AnyOperation =>
  declareOperation({
    name,
    access,
    validate: (input: OfBackup) => input,
    run: async (_context, input) => noBackup(input),
  });

/** A list with nothing in it. */
const emptyList = (name: string, member: string): AnyOperation =>
  declareOperation({ name, access: 'read', validate: (input: object) => input, run: async () => ({ [member]: [] }) });

const noPointInTime = (table: string): never => {
  throw new DynamoError(
    'PointInTimeRecoveryUnavailableException',
    `Point in time recovery is not enabled for table '${table}'`,
  );
};

/** All of them. */
export const backupOperations = (lookUp: TableLookup): AnyOperation[] => [
  declareOperation({
    name: 'DescribeContinuousBackups',
    access: 'read',
    validate: (input: OfTable) => input,
    async run(context, { TableName }) {
      await tableForBackups(lookUp, TableName, context);
      return NONE_CONTINUOUS;
    },
  }),
  declareOperation({
    name: 'UpdateContinuousBackups',
    access: 'write',
    validate: (input: UpdateContinuousBackupsInput) => input,
    async run(context, { TableName, PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: isOn } }) {
      await tableForBackups(lookUp, TableName, context);
      if (isOn) throw continuousUnavailable();
      return NONE_CONTINUOUS;
    },
  }),
  declareOperation({
    name: 'CreateBackup',
    access: 'write',
    validate: (input: OfTable) => input,
    async run(context, { TableName }): Promise<object> {
      await tableForBackups(lookUp, TableName, context);
      throw continuousUnavailable();
    },
  }),
  onBackup('DescribeBackup', 'read'),
  onBackup('DeleteBackup', 'write'),
  onBackup('RestoreTableFromBackup', 'write'),
  emptyList('ListBackups', 'BackupSummaries'),
  declareOperation({
    name: 'RestoreTableToPointInTime',
    access: 'write',
    validate(input: RestoreToPointInTimeInput) {
      const source = input.SourceTableArn ?? input.SourceTableName;
      if (source === undefined) {
        throw validationError(
          'One or more parameter values were invalid: Either SourceTableName or SourceTableArn must be specified',
        );
      }
      return source;
    },
    run: async (context, source): Promise<object> => noPointInTime(await tableForBackups(lookUp, source, context)),
  }),
  declareOperation({
    name: 'ExportTableToPointInTime',
    access: 'write',
    validate: (input: { readonly TableArn: string }) => input,
    run: async (context, { TableArn }): Promise<object> =>
      noPointInTime(await tableForBackups(lookUp, TableArn, context)),
  }),
  declareOperation({
    name: 'DescribeExport',
    access: 'read',
    validate: (input: { readonly ExportArn: string }) => input,
    async run(_context, { ExportArn }): Promise<object> {
      throw new DynamoError('ExportNotFoundException', `Export not found: ${ExportArn}`);
    },
  }),
  emptyList('ListExports', 'ExportSummaries'),
  declareOperation({
    name: 'ImportTable',
    access: 'write',
    validate(): object {
      throw validationError('Tables cannot be imported from a bucket here: write their items with BatchWriteItem.');
    },
    run: async (_context, input) => input,
  }),
  declareOperation({
    name: 'DescribeImport',
    access: 'read',
    validate: (input: { readonly ImportArn: string }) => input,
    async run(_context, { ImportArn }): Promise<object> {
      throw new DynamoError('ImportNotFoundException', `Import not found: ${ImportArn}`);
    },
  }),
  emptyList('ListImports', 'ImportSummaryList'),
  emptyList('ListBulkOperations', 'BulkOperationsSummaryList'),
];
