import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  DescribeContinuousBackupsCommand,
  DescribeContributorInsightsCommand,
  DescribeEndpointsCommand,
  DescribeGlobalTableCommand,
  DescribeKinesisStreamingDestinationCommand,
  DescribeLimitsCommand,
  DescribeTableReplicaAutoScalingCommand,
  DynamoDBClient,
  GetResourcePolicyCommand,
  ListBackupsCommand,
  ListContributorInsightsCommand,
  ListExportsCommand,
  ListGlobalTablesCommand,
  ListImportsCommand,
  SearchVectorsCommand,
  UpdateContinuousBackupsCommand,
} from '@aws-sdk/client-dynamodb';
import { ITEM_API, REQUESTS } from '../../../../src/adapter/dynamodb/model/index.ts';
import { OTHER_REQUESTS } from '../../../../src/adapter/dynamodb/model/other-requests.ts';
import { operationTable } from '../../../../src/adapter/dynamodb/operations/index.ts';
import { membersOf, openBed, type PortBed, RawClient, requestBytes } from '../wire/port-bed.ts';

const TABLE = operationTable(async (name) => ({ name, exists: name === 'there' }), []);

describe('operations around tables', () => {
  let bed: PortBed;
  let client: DynamoDBClient;
  before(async () => {
    bed = await openBed({ operations: [...TABLE.values()] });
    client = new DynamoDBClient({
      endpoint: `http://127.0.0.1:${bed.port}`,
      region: 'eu-west-1',
      credentials: { accessKeyId: 'a', secretAccessKey: 's' },
      maxAttempts: 1,
    });
  });
  after(async () => {
    client.destroy();
    await bed.stop();
  });

  test('are all that the model has of them', () => {
    assert.deepEqual([...TABLE.keys()].sort(), Object.keys(OTHER_REQUESTS).sort());
    assert.ok([...TABLE.keys()].every((name) => REQUESTS.has(`${ITEM_API}.${name}`)));
  });

  test('describe the limits of an account and the endpoint that was asked', async () => {
    const { $metadata: _, ...limits } = await client.send(new DescribeLimitsCommand({}));
    assert.deepEqual(Object.values(limits), [80_000, 80_000, 40_000, 40_000]);
    const { Endpoints } = await client.send(new DescribeEndpointsCommand({}));
    assert.deepEqual(Endpoints, [{ Address: `127.0.0.1:${bed.port}`, CachePeriodInMinutes: 1440 }]);
  });

  test('say of what there is not that it is off, or that there is none', async () => {
    const TableName = 'there';
    const { ContinuousBackupsDescription: backups } = await client.send(
      new DescribeContinuousBackupsCommand({ TableName }),
    );
    assert.equal(backups?.PointInTimeRecoveryDescription?.PointInTimeRecoveryStatus, 'DISABLED');
    const off = { PointInTimeRecoveryEnabled: false };
    await client.send(new UpdateContinuousBackupsCommand({ TableName, PointInTimeRecoverySpecification: off }));
    const insights = await client.send(new DescribeContributorInsightsCommand({ TableName, IndexName: 'index' }));
    assert.deepEqual([insights.IndexName, insights.ContributorInsightsStatus], ['index', 'DISABLED']);
    const kinesis = await client.send(new DescribeKinesisStreamingDestinationCommand({ TableName }));
    assert.deepEqual(kinesis.KinesisDataStreamDestinations, []);
    await client.send(new DescribeTableReplicaAutoScalingCommand({ TableName }));
    assert.deepEqual((await client.send(new ListBackupsCommand({}))).BackupSummaries, []);
    assert.deepEqual((await client.send(new ListExportsCommand({}))).ExportSummaries, []);
    assert.deepEqual((await client.send(new ListImportsCommand({}))).ImportSummaryList, []);
    assert.deepEqual((await client.send(new ListGlobalTablesCommand({}))).GlobalTables, []);
    assert.deepEqual((await client.send(new ListContributorInsightsCommand({}))).ContributorInsightsSummaries, []);
  });

  test('tell a table that is not there, each in its own words', async () => {
    const TableName = 'nowhere';
    await assert.rejects(client.send(new DescribeContinuousBackupsCommand({ TableName })), {
      name: 'TableNotFoundException',
      message: 'Table not found: nowhere',
    });
    await assert.rejects(client.send(new DescribeContributorInsightsCommand({ TableName })), {
      name: 'ResourceNotFoundException',
      message: 'Requested resource not found: Table: nowhere not found',
    });
    await assert.rejects(client.send(new DescribeGlobalTableCommand({ GlobalTableName: TableName })), {
      name: 'GlobalTableNotFoundException',
    });
    await assert.rejects(client.send(new GetResourcePolicyCommand({ ResourceArn: 'arn:x' })), {
      name: 'PolicyNotFoundException',
    });
    await assert.rejects(
      client.send(
        new SearchVectorsCommand({ TableName, IndexName: 'abc', SearchVector: { L: [] }, Limit: 1 } as never),
      ),
      { name: 'UnknownOperationException' },
    );
  });

  test('refuse what would make something that there is not, and never succeed for show', async () => {
    const raw = await RawClient.open(bed.port);
    const arn = 'arn:aws:dynamodb:eu-west-1:000000000000:table/there/backup/0123';
    const refused: Readonly<Record<string, object>> = {
      UpdateContinuousBackups: { PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true } },
      CreateBackup: { BackupName: 'abc' },
      DescribeBackup: { BackupArn: arn },
      DeleteBackup: { BackupArn: arn },
      RestoreTableFromBackup: { BackupArn: arn, TargetTableName: 'abc' },
      RestoreTableToPointInTime: { SourceTableName: 'there', TargetTableName: 'abc' },
      ExportTableToPointInTime: { TableArn: 'there', S3Bucket: 'b' },
      DescribeExport: { ExportArn: arn },
      ImportTable: {},
      DescribeImport: { ImportArn: arn },
      UpdateContributorInsights: { ContributorInsightsAction: 'ENABLE' },
      EnableKinesisStreamingDestination: { StreamArn: arn },
      DisableKinesisStreamingDestination: { StreamArn: arn },
      UpdateKinesisStreamingDestination: { StreamArn: arn },
      PutResourcePolicy: { ResourceArn: arn, Policy: '{}' },
      CreateGlobalTable: { GlobalTableName: 'abc' },
      UpdateGlobalTable: { GlobalTableName: 'abc' },
      UpdateGlobalTableSettings: { GlobalTableName: 'abc' },
      DescribeGlobalTableSettings: { GlobalTableName: 'abc' },
      UpdateTableReplicaAutoScaling: {},
    };
    for (const [name, input] of Object.entries(refused)) {
      raw.write(requestBytes(name, JSON.stringify({ TableName: 'there', ...input })));
      const answer = (await raw.answer())!;
      assert.equal(answer.status, 400, name);
      assert.doesNotMatch(String(membersOf(answer).__type), /Serialization|UnknownOperation/, name);
      assert.doesNotMatch(String(membersOf(answer).message), /validation error/, name);
    }
    raw.close();
    assert.deepEqual(bed.failures, []);
  });
});
