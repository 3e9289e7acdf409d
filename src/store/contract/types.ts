/**
 * The contract of the MVCC store of one group: what the state machine writes and what readers see. Keys are logical keys;
 * the encoding (order-preserving, see docs/design/storage/store.md) is private to this folder.
 */
import type { Clock, Disk, HlcTimestamp, LogIndex, Millis, Scheduler } from '../../platform/index.ts';
import type { LevelFolders, OpenLevel, StoreActivity } from '../level/index.ts';
import type {
  BlockCompression,
  CopyFacts,
  CopyManifest,
  MetaOf,
  SegmentCutter,
  SegmentLimits,
  StoreCut,
} from '../segments/index.ts';

/** Newest version of a key, whatever it is. */
export interface LatestVersion {
  readonly commitTs: HlcTimestamp;
  /** True for a delete, whether of the key or of a range that covers it. */
  readonly isTombstone: boolean;
  /** Set for the delete of a range, which says nothing about whether there was a key. */
  readonly isOfRange?: boolean;
  /** Of a range: when the newest version of the key was written that it hides; left out when none is left. */
  readonly hiddenTs?: HlcTimestamp;
  /** 0n is never. */
  readonly expireTs: HlcTimestamp;
  /** Empty for a tombstone. Must not be modified. */
  readonly value: Buffer;
}

export interface StoreScanRequest {
  /** Inclusive. */
  readonly start: Buffer;
  /** Exclusive. */
  readonly end: Buffer;
  /** Rows visible at this timestamp: newest version with `commitTs <= readTs` that is neither tombstone nor expired (`expireTs <= readTs`). */
  readonly readTs: HlcTimestamp;
  readonly limit: number;
  /** The page ends when its keys and values reach this, with the row that does; the store's own bound holds besides. */
  readonly maxBytes?: number;
  readonly reverse?: boolean;
  readonly keysOnly?: boolean;
  /** Leave out rows that lie behind heads. A large body costs a seek. */
  readonly headsOnly?: boolean;
}

export interface StoreRow {
  readonly key: Buffer;
  readonly commitTs: HlcTimestamp;
  readonly expireTs: HlcTimestamp;
  readonly value: Buffer;
}

export interface StoreScanPage {
  readonly rows: readonly StoreRow[];
  /** Key to go on from (for a reverse scan: exclusive end to go on with); undefined when the range is exhausted. */
  readonly next: Buffer | undefined;
}

export interface ExportRequest {
  /** Inclusive. */
  readonly start: Buffer;
  /** Exclusive; undefined is the end of the key space. */
  readonly end: Buffer | undefined;
  /** Versions of `start` itself up to this timestamp were exported already; undefined when none were. */
  readonly after: HlcTimestamp | undefined;
  /** A page ends when its keys and values reach this; it holds one version at least. */
  readonly maxBytes: number;
}

/** What was written lately, without the values. */
export interface RecentChanges {
  /** By key, then by timestamp, both ascending; each once. */
  readonly versions: readonly { readonly key: Buffer; readonly commitTs: HlcTimestamp }[];
  /** Range deletes, which name no keys. */
  readonly ranges: readonly { readonly start: Buffer; readonly end: Buffer; readonly commitTs: HlcTimestamp }[];
}

export interface ExportedVersion {
  readonly key: Buffer;
  readonly commitTs: HlcTimestamp;
  readonly expireTs: HlcTimestamp;
  /** Undefined for a tombstone. */
  readonly value: Buffer | undefined;
}

export interface ExportPage {
  /** By key, then by timestamp, both ascending. */
  readonly versions: readonly ExportedVersion[];
  /** `start` and `after` of the next page; undefined at the end of the range. */
  readonly next: { readonly start: Buffer; readonly after: HlcTimestamp | undefined } | undefined;
}

/** A small unversioned row that belongs to a key: what the state machine keeps beside the key's versions. */
export interface SideRow {
  readonly key: Buffer;
  /** One byte at least. Rows whose name begins below 0x80 are held in memory and can be listed: keep them few. */
  readonly name: Buffer;
  /** Must not be modified. */
  readonly value: Buffer;
}

