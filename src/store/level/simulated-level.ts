/**
 * The simulated twin of a disk full of LevelDB databases. A batch that was not synced may be lost in a crash together with
 * all later ones of its log (a log is a sequence, so what survives is a prefix); a batch whose promise had not settled may
 * have reached the disk or not, as a whole. LevelDB begins another log now and then, and a sync makes stable what is in the
 * newest one: where `batchesPerLog` says so, what was not synced in an older log may be lost though a later batch was synced.
 *
 * Folders are as on Linux: one is removed file by file, in whatever order its directory has them, and what an interrupted
 * removal leaves opens as LevelDB opens it: without its `.log` it is an older database, without anything that names a
 * table an empty one. A change of names is stable when its folder was synced; a crash takes away any number of the last others.
 */
import type { Random } from '../../platform/index.ts';
import { CorruptStoreError } from '../rows/index.ts';
import type {
  Level,
  LevelChain,
  LevelFolders,
  LevelIterator,
  LevelIteratorOptions,
  LevelOperation,
  LevelSnapshot,
} from './level.ts';
import { type FrozenRows, RowIterator, rowOf, SimulatedRows } from './simulated-rows.ts';

/** A batch that a crash may take away. */
interface UnsyncedBatch {
  /** Which log it is in. */
  readonly log: number;
  readonly operations: readonly LevelOperation[];
  /** In the order to be undone in. */
  readonly undo: readonly LevelOperation[];
  /** It stays; it is kept here because of an older one that may not. */
  isStable: boolean;
}

/** What happens to folders, step by step. */
export type FolderChange =
  /** A folder is about to get another name. */
  | 'rename'
  /** A folder is about to be removed. */
  | 'remove'
  /** One of its files is about to go. */
  | 'unlink'
  /** The names beside the folder are about to become stable. */
  | 'sync';

const DATABASE_FILES = ['000003.log', '000005.ldb', 'CURRENT', 'LOCK', 'LOG', 'MANIFEST-000004'] as const;
type DatabaseFile = (typeof DATABASE_FILES)[number];
/** LevelDB makes them when they are missing, and knows nothing from them. */
const IDLE_FILES: ReadonlySet<DatabaseFile> = new Set(['LOCK', 'LOG']);

/** A folder with the files of one database. */
class SimulatedFolder {
  rows = new SimulatedRows();
  /** Rows that lie in tables: at each opening LevelDB writes its log out as one. */
  tables: FrozenRows = this.rows.freeze();
  /** Batches since the oldest that a crash may take away, oldest first. */
  private unsynced: UnsyncedBatch[] = [];
  private log = 0;
  private batchesInLog = 0;
  readonly files = new Set<DatabaseFile>(DATABASE_FILES);

  /** LevelDB opens what is here of its files. */
  open(location: string): void {
    const isThere = (file: DatabaseFile): boolean => this.files.has(file);
    const areAllGone = DATABASE_FILES.every((file) => IDLE_FILES.has(file) || !isThere(file));
    if (areAllGone) {
      this.rows = new SimulatedRows();
    } else {
      for (const file of ['CURRENT', 'MANIFEST-000004', '000005.ldb'] as const) {
        if (!isThere(file)) throw new CorruptStoreError(location, `has a damaged file ${file}: it is missing`);
      }
      if (!isThere('000003.log')) this.rows = SimulatedRows.from(this.tables);
    }
    for (const file of DATABASE_FILES) this.files.add(file);
    this.tables = this.rows.freeze();
  }

  /** @param batchesPerLog after so many another log is begun */
  apply(operations: readonly LevelOperation[], isSynced: boolean, batchesPerLog: number): void {
    if (this.batchesInLog++ >= batchesPerLog) {
      this.log++;
      this.batchesInLog = 1;
    }
    const { log } = this;
    this.unsynced.push({ log, operations, undo: this.rows.apply(operations), isStable: false });
    if (!isSynced) return;
    for (const batch of this.unsynced) batch.isStable ||= batch.log === log;
    const first = this.unsynced.findIndex(({ isStable }) => !isStable);
    this.unsynced = first < 0 ? [] : this.unsynced.slice(first);
  }

