/** Requests about what is around tables, as far as anybody looks at them. */

/** Names a table, or its ARN. */
export interface OfTable {
  readonly TableName: string;
}

export interface OfIndex extends OfTable {
  readonly IndexName?: string;
}

export interface OfBackup {
  readonly BackupArn: string;
}

export interface OfGlobalTable {
  readonly GlobalTableName: string;
}

export interface OfResource {
  readonly ResourceArn: string;
}
