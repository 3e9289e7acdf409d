/** What has to be true of keys, indexes and settings of tables, and what the service says when it is not. */
import { validationError } from '../errors/index.ts';
import type {
  GlobalIndex,
  KeyAttribute,
  KeySchema,
  LocalIndex,
  OnDemandLimits,
  Projection,
  Throughput,
  WarmThroughput,
} from './descriptor.ts';
import type {
  WireAttributeDefinition,
  WireGlobalIndex,
  WireKeyElement,
  WireLocalIndex,
  WireOnDemand,
  WireProjection,
  WireThroughput,
  WireWarm,
} from './requests.ts';

export const INVALID = 'One or more parameter values were invalid: ';
const MAX_GLOBAL_INDEXES = 20;
const MAX_LOCAL_INDEXES = 5;
/** Names that all indexes of a table project beside keys. */
const MAX_PROJECTED_NAMES = 100;
const MAX_KEY_PARTS = 4;
/** Units are kept and described; what no service has is a mistake. */
const MAX_UNITS = 10 ** 12;

export type Billing = 'PROVISIONED' | 'PAY_PER_REQUEST';

const invalid = (what: string) => validationError(INVALID + what);
const listed = (names: Iterable<string>): string => `[${[...names].join(', ')}]`;

/** Types of key attributes by name. @throws DynamoError for a name that is declared twice */
export function attributesDeclared(definitions: readonly WireAttributeDefinition[]): KeyAttribute[] {
  const names = new Set<string>();
  return definitions.map(({ AttributeName: name, AttributeType: type }) => {
    if (names.has(name)) throw invalid(`Cannot have two attributes with the same name`);
    names.add(name);
    return { name, type };
  });
}

function attributeNamed(
  name: string,
  attributes: readonly KeyAttribute[],
  keys: readonly WireKeyElement[],
): KeyAttribute {
  const attribute = attributes.find((one) => one.name === name);
  if (attribute !== undefined) return attribute;
  const defined = listed(attributes.map((one) => one.name));
  const used = listed(keys.map(({ AttributeName }) => AttributeName));
  throw invalid(
    `Some index key attributes are not defined in AttributeDefinitions. Keys: ${used}, AttributeDefinitions: ${defined}`,
  );
}

/** The key of a table or of a local index: one hash attribute, and perhaps one range attribute. */
export function simpleKey(schema: readonly WireKeyElement[], attributes: readonly KeyAttribute[]): KeySchema {
  const [first, second] = schema;
  if (first?.KeyType !== 'HASH')
    throw validationError('Invalid KeySchema: The first KeySchemaElement is not a HASH key type');
  if (second !== undefined && second.AttributeName === first.AttributeName) {
    throw validationError('Both the Hash Key and the Range Key element in the KeySchema have the same name');
  }
  if (second !== undefined && second.KeyType !== 'RANGE') {
    throw validationError('Invalid KeySchema: The second KeySchemaElement is not a RANGE key type');
  }
  const of = ({ AttributeName }: WireKeyElement): KeyAttribute => attributeNamed(AttributeName, attributes, schema);
  return { hash: [of(first)], range: second === undefined ? [] : [of(second)] };
}

/** The key of a global index: up to four attributes of each type, hash attributes first. */
export function globalKey(schema: readonly WireKeyElement[], attributes: readonly KeyAttribute[]): KeySchema {
  if (schema[0]?.KeyType !== 'HASH')
    throw validationError('Invalid KeySchema: The first KeySchemaElement is not a HASH key type');
  const names = new Set<string>();
  const key: { readonly hash: KeyAttribute[]; readonly range: KeyAttribute[] } = { hash: [], range: [] };
  for (const { AttributeName: name, KeyType } of schema) {
    if (names.has(name)) {
      throw validationError('Both the Hash Key and the Range Key element in the KeySchema have the same name');
    }
    names.add(name);
    if (KeyType === 'HASH' && key.range.length > 0) {
      throw validationError('Invalid KeySchema: All HASH key types must come before RANGE key types');
    }
    (KeyType === 'HASH' ? key.hash : key.range).push(attributeNamed(name, attributes, schema));
  }
  for (const [type, parts] of [
    ['HASH', key.hash],
    ['RANGE', key.range],
  ] as const) {
    if (parts.length > MAX_KEY_PARTS)
      throw validationError(`Invalid KeySchema: The number of ${type} key types exceeds the limit of ${MAX_KEY_PARTS}`);
  }
  return key;
}

function projectionOf({ ProjectionType: kind, NonKeyAttributes: names }: WireProjection): Projection {
  if (kind === undefined) throw invalid('Unknown ProjectionType: null');
  if (kind === 'INCLUDE') {
    if (names === undefined) throw invalid('ProjectionType is INCLUDE, but NonKeyAttributes is not specified');
    return { kind, names: [...new Set(names)] };
  }
  if (names !== undefined) throw invalid(`ProjectionType is ${kind}, but NonKeyAttributes is specified`);
  return { kind };
}