  /** Of each log any number of the last batches that were not synced is lost. */
  lose(random: Random): void {
    const lost = new Set<UnsyncedBatch>();
    for (const log of new Set([...this.unsynced.map((batch) => batch.log), this.log])) {
      const open = this.unsynced.filter((batch) => batch.log === log && !batch.isStable);
      for (const batch of open.slice(random.int(open.length + 1))) lost.add(batch);
    }
    const first = this.unsynced.findIndex((batch) => lost.has(batch));
    const undone = first < 0 ? [] : this.unsynced.slice(first);
    for (const { undo } of undone.toReversed()) this.rows.apply(undo);
    for (const batch of undone) if (!lost.has(batch)) this.rows.apply(batch.operations);
    this.unsynced = [];
  }
}

class SimulatedSnapshot implements LevelSnapshot {
  readonly rows: FrozenRows;

  constructor(rows: FrozenRows) {
    this.rows = rows;
  }

  async close(): Promise<void> {}
}

const viewOf = (snapshot: LevelSnapshot): FrozenRows => (snapshot as SimulatedSnapshot).rows;

/** One open database. After a crash every call on it fails, as calls of a dead process do. */
export class SimulatedLevel implements Level {
  private readonly openFolder: () => Promise<SimulatedFolder>;
  private readonly beforeBatch: (operations: readonly LevelOperation[]) => Promise<void>;
  private readonly batchesPerLog: () => number;
  private folder: SimulatedFolder | undefined;

  constructor(
    openFolder: () => Promise<SimulatedFolder>,
    beforeBatch: (operations: readonly LevelOperation[]) => Promise<void>,
    batchesPerLog: () => number,
  ) {
    this.openFolder = openFolder;
    this.beforeBatch = beforeBatch;
    this.batchesPerLog = batchesPerLog;
  }

  async open(): Promise<void> {
    this.folder = await this.openFolder();
  }

  async close(): Promise<void> {
    this.folder = undefined;
  }

  /** True while the database in a folder is open here. */
  has(folder: SimulatedFolder): boolean {
    return this.folder === folder;
  }

  /** The process died. */
  kill(): void {
    this.folder = undefined;
  }

  private live(): SimulatedFolder {
    if (this.folder === undefined) throw new Error('the simulated database is closed');
    return this.folder;
  }

  getSync(key: Buffer, options?: { readonly snapshot: LevelSnapshot }): Buffer | undefined {
    const { rows } = this.live();
    return rowOf(options === undefined ? rows : viewOf(options.snapshot), key);
  }

  async batch(operations: LevelOperation[], options: { readonly sync: boolean }): Promise<void> {
    this.live();
    await this.beforeBatch(operations);
    this.live().apply(operations, options.sync, this.batchesPerLog());
  }

  chain(): LevelChain {
    const operations: LevelOperation[] = [];
    return {
      put: (key, value) => operations.push({ type: 'put', key: Buffer.from(key), value: Buffer.from(value) }),
      del: (key) => operations.push({ type: 'del', key: Buffer.from(key) }),
      write: (options) => this.batch(operations, options),
    };
  }

  iterator(options: LevelIteratorOptions): LevelIterator {
    const { rows } = this.live();
    return new RowIterator(options.snapshot === undefined ? rows.freeze() : viewOf(options.snapshot), options);
  }

  snapshot(): LevelSnapshot {
    return new SimulatedSnapshot(this.live().rows.freeze());
  }
}

/** A change of names that a crash may take away. */
type NameChange =
  | { readonly kind: 'rename'; readonly from: string; readonly to: string }
  | { readonly kind: 'unlink'; readonly location: string; readonly file: DatabaseFile }
  | { readonly kind: 'remove'; readonly location: string };

/** A disk of databases in memory, by location. */
export class SimulatedLevels implements LevelFolders {
  private folders = new Map<string, SimulatedFolder>();
  /** Changes of names since the last sync, oldest first, each with what undoes it. */
  private unstable: (() => void)[] = [];
  private opened: SimulatedLevel[] = [];
  /** Counts crashes: what a process began does nothing after its end. */
  private life = 0;
  /** Called before each batch: a test may delay it, or make it fail by throwing. */
  beforeBatch: (operations: readonly LevelOperation[]) => Promise<void> = async () => {};
  /** After so many batches a database begins another log. */
  batchesPerLog = Number.POSITIVE_INFINITY;
  /** Called before a database is opened, which takes room on the disk: a test may make it fail by throwing. */
  beforeOpen: (location: string) => void | Promise<void> = () => {};
  /** Called before each step of a rename and of a removal: a test may delay it, make it fail, or crash there, by throwing. */
  beforeFolderChange: (change: FolderChange, location: string) => void | Promise<void> = () => {};
  /** The order in which a directory has its files. */
  orderOfFiles: (files: readonly string[]) => readonly string[] = (files) => files;

