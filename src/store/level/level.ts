/**
 * What the store needs of a level database, and of the folders that such databases live in. `ClassicLevel`
 * with buffers as keys and values has the shape of the first.
 */
import { basename, dirname } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { assert, type Disk, SystemDisk } from '../../platform/index.ts';
import { proveLevelFolder, proveTable } from './leveldb-files.ts';
import { forgetProven, noteProven, trustedTables } from './proven-tables.ts';

export type LevelOperation =
  | { readonly type: 'put'; readonly key: Buffer; readonly value: Buffer }
  | { readonly type: 'del'; readonly key: Buffer };

/** A frozen view of a database. */
export interface LevelSnapshot {
  close(): Promise<void>;
}

export interface LevelIterator {
  /** Up to `size` rows; empty at the end. */
  nextv(size: number): Promise<[Buffer, Buffer][]>;
  close(): Promise<void>;
}

export interface LevelIteratorOptions {
  readonly gte?: Buffer;
  readonly lt?: Buffer;
  readonly reverse?: boolean;
  readonly limit?: number;
  readonly snapshot?: LevelSnapshot;
  /** Reads ahead at most about this much (LevelDB). */
  readonly highWaterMarkBytes?: number;
}

/** A batch that is put together in pieces. Bytes are copied as they come, so the caller may use its buffers again. */
export interface LevelChain {
  put(key: Buffer, value: Buffer): void;
  del(key: Buffer): void;
  /** Once, like `Level.batch`. */
  write(options: { readonly sync: boolean }): Promise<void>;
}

/** Another thread has the database open too, by `openLentLevel`, from before this is given out until `end`. */
export interface LevelLoan {
  /** The other thread has closed it. */
  end(): void;
}

/** An ordered database of buffers. Iterators see the state at their creation. */
export interface Level {
  open(): Promise<void>;
  close(): Promise<void>;
  getSync(key: Buffer): Buffer | undefined;
  getSync(key: Buffer, options: { readonly snapshot: LevelSnapshot }): Buffer | undefined;
  /** Atomic. With `sync` it, and all before it, survives a power loss once it settles. */
  batch(operations: LevelOperation[], options: { readonly sync: boolean }): Promise<void>;
  /** A batch of many operations: costs a sixth of an array of them in LevelDB's binding, and can be spread over turns. */
  chain(): LevelChain;
  iterator(options: LevelIteratorOptions): LevelIterator;
  snapshot(): LevelSnapshot;
  /** About how many bytes the rows in `[start, end)` take on disk; left out or undefined where nobody can say. */
  approximateBytes?(start: Buffer, end: Buffer): Promise<number | undefined>;
  /** What the database says about itself (`leveldb.stats` and the like); left out where it says nothing. */
  property?(name: string): string | undefined;
  /** Rewrites the files of `[start, end)` without what was removed; reads and writes go on. */
  compact?(start: Buffer, end: Buffer): Promise<void>;
  /**
   * Lets another thread read the database; left out where it is in the memory of this one. `close` waits for the end of all
   * loans, because the database is gone from its folder only when nobody has it open.
   * @param reclaim asks for the end of the loan, soon
   */
  lend?(reclaim: () => void): LevelLoan;
  /** Something that was read is not what was written: the next opening takes nothing on trust. */
  doubt?(): void;
  /**
   * Reads what opening took on trust, bit by bit; ends early when the database is closed. Left out: opening proves everything.
   * @param pause settles when more may be read
   * @throws CorruptStoreError
   */
  proveTrusted?(pause: () => Promise<void>): Promise<void>;
}

/** Writes operations as one batch, for a sixth of the price of `Level.batch`. @returns settles like `LevelChain.write` */
export function writeChained(level: Level, operations: readonly LevelOperation[]): Promise<void> {
  const chain = level.chain();
  for (const operation of operations) {
    if (operation.type === 'del') chain.del(operation.key);
    else chain.put(operation.key, operation.value);
  }
  return chain.write({ sync: true });
}

/** Opens the database of a folder, creating it when it is absent. The store calls `open` on what it gets. */
export type OpenLevel = (location: string) => Level;

/**
 * Folders that hold databases, for swapping one in for another. All changes are stable when they settle; when they fail, or the
 * process ends before, they may have been made or not.
 */
