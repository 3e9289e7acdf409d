/**
 * The simulated twin of a disk full of LevelDB databases. A batch that was not synced may be lost in a crash together with
 * all later ones (LevelDB's log is a sequence, so what survives is a prefix); a batch whose promise had not settled may
 * have reached the disk or not, as a whole.
 */
import type { Random } from '../platform/index.ts';
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

/** What undoes a batch, in the order to be undone in. */
type Undo = readonly LevelOperation[];

interface Files {
  readonly rows: SimulatedRows;
  /** Batches that a crash may take away, oldest first. */
  unsynced: Undo[];
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
  private readonly files: Files;
  private readonly beforeBatch: (operations: readonly LevelOperation[]) => Promise<void>;
  private isOpen = false;

  constructor(files: Files, beforeBatch: (operations: readonly LevelOperation[]) => Promise<void>) {
    this.files = files;
    this.beforeBatch = beforeBatch;
  }

  async open(): Promise<void> {
    this.isOpen = true;
  }

  async close(): Promise<void> {
    this.isOpen = false;
  }

  /** The process died. */
  kill(): void {
    this.isOpen = false;
  }

  private live(): SimulatedRows {
    if (!this.isOpen) throw new Error('the simulated database is closed');
    return this.files.rows;
  }

  getSync(key: Buffer, options?: { readonly snapshot: LevelSnapshot }): Buffer | undefined {
    const rows = this.live();
    return rowOf(options === undefined ? rows : viewOf(options.snapshot), key);
  }

  async batch(operations: LevelOperation[], options: { readonly sync: boolean }): Promise<void> {
    this.live();
    await this.beforeBatch(operations);
    this.files.unsynced.push(this.live().apply(operations));
    if (options.sync) this.files.unsynced = [];
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
    const rows = this.live();
    return new RowIterator(options.snapshot === undefined ? rows.freeze() : viewOf(options.snapshot), options);
  }

  snapshot(): LevelSnapshot {
    return new SimulatedSnapshot(this.live().freeze());
  }
}

/** A disk of databases in memory, by location. */
export class SimulatedLevels implements LevelFolders {
  private folders = new Map<string, Files>();
  private opened: SimulatedLevel[] = [];
  /** Called before each batch: a test may delay it, or make it fail by throwing. */
  beforeBatch: (operations: readonly LevelOperation[]) => Promise<void> = async () => {};
  /** Called before each rename and removal: a test may crash there by throwing. */
  beforeFolderChange: (change: 'rename' | 'remove', location: string) => void = () => {};

  /** Pass as `openLevel`. */
  readonly openLevel = (location: string): Level => {
    let files = this.folders.get(location);
    if (files === undefined) {
      files = {
        rows: new SimulatedRows(),
        unsynced: [],
      };
      this.folders.set(location, files);
    }
    const level = new SimulatedLevel(files, (operations) => this.beforeBatch(operations));
    this.opened.push(level);
    return level;
  };

  async exists(location: string): Promise<boolean> {
    return this.folders.has(location);
  }

  async rename(from: string, to: string): Promise<void> {
    this.beforeFolderChange('rename', from);
    const files = this.folders.get(from);
    if (files === undefined) throw new Error(`there is no folder ${from}`);
    if (this.folders.has(to)) throw new Error(`there is a folder ${to} already`);
    this.folders.delete(from);
    this.folders.set(to, files);
  }

  async remove(location: string): Promise<void> {
    this.beforeFolderChange('remove', location);
    this.folders.delete(location);
  }

  /** Locations that hold something, sorted. */
  locations(): string[] {
    return [...this.folders.keys()].sort();
  }

  /** Kills every open database and takes away a random suffix of what was not synced. */
  async crash(random: Random): Promise<void> {
    for (const level of this.opened) level.kill();
    this.opened = [];
    for (const files of this.folders.values()) {
      const survivors = random.int(files.unsynced.length + 1);
      for (let at = files.unsynced.length - 1; at >= survivors; at--) {
        files.rows.apply(files.unsynced[at]!);
      }
      files.unsynced = [];
    }
  }
}
