/** UpdateTable: what is asked for, and what it makes of a table. */
import { DynamoError, validationError } from '../errors/index.ts';
import { LAST_INDEX } from '../rows/index.ts';
import { tableNameOf } from './arn.ts';
import type { TableChange } from './catalog.ts';
import { encryptionOf, refuseForeign } from './create-table.ts';
import type { GlobalIndex, KeyAttribute, TableDescriptor, Throughput } from './descriptor.ts';
import type { TableTask } from './job-record.ts';
import type { UpdateTableInput, WireIndexUpdate } from './requests.ts';
import { changedStreams, checkStream } from './streams-of-tables.ts';
import {
  attributesDeclared,
  checkIndexes,
  globalIndex,
  INVALID,
  onDemandOf,
  throughputOf,
  warmOf,
} from './table-checks.ts';

const NOTHING =
  'At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required';
const ONE_AT_A_TIME =
  'Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table';

export interface UpdatePlan {
  readonly name: string;
  readonly input: UpdateTableInput;
  readonly attributes: readonly KeyAttribute[];
}

const nameOf = ({ Create, Update, Delete }: WireIndexUpdate): string | undefined =>
  (Create ?? Update ?? Delete)?.IndexName;

/** Checks what needs no table to be wrong. @throws DynamoError */
export function planUpdate(input: UpdateTableInput): UpdatePlan {
  refuseForeign(input, [
    'ReplicaUpdates',
    'MultiRegionConsistency',
    'GlobalTableWitnessUpdates',
    'GlobalTableSettingsReplicationMode',
    'VectorIndexUpdates',
  ]);
  const updates = input.GlobalSecondaryIndexUpdates ?? [];
  const isNothing =
    updates.length === 0 &&
    [
      input.BillingMode,
      input.ProvisionedThroughput,
      input.StreamSpecification,
      input.SSESpecification,
      input.TableClass,
      input.DeletionProtectionEnabled,
      input.OnDemandThroughput,
      input.WarmThroughput,
    ].every((member) => member === undefined);
  if (isNothing) throw validationError(NOTHING);
  checkStream(input.StreamSpecification);
  const names = new Set<string>();
  for (const update of updates) {
    const name = nameOf(update);
    const actions = [update.Create, update.Update, update.Delete].filter((action) => action !== undefined);
    if (name === undefined || actions.length !== 1) {
      throw validationError(
        `${INVALID}One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete must not be null`,
      );
    }
    if (names.has(name)) {
      throw validationError(
        `${INVALID}Only one global secondary index update per index is allowed simultaneously. Index: ${name}`,
      );
    }
    names.add(name);
  }
  if (updates.filter(({ Create, Delete }) => Create !== undefined || Delete !== undefined).length > 1) {
    throw new DynamoError('LimitExceededException', ONE_AT_A_TIME);
  }
  const attributes = attributesDeclared(input.AttributeDefinitions ?? []);
  return { name: tableNameOf(input.TableName), input, attributes };
}

/** What the table is then. @throws DynamoError when it cannot be */
export function changedTable(
  table: TableDescriptor,
  tasks: readonly TableTask[],
  plan: UpdatePlan,
  nowMs: number,
): TableChange {
  const { input } = plan;
  if (table.status !== 'ACTIVE') throw inUse(table);
  const billing = input.BillingMode ?? table.billing;
  const changed: TableDescriptor = {
    ...table,
    billing,
    throughput: tableThroughput(table, plan, billing, nowMs),
    onDemandSinceMs: billing === 'PAY_PER_REQUEST' && table.billing !== billing ? nowMs : table.onDemandSinceMs,
    onDemand: onDemandOf(input.OnDemandThroughput) ?? table.onDemand,
    warm: warmOf(input.WarmThroughput) ?? table.warm,
    tableClass: input.TableClass ?? table.tableClass,
    isDeletionProtected: input.DeletionProtectionEnabled ?? table.isDeletionProtected,
    encryption: input.SSESpecification === undefined ? table.encryption : encryptionOf(input.SSESpecification),
    streams:
      input.StreamSpecification === undefined ? table.streams : changedStreams(table, input.StreamSpecification, nowMs),
  };
  const added: TableTask[] = [];
  let { attributes } = table;
  let indexes: readonly GlobalIndex[] =
    billing === 'PAY_PER_REQUEST'
      ? table.globalIndexes.map((index) => ({ ...index, throughput: { read: 0, write: 0 } }))
      : table.globalIndexes;
  for (const update of input.GlobalSecondaryIndexUpdates ?? []) {
    if (update.Create !== undefined) {
      attributes = withAttributes(attributes, plan.attributes, update.Create.KeySchema);
      const number = freeNumber(indexes);
      indexes = [...indexes, globalIndex(update.Create, number, attributes, billing, false)];
      added.push({ kind: 'fillIndex', index: number, items: 0 });
    } else {
      const name = nameOf(update)!;
      const index = indexes.find((one) => one.name === name);
      if (index === undefined) {
        throw new DynamoError('ResourceNotFoundException', `Requested resource not found: Index: ${name} not found`);
      }
      const other =
        update.Delete !== undefined
          ? ({ ...index, state: 'DELETING' } as const)
          : updatedIndex(index, update.Update!, billing, nowMs);
      if (update.Delete !== undefined) added.push({ kind: 'dropIndex', index: index.number });
      indexes = indexes.map((one) => (one === index ? other : one));
    }
  }
  checkIndexes(table.localIndexes, indexes);
  const isChanging = added.length > 0;
  return {
    table: {
      ...changed,
      attributes: isChanging ? usedAttributes(attributes, { ...changed, globalIndexes: indexes }) : attributes,
      globalIndexes: indexes,
      status: isChanging ? 'UPDATING' : 'ACTIVE',
    },
    tasks: [...tasks, ...added],
  };
}