export interface LevelFolders {
  exists(location: string): Promise<boolean>;
  /** The target must be absent. The database is closed; its files are stable under their new names, too. */
  rename(from: string, to: string): Promise<void>;
  /** File by file: one that fails, or is cut off by the end of the process, leaves any part of the folder. Absent is fine. */
  remove(location: string): Promise<void>;
}

/** Memory of one LevelDB. */
export interface LevelMemory {
  /** LevelDB holds up to two of these. Its own default of 4 MiB makes a new file for every few flushes, and point reads then look into many files. */
  readonly writeBufferBytes: number;
  /** Decompressed blocks; LevelDB's default of 8 MiB is small beside a group's hot set. */
  readonly blockCacheBytes: number;
}

export const DEFAULT_LEVEL_MEMORY: LevelMemory = { writeBufferBytes: 16 << 20, blockCacheBytes: 32 << 20 };

/** What all threads that have a database open must agree on. */
const SHARED = { keyEncoding: 'buffer', valueEncoding: 'buffer', multithreading: true } as const;

/** A chained batch of the binding: what its public methods come to in the end. */
interface BindingChain extends LevelChain {
  _put(key: Buffer, value: Buffer): void;
  _del(key: Buffer): void;
}

/**
 * The public methods make an object of each row, with options and encodings, of which buffers need none: that costs as much as the row
 * itself. They are used once, so that the batch knows that there is something in it.
 */
class DiskChain implements LevelChain {
  private readonly chain: BindingChain;
  private readonly written: (write: Promise<void>, options: { readonly sync: boolean }) => Promise<void>;
  private isEmpty = true;

  /** @param written hears of the write, and passes it on */
  constructor(chain: BindingChain, written: DiskChain['written']) {
    this.chain = chain;
    this.written = written;
  }

  put(key: Buffer, value: Buffer): void {
    if (this.isEmpty) this.chain.put(key, value);
    else this.chain._put(key, value);
    this.isEmpty = false;
  }

  del(key: Buffer): void {
    if (this.isEmpty) this.chain.del(key);
    else this.chain._del(key);
    this.isEmpty = false;
  }

  write(options: { readonly sync: boolean }): Promise<void> {
    return this.written(this.chain.write(options), options);
  }
}

/** Syncs after which the tables that there are are noted: a process that is killed leaves so many to be read at the next opening. */
const NOTE_EVERY_SYNCS = 32;

/** LevelDB in a folder. It opens itself as soon as it exists, so it is made when the folder has been proved. */
class DiskLevel implements Level {
  private readonly location: string;
  private readonly make: () => Promise<ClassicLevel<Buffer, Buffer>>;
  private level: ClassicLevel<Buffer, Buffer> | undefined;
  private readonly disk = new SystemDisk();
  /** Names of tables that opening did not read. */
  private readonly trusted: () => ReadonlySet<string>;
  private syncs = 0;
  /** Notes and what takes them back, one after the other. */
  private noted: Promise<void> = Promise.resolve();
  private isDoubted = false;
  private isClosed = false;
  private readonly loans = new Map<LevelLoan, { readonly reclaim: () => void; readonly ended: Promise<void> }>();

  /** @param trusted asked once it is open; undefined: another level of this process looks after the folder */
  constructor(
    location: string,
    make: () => Promise<ClassicLevel<Buffer, Buffer>>,
    trusted?: () => ReadonlySet<string>,
  ) {
    this.location = location;
    this.make = make;
    this.trusted = trusted ?? (() => new Set());
    this.isDoubted = trusted === undefined;
  }

  async open(): Promise<void> {
    this.level = await this.make();
    await this.level.open();
  }

  async close(): Promise<void> {
    // The memory that LevelDB works with is the first opener's, and a folder is free only when all have closed it.
    for (const { reclaim } of this.loans.values()) reclaim();
    await Promise.all([...this.loans.values()].map(({ ended }) => ended));
    this.isClosed = true;
    await this.level?.close();
    if (this.level !== undefined && !this.isDoubted) this.note(true);
    await this.noted;
  }

  doubt(): void {
    if (this.isDoubted) return;
    this.isDoubted = true;
    this.inTurn(() => forgetProven(this.location, this.disk));
  }

  async proveTrusted(pause: () => Promise<void>): Promise<void> {
    const goOn = async (): Promise<boolean> => {
      await pause();
      return !this.isClosed;
    };
    for (const name of this.trusted()) {
      if (this.isClosed) return;
      await proveTable(this.location, name, this.disk, goOn);
    }
  }

