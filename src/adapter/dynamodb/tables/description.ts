/** Tables as the answers of Create-, Describe-, Update- and DeleteTable show them. Members that a table does not have are undefined. */
import { type ArnPlace, tableArn } from './arn.ts';
import type { Count, TableCounts } from './counts.ts';
import {
  type GlobalIndex,
  type KeySchema,
  openStream,
  type Projection,
  type TableDescriptor,
  type Throughput,
} from './descriptor.ts';

const NONE: Count = { items: 0, bytes: 0 };
const NOT_COUNTED: TableCounts = { ...NONE, indexes: new Map() };
/** What a table without settings of its own may do at once, by its description. */
const WARM_ON_DEMAND = { read: 12_000, write: 4_000 };

const seconds = (ms: number): number => ms / 1000;

const keySchema = ({ hash, range }: KeySchema): object[] => [
  ...hash.map(({ name }) => ({ AttributeName: name, KeyType: 'HASH' })),
  ...range.map(({ name }) => ({ AttributeName: name, KeyType: 'RANGE' })),
];

const projection = (shown: Projection): object => ({
  ProjectionType: shown.kind,
  NonKeyAttributes: shown.kind === 'INCLUDE' ? shown.names : undefined,
});

const throughput = ({ read, write, increasedMs, decreasedMs }: Throughput): object => ({
  LastIncreaseDateTime: increasedMs === undefined ? undefined : seconds(increasedMs),
  LastDecreaseDateTime: decreasedMs === undefined ? undefined : seconds(decreasedMs),
  NumberOfDecreasesToday: 0,
  ReadCapacityUnits: read,
  WriteCapacityUnits: write,
});

const onDemand = (limits: { readonly read?: number | undefined; readonly write?: number | undefined } | undefined) =>
  limits === undefined ? undefined : { MaxReadRequestUnits: limits.read, MaxWriteRequestUnits: limits.write };

function warm(
  shown: { readonly read: number; readonly write: number } | undefined,
  { read, write }: Throughput,
  isOnDemand: boolean,
): object {
  const units = shown ?? (isOnDemand ? WARM_ON_DEMAND : { read, write });
  return { ReadUnitsPerSecond: units.read, WriteUnitsPerSecond: units.write, Status: 'ACTIVE' };
}

function globalIndex(arn: string, isOnDemand: boolean, index: GlobalIndex, { items, bytes }: Count): object {
  return {
    IndexName: index.name,
    KeySchema: keySchema(index.key),
    Projection: projection(index.projection),
    IndexStatus: index.state,
    Backfilling: index.state === 'CREATING' ? index.isBackfilling : undefined,
    ProvisionedThroughput: throughput(index.throughput),
    IndexSizeBytes: bytes,
    ItemCount: items,
    IndexArn: `${arn}/index/${index.name}`,
    OnDemandThroughput: onDemand(index.onDemand),
    WarmThroughput: warm(index.warm, index.throughput, isOnDemand),
  };
}

/** See the top of the file. */
export function describeTable(table: TableDescriptor, place: ArnPlace, counts: TableCounts = NOT_COUNTED): object {
  const arn = tableArn(place, table.name);
  const isDeleting = table.status === 'DELETING';
  const isOnDemand = table.billing === 'PAY_PER_REQUEST';
  const stream = openStream(table);
  const latest = table.streams.at(-1);
  const { encryption } = table;
  const countOf = (name: string): Count => counts.indexes.get(name) ?? NONE;
  const details = {
    AttributeDefinitions: table.attributes.map(({ name, type }) => ({ AttributeName: name, AttributeType: type })),
    KeySchema: keySchema(table.key),
    LocalSecondaryIndexes: some(table.localIndexes, (index) => ({
      IndexName: index.name,
      KeySchema: keySchema(index.key),
      Projection: projection(index.projection),
      IndexSizeBytes: countOf(index.name).bytes,
      ItemCount: countOf(index.name).items,
      IndexArn: `${arn}/index/${index.name}`,
    })),
    GlobalSecondaryIndexes: some(table.globalIndexes, (index) =>
      globalIndex(arn, isOnDemand, index, countOf(index.name)),
    ),
  };
  return {
    ...(isDeleting ? {} : details),
    TableName: table.name,
    TableStatus: table.status,
    CreationDateTime: seconds(table.createdMs),
    ProvisionedThroughput: throughput(table.throughput),
    TableSizeBytes: counts.bytes,
    ItemCount: counts.items,
    TableArn: arn,
    TableId: table.tableId,
    BillingModeSummary:
      isOnDemand || table.onDemandSinceMs !== undefined
        ? {
            BillingMode: table.billing,
            LastUpdateToPayPerRequestDateTime:
              table.onDemandSinceMs === undefined ? undefined : seconds(table.onDemandSinceMs),
          }
        : undefined,
    StreamSpecification: stream === undefined ? undefined : { StreamEnabled: true, StreamViewType: stream.viewType },
    LatestStreamLabel: latest?.label,
    LatestStreamArn: latest === undefined ? undefined : `${arn}/stream/${latest.label}`,
    SSEDescription:
      encryption === undefined
        ? undefined
        : { Status: 'ENABLED', SSEType: encryption.type, KMSMasterKeyArn: encryption.keyArn },
    TableClassSummary: table.tableClass === undefined ? undefined : { TableClass: table.tableClass },
    DeletionProtectionEnabled: table.isDeletionProtected,
    OnDemandThroughput: onDemand(table.onDemand),
    WarmThroughput: isDeleting ? undefined : warm(table.warm, table.throughput, isOnDemand),
  };
}

/** A list that is left out when it is empty. */
const some = <T>(list: readonly T[], show: (one: T) => object): object[] | undefined =>
  list.length === 0 ? undefined : list.map(show);
