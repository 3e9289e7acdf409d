/** Requests about tables as their checked trees have them. */

export interface WireKeyElement {
  readonly AttributeName: string;
  readonly KeyType: 'HASH' | 'RANGE';
}

export interface WireAttributeDefinition {
  readonly AttributeName: string;
  readonly AttributeType: 'S' | 'N' | 'B';
}

export interface WireProjection {
  readonly ProjectionType?: 'ALL' | 'INCLUDE' | 'KEYS_ONLY';
  readonly NonKeyAttributes?: readonly string[];
}

export interface WireThroughput {
  readonly ReadCapacityUnits: number;
  readonly WriteCapacityUnits: number;
}

export interface WireOnDemand {
  readonly MaxReadRequestUnits?: number;
  readonly MaxWriteRequestUnits?: number;
}

export interface WireWarm {
  readonly ReadUnitsPerSecond?: number;
  readonly WriteUnitsPerSecond?: number;
}

export interface WireLocalIndex {
  readonly IndexName: string;
  readonly KeySchema: readonly WireKeyElement[];
  readonly Projection: WireProjection;
}

export interface WireGlobalIndex extends WireLocalIndex {
  readonly ProvisionedThroughput?: WireThroughput;
  readonly OnDemandThroughput?: WireOnDemand;
  readonly WarmThroughput?: WireWarm;
}

export interface WireStreamSpecification {
  readonly StreamEnabled: boolean;
  readonly StreamViewType?: 'KEYS_ONLY' | 'NEW_IMAGE' | 'OLD_IMAGE' | 'NEW_AND_OLD_IMAGES';
}

export interface WireEncryption {
  readonly Enabled?: boolean;
  readonly SSEType?: 'AES256' | 'KMS';
  readonly KMSMasterKeyId?: string;
}

export interface WireTag {
  readonly Key: string;
  readonly Value: string;
}

interface TableSettings {
  readonly BillingMode?: 'PROVISIONED' | 'PAY_PER_REQUEST';
  readonly ProvisionedThroughput?: WireThroughput;
  readonly OnDemandThroughput?: WireOnDemand;
  readonly WarmThroughput?: WireWarm;
  readonly StreamSpecification?: WireStreamSpecification;
  readonly SSESpecification?: WireEncryption;
  readonly TableClass?: string;
  readonly DeletionProtectionEnabled?: boolean;
}

export interface CreateTableInput extends TableSettings {
  readonly TableName: string;
  readonly AttributeDefinitions: readonly WireAttributeDefinition[];
  readonly KeySchema: readonly WireKeyElement[];
  readonly LocalSecondaryIndexes?: readonly WireLocalIndex[];
  readonly GlobalSecondaryIndexes?: readonly WireGlobalIndex[];
  readonly Tags?: readonly WireTag[];
  readonly ResourcePolicy?: string;
  readonly GlobalTableSourceArn?: unknown;
  readonly GlobalTableSettingsReplicationMode?: unknown;
  readonly VectorIndexes?: unknown;
}

export interface WireIndexUpdate {
  readonly Create?: WireGlobalIndex;
  readonly Update?: {
    readonly IndexName: string;
    readonly ProvisionedThroughput?: WireThroughput;
    readonly OnDemandThroughput?: WireOnDemand;
    readonly WarmThroughput?: WireWarm;
  };
  readonly Delete?: { readonly IndexName: string };
}

export interface UpdateTableInput extends TableSettings {
  readonly TableName: string;
  readonly AttributeDefinitions?: readonly WireAttributeDefinition[];
  readonly GlobalSecondaryIndexUpdates?: readonly WireIndexUpdate[];
  readonly ReplicaUpdates?: unknown;
  readonly MultiRegionConsistency?: unknown;
  readonly GlobalTableWitnessUpdates?: unknown;
  readonly GlobalTableSettingsReplicationMode?: unknown;
  readonly VectorIndexUpdates?: unknown;
}