/** Units of a table or an index. @param index its name, for what is said */
export function throughputOf(units: WireThroughput | undefined, billing: Billing, index?: string): Throughput {
  if (billing === 'PAY_PER_REQUEST') {
    if (units !== undefined) {
      throw invalid(
        index === undefined
          ? 'Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST'
          : `ProvisionedThroughput should not be specified for index: ${index} when BillingMode is PAY_PER_REQUEST`,
      );
    }
    return { read: 0, write: 0 };
  }
  if (units === undefined) {
    throw invalid(
      index === undefined
        ? 'ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED'
        : `ProvisionedThroughput is not specified for index: ${index}`,
    );
  }
  for (const [name, value] of [
    ['ReadCapacityUnits', units.ReadCapacityUnits],
    ['WriteCapacityUnits', units.WriteCapacityUnits],
  ] as const) {
    if (value > MAX_UNITS)
      throw validationError(
        `Given value ${value} for ${name} is out of bounds${index === undefined ? '' : ` for index ${index}`}`,
      );
  }
  return { read: units.ReadCapacityUnits, write: units.WriteCapacityUnits };
}

export const onDemandOf = (limits: WireOnDemand | undefined): OnDemandLimits | undefined =>
  limits === undefined ? undefined : { read: limits.MaxReadRequestUnits, write: limits.MaxWriteRequestUnits };

/** @throws DynamoError when one of both is missing */
export function warmOf(units: WireWarm | undefined): WarmThroughput | undefined {
  if (units === undefined) return undefined;
  const { ReadUnitsPerSecond: read, WriteUnitsPerSecond: write } = units;
  if (read === undefined || write === undefined) {
    throw invalid('ReadUnitsPerSecond and WriteUnitsPerSecond must both be specified for WarmThroughput');
  }
  return { read, write };
}

/** Local indexes of a new table, numbered from 1. */
export function localIndexes(
  wire: readonly WireLocalIndex[] | undefined,
  table: KeySchema,
  attributes: readonly KeyAttribute[],
): LocalIndex[] {
  if (wire === undefined) return [];
  if (wire.length === 0) throw invalid('List of LocalSecondaryIndexes is empty');
  if (table.range.length === 0) {
    throw invalid('Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex');
  }
  const indexes = wire.map((index, at): LocalIndex => {
    const name = index.IndexName;
    const key = simpleKey(index.KeySchema, attributes);
    if (key.range.length === 0) throw invalid(`Index KeySchema does not have a range key for index: ${name}`);
    const [own, tables] = [key.hash[0]!.name, table.hash[0]!.name];
    if (own !== tables) {
      throw invalid(
        `Index KeySchema does not have the same leading hash key as table KeySchema for index: ${name}. index hash key: ${own}, table hash key: ${tables}`,
      );
    }
    return { number: at + 1, name, key, projection: projectionOf(index.Projection) };
  });
  if (indexes.length > MAX_LOCAL_INDEXES)
    throw invalid(`Number of LocalSecondaryIndexes exceeds per-table limit of ${MAX_LOCAL_INDEXES}`);
  return indexes;
}

/** One global index. @param number its place in row keys */
export function globalIndex(
  wire: WireGlobalIndex,
  number: number,
  attributes: readonly KeyAttribute[],
  billing: Billing,
  isNew: boolean,
): GlobalIndex {
  return {
    number,
    name: wire.IndexName,
    key: globalKey(wire.KeySchema, attributes),
    projection: projectionOf(wire.Projection),
    state: isNew ? 'ACTIVE' : 'CREATING',
    isBackfilling: !isNew,
    throughput: throughputOf(wire.ProvisionedThroughput, billing, wire.IndexName),
    onDemand: onDemandOf(wire.OnDemandThroughput),
    warm: warmOf(wire.WarmThroughput),
  };
}

/** What has to hold for all indexes of a table together. @throws DynamoError */
export function checkIndexes(locals: readonly LocalIndex[], globals: readonly GlobalIndex[]): void {
  if (globals.length > MAX_GLOBAL_INDEXES)
    throw invalid(`GlobalSecondaryIndex count exceeds the per-table limit of ${MAX_GLOBAL_INDEXES}`);
  const names = new Set<string>();
  let projectedNames = 0;
  for (const { name, projection } of [...locals, ...globals]) {
    if (names.has(name)) throw invalid(`Duplicate index name: ${name}`);
    names.add(name);
    if (projection.kind === 'INCLUDE') projectedNames += projection.names.length;
  }
  if (projectedNames > MAX_PROJECTED_NAMES)
    throw invalid(
      `Number of projected attributes exceeds the limit of ${MAX_PROJECTED_NAMES} over all secondary indexes`,
    );
}

/** Every definition has to be of a key attribute. @throws DynamoError */
export function checkAllUsed(
  attributes: readonly KeyAttribute[],
  keys: readonly KeySchema[],
  hasIndexes: boolean,
): void {
  const used = new Set(keys.flatMap(({ hash, range }) => [...hash, ...range]).map(({ name }) => name));
  if (attributes.every(({ name }) => used.has(name))) return;
  if (!hasIndexes) {
    throw invalid(
      'Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions',
    );
  }
  const defined = listed(attributes.map(({ name }) => name));
  throw invalid(`Some AttributeDefinitions are not used. AttributeDefinitions: ${defined}, keys used: ${listed(used)}`);
}