/** The value of a side row that is only made when the row goes to disk, or is read. */
export interface SideSource {
  /** About how long it is. */
  readonly sizeBytes: number;
  /** What it is now; the same whenever it is asked until the row is set again. */
  encode(): Buffer;
}

export interface ExportSidesRequest {
  /** Inclusive. */
  readonly start: Buffer;
  /** Exclusive; undefined is the end of the key space. */
  readonly end: Buffer | undefined;
  /** `next` of the page before; undefined for the first. */
  readonly from: Buffer | undefined;
  /** A page ends when its rows reach this; it holds one row at least. */
  readonly maxBytes: number;
}

export interface SidePage {
  readonly sides: readonly SideRow[];
  /** Means nothing to others, but names the same place at every replica; undefined at the end of the range. */
  readonly next: Buffer | undefined;
}

/** A put or a delete that is about to be written. */
export interface VersionToWrite {
  readonly key: Buffer;
  /** Latin-1 text of the key. */
  readonly name: string;
  /** Undefined deletes the key. */
  readonly value: Buffer | undefined;
  readonly commitTs: HlcTimestamp;
  readonly expireTs: HlcTimestamp;
}

/** A write of which all is done that changes nothing; only its store knows what is in it. */
export interface PreparedVersion {
  readonly key: Buffer;
}

/** Everything one Raft entry (or a run of them) changes; visible to reads at once, atomic on disk with its index. */
export interface StoreWriter {
  /**
   * `commitTs` must be above the key's latest of earlier units; within a unit the last write of a timestamp wins.
   * @param name latin-1 text of the key, for whoever has it
   */
  put(key: Buffer, value: Buffer, commitTs: HlcTimestamp, expireTs: HlcTimestamp, name?: string): void;
  delete(key: Buffer, commitTs: HlcTimestamp, name?: string): void;
  /** A put or a delete that `GroupStore.prepareVersion` has prepared for this unit. */
  add(prepared: PreparedVersion): void;
  /** Hides every version `<= commitTs` of every key in `[start, end)`; not below any `commitTs` of an earlier unit. */
  deleteRange(start: Buffer, end: Buffer, commitTs: HlcTimestamp): void;
  /**
   * Forgets every version of every key in `[start, end)`, whatever its timestamp, and every index row of it; counters lose
   * what they counted there. Reads answer as if it were done at once only through `dropping`: nobody may read or write keys
   * of the range until it has settled. The intent is part of the unit, so a crash does not lose it.
   * @param end undefined is the end of the key space
   */
  dropRange(start: Buffer, end: Buffer | undefined): void;
  /**
   * Sets a side row of a key; undefined removes it. Within a unit the last one wins, and drops come after them. Buffers are copied; with a
   * `SideSource` key and name are kept as they are.
   * @param keyName latin-1 text of the key, for whoever has it
   */
  setSide(key: Buffer, name: Buffer, value: Buffer | SideSource | undefined, keyName?: string): void;
  /** Small named values of the state machine (membership, clocks, thresholds). */
  setMeta(name: string, value: Buffer): void;
  /** Ends the unit: from here on readers see it, and `appliedIndex` is `index`. */
  commit(index: LogIndex): void;
}