/** The table is being made, changed or deleted. */
export const inUse = ({ name, status }: TableDescriptor): DynamoError => {
  const what = status === 'CREATING' ? 'created' : status === 'DELETING' ? 'deleted' : 'updated';
  return new DynamoError(
    'ResourceInUseException',
    `Attempt to change a resource which is still in use: Table is being ${what}: ${name}`,
  );
};

function tableThroughput(
  table: TableDescriptor,
  { input }: UpdatePlan,
  billing: TableDescriptor['billing'],
  nowMs: number,
): Throughput {
  const { ProvisionedThroughput: units } = input;
  if (units === undefined && billing === table.billing) return table.throughput;
  const next = throughputOf(units, billing);
  if (billing !== table.billing || billing === 'PAY_PER_REQUEST') return next;
  const { read, write } = table.throughput;
  if (next.read === read && next.write === write) {
    throw validationError(
      'The provisioned throughput for the table will not change. The requested value equals the current value. ' +
        `Current ReadCapacityUnits provisioned for the table: ${read}. Requested ReadCapacityUnits: ${next.read}. ` +
        `Current WriteCapacityUnits provisioned for the table: ${write}. Requested WriteCapacityUnits: ${next.write}. ` +
        'Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits.',
    );
  }
  return dated(table.throughput, next, nowMs);
}

const dated = (before: Throughput, next: Throughput, nowMs: number): Throughput => ({
  ...next,
  increasedMs: next.read > before.read || next.write > before.write ? nowMs : before.increasedMs,
  decreasedMs: next.read < before.read || next.write < before.write ? nowMs : before.decreasedMs,
});

function updatedIndex(
  index: GlobalIndex,
  update: NonNullable<WireIndexUpdate['Update']>,
  billing: TableDescriptor['billing'],
  nowMs: number,
): GlobalIndex {
  const units = update.ProvisionedThroughput;
  const throughput =
    units === undefined ? index.throughput : dated(index.throughput, throughputOf(units, billing, index.name), nowMs);
  return {
    ...index,
    throughput,
    onDemand: onDemandOf(update.OnDemandThroughput) ?? index.onDemand,
    warm: warmOf(update.WarmThroughput) ?? index.warm,
  };
}

/** Attributes that a new index needs, beside those that there are; others that are declared are passed over. */
function withAttributes(
  known: readonly KeyAttribute[],
  declared: readonly KeyAttribute[],
  schema: readonly { readonly AttributeName: string }[],
): readonly KeyAttribute[] {
  const needed = new Set(schema.map(({ AttributeName }) => AttributeName));
  const added: KeyAttribute[] = [];
  for (const attribute of declared) {
    const before = known.find(({ name }) => name === attribute.name);
    if (before !== undefined && before.type !== attribute.type) {
      throw validationError(
        `${INVALID}Cannot change the type of an attribute that is a key already. Attribute: ${attribute.name}`,
      );
    }
    if (before === undefined && needed.has(attribute.name)) added.push(attribute);
  }
  return [...known, ...added];
}

/** Attributes of keys that there still are. */
function usedAttributes(attributes: readonly KeyAttribute[], table: TableDescriptor): readonly KeyAttribute[] {
  const indexes = table.globalIndexes.filter(({ state }) => state !== 'DELETING');
  const keys = [table.key, ...table.localIndexes.map(({ key }) => key), ...indexes.map(({ key }) => key)];
  const used = new Set(keys.flatMap(({ hash, range }) => [...hash, ...range]).map(({ name }) => name));
  return attributes.filter(({ name }) => used.has(name));
}

/** Behind all that there were is best: rows of an index that was dropped may be left for a moment under its own number only. */
function freeNumber(indexes: readonly GlobalIndex[]): number {
  const used = new Set(indexes.map(({ number }) => number));
  for (let number = 1; number <= LAST_INDEX; number++) if (!used.has(number)) return number;
  throw new DynamoError('LimitExceededException', 'The table has had too many indexes at a time');
}
