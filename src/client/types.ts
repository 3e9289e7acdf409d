/** What callers of the client give and get. */

/** A key or a value: bytes, or text as UTF-8. */
export type Bytes = string | Uint8Array;

/** What bounds one call. */
export interface CallOptions {
  /** Ends the call. What it has done by then is done. */
  readonly signal?: AbortSignal;
  /** Milliseconds for everything, attempts and pauses included. */
  readonly timeoutMs?: number;
}

/**
 * How fresh a read has to be:
 * - `linearizable`: everything acknowledged before the call is in it. The default; the leader answers.
 * - `anyReplica`: the same, answered by a replica of the asked node as soon as it has caught up with the leader.
 * - `maxStalenessMs`: everything acknowledged so long before the call is in it. Any replica answers.
 * - `at`: the state at a timestamp, such as `servedTs` of another read or the version of a write; the same for everybody, for ever.
 *
 * Reads of a session are at its own consistency when none is named: nothing that the session has seen or done is missing.
 */
export type ReadConsistency =
  | 'linearizable'
  | 'anyReplica'
  | { readonly maxStalenessMs: number }
  | { readonly at: bigint };

export interface ReadOptions extends CallOptions {
  readonly consistency?: ReadConsistency;
}

/** What an answer says of time. */
export interface ReadTime {
  /** The moment that the answer is of, on the cluster's clock. */
  readonly servedTs: bigint;
  /** Everything that was acknowledged longer ago than this is in the answer; undefined: so old that nobody remembers. */
  readonly stalenessMs: number | undefined;
}

export interface ReadResult extends ReadTime {
  readonly value: StoredValue | undefined;
}

export interface ReadManyResult extends ReadTime {
  /** By the place of the key. */
  readonly values: readonly (StoredValue | undefined)[];
}

/** A value with when it was written. */
export interface StoredValue {
  readonly value: Buffer;
  /** Timestamp of the cluster's clock; the same version is the same value. */
  readonly version: bigint;
  /** Unix milliseconds; undefined is never. */
  readonly expiresAtMs: number | undefined;
}

export interface StoredRow extends StoredValue {
  readonly key: Buffer;
}

export interface PutOptions extends CallOptions {
  /** How long the value lives; left out: for ever. */
  readonly ttlMs?: number;
}

export interface Pair {
  readonly key: Bytes;
  readonly value: Bytes;
  readonly ttlMs?: number;
}

/** Keys between two; both left out is all. */
export interface KeyRange {
  /** Inclusive. */
  readonly start?: Bytes;
  /** Exclusive. */
  readonly end?: Bytes;
  /** Instead of both: keys that begin with this. */
  readonly prefix?: Bytes;
}

export interface ScanOptions extends KeyRange {
  readonly limit?: number;
  /** From the end to the start. */
  readonly reverse?: boolean;
  /** Values stay empty. */
  readonly keysOnly?: boolean;
  /** Ends the scan. */
  readonly signal?: AbortSignal;
  readonly consistency?: ReadConsistency;
}

/** Some rows of a scan, one after the other. */
export interface ScannedPage extends ReadTime {
  readonly rows: readonly StoredRow[];
}

/** What a key must be like before it is set: without a value, with this value, or with this version. */
export type Expected = { readonly absent: true } | { readonly value: Bytes } | { readonly version: bigint };

/** `current` is what was there instead; undefined: nothing. */
export type CompareAndSetResult =
  | { readonly isSet: true; readonly version: bigint }
  | { readonly isSet: false; readonly current: StoredValue | undefined };

export type Comparison = 'equal' | 'notEqual' | 'less' | 'greater';

/** What a key must be like. A key without a value is not equal to any, and neither less nor greater. */
export type Condition = { readonly key: Bytes; readonly comparison?: Comparison } & (
  | { readonly exists: boolean }
  | { readonly value: Bytes }
  | { readonly version: bigint }
);

export type Operation =
  | { readonly get: Bytes }
  | { readonly put: Bytes; readonly value: Bytes; readonly ttlMs?: number }
  | { readonly delete: Bytes };

/** If all conditions hold the operations of `do`, else those of `otherwise`, at one moment. */
export interface Step {
  readonly if?: readonly Condition[];
  readonly do?: readonly Operation[];
  readonly otherwise?: readonly Operation[];
}

export interface StepResult {
  /** True: the operations of `do` were done. */
  readonly succeeded: boolean;
  /** By the place of the operation: what a get found, undefined for nothing and for other operations. */
  readonly values: readonly (StoredValue | undefined)[];
}

export interface TransactionOptions extends CallOptions {
  /** Only what is written is checked against others: snapshot isolation. */
  readonly snapshot?: boolean;
  /** Times that it is begun again when it loses against others. Default 16. */
  readonly maxAttempts?: number;
}

/** `anyReplica` is as `linearizable` here: leaders say how far they are. */
export interface SnapshotOptions extends ReadOptions {
  /** Times that it is begun again, on another node or as of a later timestamp. Default 16. */
  readonly maxAttempts?: number;
}

/** What a function that only reads may do; everything is as of one timestamp. */
export interface SnapshotView {
  readonly servedTs: bigint;
  get(key: Bytes): Promise<Buffer | undefined>;
  /** The value with its version. */
  getStored(key: Bytes): Promise<StoredValue | undefined>;
  scan(options?: SnapshotScanOptions): AsyncIterable<StoredRow>;
}

export type SnapshotScanOptions = Omit<ScanOptions, 'signal' | 'consistency'>;

/** What a function that runs as a transaction may do. Its effects are there all at once, when it has returned, or never. */
export interface TransactionView {
  get(key: Bytes): Promise<Buffer | undefined>;
  /** The value with its version. */
  getStored(key: Bytes): Promise<StoredValue | undefined>;
  scan(options?: SnapshotScanOptions): AsyncIterable<StoredRow>;
  put(key: Bytes, value: Bytes, options?: { readonly ttlMs?: number }): Promise<void>;
  delete(key: Bytes): Promise<void>;
}