export interface GroupStore {
  readonly appliedIndex: LogIndex;
  /** Survives a crash of the process and a loss of power. */
  readonly durableIndex: LogIndex;
  meta(name: string): Buffer | undefined;
  /**
   * Newest version, one or two point reads, never an iterator. A tombstone at or below the GC threshold is `undefined`, so
   * that the answer does not depend on whether this replica has collected it already.
   * @param name latin-1 text of the key, for whoever has it
   */
  latest(key: Buffer, name?: string): LatestVersion | undefined;
  /**
   * Newest version visible at `readTs`. Only history needs the promise: whoever has to be fast asks `latest` first and
   * comes here when its `commitTs` is above `readTs`.
   * @throws SnapshotTooOldError when `readTs` is below the GC threshold
   */
  get(key: Buffer, readTs: HlcTimestamp): Promise<StoreRow | undefined>;
  scan(request: StoreScanRequest): Promise<StoreScanPage>;
  /**
   * About how many bytes of the range are on disk, without reading it; undefined where the database cannot say.
   * @param end undefined is the end of the key space
   */
  approximateBytes?(start: Buffer, end: Buffer | undefined): Promise<number | undefined>;
  /**
   * Whole histories of keys in key order, for copying a range to another store: every version that a read at or above the
   * GC threshold can need, oldest first, tombstones and expired versions included; range deletes appear as tombstones of
   * the keys that they hid. Not one snapshot: each key is as of some moment after the call.
   */
  exportVersions(request: ExportRequest): Promise<ExportPage>;
  /**
   * Every version and range delete above a timestamp, as far as they were applied; `versionAt` has what they are. Undefined when that is not known
   * any more, or nothing was noted: then `exportVersions` of all is the way. Left out where nothing is noted.
   */
  changesSince?(above: HlcTimestamp): RecentChanges | undefined;
  /** A side row, one point read. Undefined when it is not there. */
  side(key: Buffer, name: Buffer): Buffer | undefined;
  /** All rows that are held in memory, in no order; only to be walked at once. */
  residentSides(): Iterable<SideRow>;
  /** Side rows of a range: all that were there when the first page was asked for, as of some moment after it. */
  exportSides(request: ExportSidesRequest): Promise<SidePage>;
  /** The version of `key` with exactly this timestamp, tombstones included; undefined when there is none (any more). */
  versionAt(key: Buffer, commitTs: HlcTimestamp): Promise<LatestVersion | undefined>;
  /** Undefined when nothing of `[start, end)` is being dropped; else settles when all of it is gone for good. */
  dropping(start: Buffer, end: Buffer | undefined): Promise<void> | undefined;
  /** Live keys of a counter class within `[start, end)`, by looking at each. */
  countRange(counterClass: number, start: Buffer, end: Buffer | undefined): Promise<number>;
  /** Starts a unit of changes. One at a time. */
  write(): StoreWriter;
  /**
   * Does what can be done of a write before its unit begins: it is shorter then. Nobody sees anything of it. What is found of the key on disk is
   * remembered until a unit has ended, so that the writing need not look there, whatever is read meanwhile. It may be forgotten at any time. Left out where
   * there is nothing to be done.
   */
  prepareVersion?(write: VersionToWrite): PreparedVersion;
  /** Undefined when the buffer has room; else settles when it has. */
  pressure(): Promise<void> | undefined;
  /** Makes everything applied so far durable, as soon as the node's log holds it. */
  flush(): Promise<void>;
  /** The node's log holds everything up to `index`, and no more of what is applied may become durable. Never called where there is no log. */
  logStable(index: LogIndex): void;
  /** Forgets what it keeps of the disk, which is read again; left out where there is nothing such. */
  forgetCached?(): void;
  /**
   * Live keys of a counter class, as of `appliedIndex`; expired keys count until purged. After a range delete that covers a
   * class in part it is an upper bound until the covered keys have been counted, see `settleCounters`.
   */
  liveKeys(counterClass: number): number;
  /** Settles when `liveKeys` is exact for all that was applied before the call. */
  settleCounters(): Promise<void>;
  /** Up to `limit` keys whose newest version has `expireTs <= atTs`, for the purge. */
  expired(atTs: HlcTimestamp, limit: number): Promise<{ readonly key: Buffer; readonly commitTs: HlcTimestamp }[]>;
  readonly gcThreshold: HlcTimestamp;
  /**
   * Reads below it are refused here: the threshold, or after a crash what the threshold was before it, until the log has come by that again.
   * Left out: the threshold. Not part of the replicated state.
   */
  readonly readableFrom?: HlcTimestamp;
  /** Raises the threshold, as part of the unit being written: part of the replicated state. */
  setGcThreshold(writer: StoreWriter, threshold: HlcTimestamp): void;
  /**
   * Physically drops what no read at or above the threshold can see; a bounded slice of work.
   * @param budgetMs after which no further page of rows is read
   * @param budgetBytes of rows that are looked at; left out: no bound
   * @returns true when a full pass is complete
   */
  collectGarbage(budgetMs: number, budgetBytes?: number): Promise<boolean>;
  /**
   * About how many bytes became history since the store was opened: overwritten versions, and what deletes leave. Only rises. Left out where nobody
   * counts.
   */
  readonly historyBytes?: number;
  /** How full the store is, and what the last pass of collection found; left out where nobody can say. Cheap. */
  pressures?(): StorePressures;
  /** Bytes of the database's files, in whole MiB; left out or undefined where nobody can say. Costs a few microseconds. */
  diskBytes?(): number | undefined;
  /** Rewrites the files so that the space of what was removed is given back; takes its time on another thread. */
  compact?(): Promise<void>;
  /** sha-256 over everything visible at or above the GC threshold plus meta, in key order: equal on replicas at equal applied index. */
  digest(): Promise<string>;
  /**
   * A consistent copy at some index that is applied now or soon, as segments in files beside the store. Takes as long as reading
   * all of it; the store goes on meanwhile.
   * @param describe what the manifest says of it, from the named values in the copy
   */
  exportSegments(describe: (meta: MetaOf, appliedIndex: LogIndex) => CopyFacts): Promise<StoreCut>;
  /** Stages a copy beside the live store. One at a time. */
  stageImport(manifest: CopyManifest): Promise<StoreImport>;
  close(): Promise<void>;
}