  /** Pass as `openLevel`. A database is open once at a time, as that of a LevelDB is: its lock file says so. */
  readonly openLevel = (location: string): Level => {
    const level = new SimulatedLevel(
      async () => {
        await this.alive(this.beforeOpen(location));
        const folder = this.folderAt(location);
        if (this.opened.some((other) => other.has(folder)))
          throw new Error(`LEVEL_LOCKED: ${location} is open already`);
        folder.open(location);
        return folder;
      },
      (operations) => this.beforeBatch(operations),
      () => this.batchesPerLog,
    );
    this.opened.push(level);
    return level;
  };

  /** Rows as they lie on the disk, below whoever has the database open: for damage. */
  beneath(location: string): Level {
    return new SimulatedLevel(
      async () => this.folderAt(location),
      async () => {},
      () => this.batchesPerLog,
    );
  }

  private folderAt(location: string): SimulatedFolder {
    const folder = this.folders.get(location) ?? new SimulatedFolder();
    this.folders.set(location, folder);
    return folder;
  }

  /** Waits for a hook. @throws when the process has died meanwhile */
  private async alive(hook: void | Promise<void>): Promise<void> {
    const { life } = this;
    await hook;
    if (life !== this.life) throw new Error('the process has died');
  }

  async exists(location: string): Promise<boolean> {
    return (this.folders.get(location)?.files.size ?? 0) > 0;
  }

  async rename(from: string, to: string): Promise<void> {
    await this.alive(this.beforeFolderChange('rename', from));
    if (!this.folders.has(from)) throw new Error(`there is no folder ${from}`);
    if (await this.exists(to)) throw new Error(`ENOTEMPTY: there is a folder ${to} already`);
    this.change({ kind: 'rename', from, to });
    await this.sync(to);
  }

  async remove(location: string): Promise<void> {
    const folder = this.folders.get(location);
    if (folder === undefined) return;
    await this.alive(this.beforeFolderChange('remove', location));
    for (const file of this.orderOfFiles([...folder.files]) as readonly DatabaseFile[]) {
      await this.alive(this.beforeFolderChange('unlink', `${location}/${file}`));
      this.change({ kind: 'unlink', location, file });
    }
    this.change({ kind: 'remove', location });
    await this.sync(location);
  }

  private async sync(location: string): Promise<void> {
    await this.alive(this.beforeFolderChange('sync', location));
    this.unstable = [];
  }

  private change(change: NameChange): void {
    const { folders } = this;
    if (change.kind === 'rename') {
      const { from, to } = change;
      const folder = folders.get(from)!;
      const replaced = folders.get(to);
      folders.delete(from);
      folders.set(to, folder);
      this.unstable.push(() => {
        if (replaced === undefined) folders.delete(to);
        else folders.set(to, replaced);
        folders.set(from, folder);
      });
    } else if (change.kind === 'unlink') {
      const { location, file } = change;
      const folder = folders.get(location)!;
      folder.files.delete(file);
      this.unstable.push(() => folder.files.add(file));
    } else {
      const folder = folders.get(change.location)!;
      folders.delete(change.location);
      this.unstable.push(() => folders.set(change.location, folder));
    }
  }

  /** Locations that hold something, sorted. */
  locations(): string[] {
    return [...this.folders.keys()].sort();
  }

  /** Kills every open database and takes away a random suffix of what was not synced: batches, and changes of names. */
  async crash(random: Random): Promise<void> {
    this.life += 1;
    for (const level of this.opened) level.kill();
    this.opened = [];
    for (const folder of this.folders.values()) folder.lose(random);
    const stable = random.int(this.unstable.length + 1);
    for (const undo of this.unstable.slice(stable).reverse()) undo();
    this.unstable = [];
  }
}
