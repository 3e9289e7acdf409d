/** CreateTable: what is asked for, checked and made a table of. */
import { validationError } from '../errors/index.ts';
import { BASE_INDEX } from '../rows/index.ts';
import { tableNameOf } from './arn.ts';
import type { TableDescriptor } from './descriptor.ts';
import type { CreateTableInput, WireEncryption, WireTag } from './requests.ts';
import { checkStream, withNewStream } from './streams-of-tables.ts';
import {
  attributesDeclared,
  checkAllUsed,
  checkIndexes,
  globalIndex,
  INVALID,
  localIndexes,
  onDemandOf,
  simpleKey,
  throughputOf,
  warmOf,
} from './table-checks.ts';
import { checkTags } from './tags.ts';

const NAME = /^[a-zA-Z0-9_.-]+$/;
const MIN_NAME = 3;
const MAX_NAME = 255;

/** All of a table but what it is given when it is made. */
export type TableDraft = Omit<
  TableDescriptor,
  'id' | 'version' | 'tableId' | 'createdMs' | 'segments' | 'streams' | 'onDemandSinceMs'
>;

export interface CreatePlan {
  readonly draft: TableDraft;
  readonly viewType: TableDescriptor['streams'][number]['viewType'] | undefined;
  readonly tags: readonly WireTag[] | undefined;
}

/** Described only with a key of the client's: without one everything is encrypted by a key that is nobody's business. */
export const encryptionOf = (wire: WireEncryption | undefined): TableDescriptor['encryption'] =>
  wire?.Enabled === true ? { type: wire.SSEType ?? 'KMS', keyArn: wire.KMSMasterKeyId } : undefined;

/** Members that belong to global tables and vectors. @throws DynamoError when there are some */
export function refuseForeign(input: object, members: readonly string[]): void {
  for (const member of members) {
    if (Object.hasOwn(input, member)) throw validationError(`${INVALID}${member} is not supported`);
  }
}

/** Checks a request that needs no table to be wrong. @throws DynamoError */
export function planCreate(input: CreateTableInput): CreatePlan {
  refuseForeign(input, ['GlobalTableSourceArn', 'GlobalTableSettingsReplicationMode', 'VectorIndexes']);
  const name = tableNameOf(input.TableName);
  if (name.length < MIN_NAME || name.length > MAX_NAME) {
    throw validationError(
      `TableName must be at least ${MIN_NAME} characters long and at most ${MAX_NAME} characters long`,
    );
  }
  if (!NAME.test(name)) throw validationError(`${INVALID}TableName has characters that names of tables have not`);
  const billing = input.BillingMode ?? 'PROVISIONED';
  const attributes = attributesDeclared(input.AttributeDefinitions);
  const throughput = throughputOf(input.ProvisionedThroughput, billing);
  const key = simpleKey(input.KeySchema, attributes);
  const locals = localIndexes(input.LocalSecondaryIndexes, key, attributes);
  if (input.GlobalSecondaryIndexes?.length === 0)
    throw validationError(`${INVALID}List of GlobalSecondaryIndexes is empty`);
  const globals = (input.GlobalSecondaryIndexes ?? []).map((wire, at) =>
    globalIndex(wire, BASE_INDEX + 1 + at, attributes, billing, true),
  );
  checkIndexes(locals, globals);
  checkAllUsed(
    attributes,
    [key, ...locals.map((one) => one.key), ...globals.map((one) => one.key)],
    locals.length + globals.length > 0,
  );
  checkStream(input.StreamSpecification);
  if (input.Tags !== undefined) checkTags(input.Tags);
  return {
    draft: {
      name,
      status: 'ACTIVE',
      key,
      attributes,
      billing,
      throughput,
      onDemand: onDemandOf(input.OnDemandThroughput),
      warm: warmOf(input.WarmThroughput),
      tableClass: input.TableClass,
      isDeletionProtected: input.DeletionProtectionEnabled === true,
      encryption: encryptionOf(input.SSESpecification),
      localIndexes: locals,
      globalIndexes: globals,
    },
    viewType: input.StreamSpecification?.StreamEnabled === true ? input.StreamSpecification.StreamViewType : undefined,
    tags: input.Tags,
  };
}

/** The table of a plan. @param tableId a UUID that is new */
export function tableOfPlan(
  { draft, viewType }: CreatePlan,
  tableId: string,
  nowMs: number,
): Omit<TableDescriptor, 'id' | 'version'> {
  return {
    ...draft,
    tableId,
    createdMs: nowMs,
    onDemandSinceMs: draft.billing === 'PAY_PER_REQUEST' ? nowMs : undefined,
    segments: [{ start: 0, createdMs: nowMs }],
    streams: viewType === undefined ? [] : withNewStream([], viewType, nowMs),
  };
}