/** A key with much history, that of the rows behind it included. */
export interface OverhangKey {
  readonly key: Buffer;
  readonly versions: number;
  readonly bytes: number;
}

/** What a complete pass of collection found. */
export interface GarbagePass {
  readonly threshold: HlcTimestamp;
  readonly keys: number;
  /** Versions that are not the newest of their key and that the threshold keeps. */
  readonly keptVersions: number;
  readonly keptBytes: number;
  readonly droppedVersions: number;
  /** Bytes of newest versions that no newest head names: deleted objects whose rows the threshold still keeps. */
  readonly unreachableBytes: number;
  /** Those with most bytes of it, largest first. */
  readonly topKeys: readonly OverhangKey[];
}

/** How full a store is. */
export interface StorePressures {
  /** Applied and not yet durable, and how much of that there may be. */
  readonly bufferedBytes: number;
  readonly bufferLimitBytes: number;
  /** A batch waits for room on the disk. */
  readonly isOutOfSpace: boolean;
  /** Versions that are not the newest of their key, and rows of deleted objects: what the last pass kept, and what was overwritten since and is written. */
  readonly overhangBytes: number;
  readonly lastPass: GarbagePass | undefined;
  /** A pass is under way. */
  readonly isCollecting: boolean;
  /** Bytes of rows that were removed since the files were compacted. */
  readonly removedBytes: number;
  /** Files of the database that no compaction has sorted yet; undefined where the database cannot say. */
  readonly levelZeroFiles: number | undefined;
}

/** A row that lies behind the head of an object. */
export interface BodyRow {
  /** The key of the head is so many first bytes of the row's. */
  readonly headLength: number;
  /** Keys whose first so many bytes are the same are rows of one body. */
  readonly prefixLength: number;
  /** Tells the bodies apart that an object has had. Must not be modified. */
  readonly incarnation: Buffer;
}

/** How objects of several rows are made of keys and values. Pure functions, the same for the life of the store. */
export interface BodyRules {
  /** Undefined for heads, and for keys that are objects by themselves. */
  bodyOf(key: Buffer): BodyRow | undefined;
  /** The body that a head names by this value; undefined when it has none. A view of `value`. */
  incarnationIn(head: Buffer, value: Buffer): Buffer | undefined;
}