  private note(isClosed: boolean): void {
    this.inTurn(() => noteProven(this.location, this.disk, isClosed));
  }

  /** Without a note the next opening reads more, and that is all. */
  private inTurn(step: () => Promise<void>): void {
    this.noted = this.noted.then(step).catch(() => undefined);
  }

  /** Everything that the database is told comes by here. */
  private async written(write: Promise<void>, { sync }: { readonly sync: boolean }): Promise<void> {
    try {
      await write;
    } catch (error) {
      this.isDoubted = true;
      throw error;
    }
    if (!sync || this.isDoubted || ++this.syncs < NOTE_EVERY_SYNCS) return;
    this.syncs = 0;
    this.note(false);
  }

  lend(reclaim: () => void): LevelLoan {
    assert(this.level?.status === 'open', `the database in ${this.location} is lent while it is open`);
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    const loan: LevelLoan = {
      end: () => {
        this.loans.delete(loan);
        resolve();
      },
    };
    this.loans.set(loan, { reclaim, ended });
    return loan;
  }

  private get opened(): ClassicLevel<Buffer, Buffer> {
    assert(this.level !== undefined, 'a database is used after it was opened');
    return this.level;
  }

  getSync(key: Buffer, options?: { readonly snapshot: LevelSnapshot }): Buffer | undefined {
    return options === undefined ? this.opened.getSync(key) : this.opened.getSync(key, options as object);
  }

  batch(operations: LevelOperation[], options: { readonly sync: boolean }): Promise<void> {
    return this.written(this.opened.batch(operations, options), options);
  }

  chain(): LevelChain {
    const written = (write: Promise<void>, options: { readonly sync: boolean }): Promise<void> =>
      this.written(write, options);
    return new DiskChain(this.opened.batch() as unknown as BindingChain, written);
  }

  iterator(options: LevelIteratorOptions): LevelIterator {
    return this.opened.iterator(options as object);
  }

  snapshot(): LevelSnapshot {
    return this.opened.snapshot();
  }

  approximateBytes(start: Buffer, end: Buffer): Promise<number> {
    return this.opened.approximateSize(start, end);
  }

  compact(start: Buffer, end: Buffer): Promise<void> {
    return this.opened.compactRange(start, end);
  }

  property(name: string): string | undefined {
    return this.level?.status === 'open' ? this.level.getProperty(name) : undefined;
  }
}

/**
 * LevelDB on the machine's disk. Opening reads and proves the files of the folder, but for tables that this machine has proved before and that were not
 * touched since, and fails with CorruptStoreError.
 */
export function openClassicLevel(location: string, memory: LevelMemory = DEFAULT_LEVEL_MEMORY): Level {
  let trusted: ReadonlySet<string> = new Set();
  const make = async (): Promise<ClassicLevel<Buffer, Buffer>> => {
    const disk = new SystemDisk();
    // LevelDB syncs what it makes in its folder, not the folder's own name.
    if ((await disk.list(location)).length === 0) await disk.makeFolder(location);
    trusted = await trustedTables(location);
    await proveLevelFolder(location, disk, trusted);
    return new ClassicLevel<Buffer, Buffer>(location, {
      ...SHARED,
      writeBufferSize: memory.writeBufferBytes,
      cacheSize: memory.blockCacheBytes,
    });
  };
  return new DiskLevel(location, make, () => trusted);
}

/** A database that another thread of this process has opened with `openClassicLevel` and lent, see `Level.lend`. */
export function openLentLevel(location: string): Level {
  return new DiskLevel(
    location,
    async () => new ClassicLevel<Buffer, Buffer>(location, { ...SHARED, createIfMissing: false }),
  );
}

/** Folders on a disk. */
export class DiskLevelFolders implements LevelFolders {
  private readonly disk: Disk;

  /** @param disk default: the machine's */
  constructor(disk: Disk = new SystemDisk()) {
    this.disk = disk;
  }

  async exists(location: string): Promise<boolean> {
    return (await this.disk.list(location)).length > 0;
  }

  async rename(from: string, to: string): Promise<void> {
    // LevelDB syncs bytes, and the names of few of its files.
    await this.disk.syncFolder(from);
    await this.disk.rename(from, to);
    await this.disk.syncFolder(dirname(to));
  }

  async remove(location: string): Promise<void> {
    if (!(await this.disk.list(dirname(location))).includes(basename(location))) return;
    await this.disk.remove(location);
    await this.disk.syncFolder(dirname(location));
  }
}
