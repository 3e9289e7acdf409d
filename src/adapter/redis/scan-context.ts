/** What keyless commands (KEYS, SCAN, DBSIZE, ...) work with: all groups of the cluster at once. */

/** A page of keys in the order of their storage keys. */
export interface KeyPage {
  readonly storageKeys: readonly Buffer[];
  /** Where to go on; undefined at the end of the range. */
  readonly next: Buffer | undefined;
}

export interface ScanContext {
  /** The database that the connection has selected. */
  readonly db: number;
}