/** Bounds of one store. */
export interface StoreLimits {
  /** Longest value that lies in the same row as the newest version's header. */
  readonly inlineBytes: number;
  /** Applied bytes that start a flush. */
  readonly flushBytes: number;
  /** Longest time that applied units wait for a flush. */
  readonly flushIntervalMs: Millis;
  /** Longest time that they collect where the threshold follows closely: a key that is written often is then written to disk once. */
  readonly gatherMs: Millis;
  /** Longest time that they wait, beyond that, for the threshold to come by: what it has passed need not be written. */
  readonly holdMs: Millis;
  /** Applied and not yet durable bytes from which on `pressure` asks to wait. */
  readonly bufferBytes: number;
  /**
   * Of those, what the cache gives up when it is used: many small versions that wait for the threshold. The newest rows of a batch stay within the rest,
   * and within twice as much what was overwritten and somebody may still ask for.
   */
  readonly lentBytes: number;
  /** Memory for newest versions that were read or flushed lately. */
  readonly cacheBytes: number;
  /** A scan page ends early when its values reach this. */
  readonly scanPageBytes: number;
  /** A scan that walks over so many dead rows one behind the other notes where, so that later ones need not. */
  readonly deadRunRows: number;
}

/** What `openGroupStore` needs. */
export interface GroupStoreOptions {
  /** Folder of the database; copies on their way in are staged beside it. */
  readonly location: string;
  /** Default: LevelDB. */
  readonly openLevel?: OpenLevel;
  /** Where `openLevel` keeps its folders. Default: the machine's disk. */
  readonly folders?: LevelFolders;
  readonly scheduler?: Scheduler;
  readonly clock?: Clock;
  readonly limits?: Partial<StoreLimits>;
  /** Where reads are booked; one for all stores of a node. */
  readonly activity?: StoreActivity;
  /** Which counter a key belongs to, 0 or more; undefined or negative: none. A pure function, the same for the life of the store. */
  readonly counterClassOf?: (key: Buffer) => number | undefined;
  /** All keys that a class can have; lets a range delete that covers them reset the counter at once. */
  readonly counterRangeOf?: (counterClass: number) => { readonly start: Buffer; readonly end: Buffer } | undefined;
  /** Which rows are bodies of objects, so that they go when nothing names them any more. Left out: none are. */
  readonly bodies?: BodyRules;
  /** Where copies are cut and gathered, in folders beside `location`. Default: the machine's disk. */
  readonly disk?: Disk;
  /** Default: in the thread pool. */
  readonly compression?: BlockCompression;
  /** Who cuts copies. Default: the calling thread. */
  readonly cutter?: SegmentCutter;
  /** Sizes in copies that differ from the defaults. */
  readonly segmentLimits?: Partial<SegmentLimits>;
  /** A copy that was swapped in before a crash cannot be read; the store before it is live again. */
  readonly onPutBack?: (error: Error) => void;
  /** Asked for each unit: whether to note which keys it writes, in at most some MiB, see `changesSince`. Default: never. */
  readonly notesChanges?: () => boolean;
  /**
   * Asked at each flush: whether versions may be left out that the threshold has passed only after the state that the flush leads to. A program that
   * does not know the floor row would read holes there. Default: always.
   */
  readonly mayLeaveOut?: () => boolean;
  /** Asked now and then while a full disk keeps a batch waiting: whether to try again. Default: always. */
  readonly hasSpace?: () => Promise<boolean>;
  /** A flush failed: nothing becomes durable any more, the node has to stop. */
  readonly onFailure?: (error: Error) => void;
}

/** What a copy that is about to be installed holds. */
export interface ImportedCopy {
  readonly appliedIndex: LogIndex;
  /** Named values in it; until it is installed or discarded. */
  readonly meta: MetaOf;
}

export interface StoreImport {
  /** Numbers of the segments that are not here already from an attempt before. */
  readonly missing: readonly number[];
  /**
   * Takes a segment in, proven and stable when it settles. Several may come at once, each once.
   * @throws CorruptSnapshotError
   */
  receive(at: number, frames: AsyncIterable<Buffer>): Promise<void>;
  /** Proves all segments and builds the store that they are. @throws CorruptSnapshotError that names the file */
  finish(): Promise<ImportedCopy>;
  /** Swaps it in for the live store, crash-safe; the `GroupStore` object stays valid and now shows the copy. */
  install(): Promise<void>;
  /** Gives it up. Segments that came whole stay for the next attempt. */
  discard(): Promise<void>;
}
