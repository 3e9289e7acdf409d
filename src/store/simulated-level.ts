/**
 * The simulated twin of a disk full of LevelDB databases. A batch that was not synced may be lost in a crash together with
 * all later ones (LevelDB's log is a sequence, so what survives is a prefix); a batch whose promise had not settled may
 * have reached the disk or not, as a whole.
 */
import { MemoryLevel } from 'memory-level';
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

/** What a batch replaced, so that it can be undone: newest last. */
type Undo = readonly LevelOperation[];

interface Files {
  readonly tree: MemoryLevel<Buffer, Buffer>;
  /** Batches that a crash may take away, oldest first. */
  unsynced: Undo[];
}

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
    await this.files.tree.open();
    this.isOpen = true;
  }

  async close(): Promise<void> {
    this.isOpen = false;
  }

  /** The process died. */
  kill(): void {
    this.isOpen = false;
  }

  private live(): MemoryLevel<Buffer, Buffer> {
    if (!this.isOpen) throw new Error('the simulated database is closed');
    return this.files.tree;
  }

  getSync(key: Buffer, options?: { readonly snapshot: LevelSnapshot }): Buffer | undefined {
    const tree = this.live();
    return options === undefined ? tree.getSync(key) : (tree.getSync(key, options as never) as Buffer | undefined);
  }

  async batch(operations: LevelOperation[], options: { readonly sync: boolean }): Promise<void> {
    this.live();
    await this.beforeBatch(operations);
    const tree = this.live();
    const undo: LevelOperation[] = [];
    for (const { key } of operations) {
      const value = tree.getSync(key);
      undo.push(value === undefined ? { type: 'del', key } : { type: 'put', key, value });
    }
    this.files.unsynced.push(undo);
    await tree.batch(operations);
    if (options.sync && this.isOpen) this.files.unsynced = [];
    this.live();
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
    return this.live().iterator(options as never) as unknown as LevelIterator;
  }

  snapshot(): LevelSnapshot {
    return this.live().snapshot();
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
        tree: new MemoryLevel<Buffer, Buffer>({ keyEncoding: 'buffer', valueEncoding: 'buffer' }),
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
        await files.tree.batch(files.unsynced[at]!.slice().reverse());
      }
      files.unsynced = [];
    }
  }
}
