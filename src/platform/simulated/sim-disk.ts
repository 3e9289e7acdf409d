/**
 * A disk that fails on request. Operations take drawn times; writes are visible when they settle, and stable only after a
 * sync (or at once on a durable file). Names are stable once their folder is synced. After a power failure any part of
 * what was not stable may be there; changes of names survive in order up to a drawn point, as on a journaling file system.
 * A folder is a name like any other: without it nothing can be made in it, and what is in it goes with it.
 */
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Disk, DiskFile, DiskOpenOptions } from '../disk.ts';
import type { SeededRandom } from '../random.ts';
import type { Millis } from '../types.ts';
import type { EventOwner } from './event-heap.ts';
import { type FileChange, SimInode } from './sim-inode.ts';
import type { Simulation } from './simulation.ts';

/** What a name stands for when it is that of a folder. */
const FOLDER = Symbol('folder');
type Named = SimInode | typeof FOLDER;

type NameChange =
  | { readonly kind: 'set'; readonly path: string; readonly inode: Named }
  | { readonly kind: 'rename'; readonly from: string; readonly path: string }
  | { readonly kind: 'remove'; readonly path: string };

/** Folders that are there on every machine. */
const ROOTS: ReadonlySet<string> = new Set(['', '.', '/']);

/** What an open file still has to say of its durable writes. */
interface Reports {
  underWay: number;
  /** Pages of a write that has returned could not be written. */
  owesError: boolean;
}

const diskError = (code: string, operation: string, path: string): NodeJS.ErrnoException =>
  Object.assign(new Error(`${code}: simulated, ${operation} '${path}'`), { code, path });

const MIN_OPERATION_MS = 0.02;
const MAX_OPERATION_MS = 0.2;
/** One operation in this many is a straggler, so that operations overtake each other as on a busy drive. */
const STRAGGLER_IN = 16;
const STRAGGLER_FACTOR = 10;

export class SimDisk implements Disk {
  /** Multiplies the time that every operation takes. */
  slowness = 1;
  /** What every sync and every durable write takes instead of a drawn time. */
  syncMs: Millis | undefined;
  /** Writes that would make a file longer are refused with ENOSPC. */
  isFull = false;
  /** Every write takes new room, as on a file system that copies on write: a full disk refuses them all. */
  copiesOnWrite = false;
  /**
   * Syncs and durable writes fail with EIO, or the next one does. What was written mostly stays readable, and what of it is stable is up to
   * chance. As on Linux an open file says once that pages could not be written: another write through it may hear of it in its place.
   */
  failsSyncs: boolean | 'once' = false;
  private readonly simulation: Simulation;
  private readonly owner: EventOwner;
  private readonly random: SeededRandom;
  private names = new Map<string, Named>();
  private stableNames = new Map<string, Named>();
  private unsyncedNames: NameChange[] = [];

  constructor(simulation: Simulation, owner: EventOwner) {
    this.simulation = simulation;
    this.owner = owner;
    this.random = simulation.random.fork(3);
  }

  /** The machine's process died; with `losePower` everything that is not stable may be lost. */
  crash(losePower: boolean): void {
    if (!losePower) {
      for (const inode of filesOf(this.names)) inode.killProcess(this.random);
      return;
    }
    const survivors = this.random.int(this.unsyncedNames.length + 1);
    for (const change of this.unsyncedNames.slice(0, survivors)) applyName(this.stableNames, change);
    this.unsyncedNames = [];
    this.names = new Map(this.stableNames);
    // What lay in a folder whose name is gone is gone too.
    for (const path of this.names.keys()) if (!this.isReachable(path)) this.names.delete(path);
    this.stableNames = new Map(this.names);
    for (const inode of filesOf(this.names)) inode.failPower(this.random);
  }

  /** Damages one stored bit, as a drive does that forgets. */
  flipBit(path: string, position: number, bit = 0): void {
    this.inode(path, 'flip').flipBit(position, bit);
  }

  async open(path: string, options: DiskOpenOptions = {}): Promise<DiskFile> {
    await this.elapse('open');
    let inode = this.names.get(path);
    if (inode === FOLDER) throw diskError('EISDIR', 'open', path);
    if (inode === undefined) {
      if (options.create !== true || !this.hasFolder(dirname(path))) throw diskError('ENOENT', 'open', path);
      if (this.isFull) throw diskError('ENOSPC', 'open', path);
      inode = new SimInode();
      this.changeName({ kind: 'set', path, inode });
    }
    return new SimDiskFile(this, path, inode, options.durable === true);
  }

  async list(folder: string): Promise<string[]> {
    await this.elapse('list');
    const prefix = `${folder}/`;
    const found = new Set<string>();
    for (const path of this.names.keys())
      if (path.startsWith(prefix)) found.add(path.slice(prefix.length).split('/', 1)[0]!);
    return [...found].sort();
  }

  async makeFolder(folder: string): Promise<void> {
    const missing: string[] = [];
    for (let path = folder; !this.hasFolder(path); path = dirname(path)) missing.unshift(path);
    if (this.isFull && missing.length > 0) throw diskError('ENOSPC', 'mkdir', folder);
    for (const path of missing) this.changeName({ kind: 'set', path, inode: FOLDER });
    await this.syncNames(new Set([folder, ...missing].map((path) => dirname(path))));
  }

  async rename(from: string, to: string): Promise<void> {
    await this.elapse('rename');
    this.inode(from, 'rename');
    if (!this.hasFolder(dirname(to))) throw diskError('ENOENT', 'rename', to);
    this.changeName({ kind: 'rename', from, path: to });
  }

  async remove(path: string): Promise<void> {
    await this.elapse('remove');
    for (const name of [...this.names.keys()])
      if (name === path || name.startsWith(`${path}/`)) this.changeName({ kind: 'remove', path: name });
  }

  async syncFolder(folder: string): Promise<void> {
    await this.syncNames(new Set([folder]));
  }

  /** Lets the time of one operation pass. Never settles when the machine crashes before. */
  elapse(operation: string, isSync = false): Promise<void> {
    const { simulation } = this;
    const label = simulation.isTraced ? `disk ${operation}` : 'disk';
    if (isSync && this.syncMs !== undefined) return simulation.delay(this.syncMs, label, this.owner);
    const drawnMs = MIN_OPERATION_MS + this.random.next() * (MAX_OPERATION_MS - MIN_OPERATION_MS);
    const factor = this.random.int(STRAGGLER_IN) === 0 ? STRAGGLER_FACTOR : 1;
    return simulation.delay(drawnMs * factor * this.slowness, label, this.owner);
  }

  /** Carries out one change of a file. */
  async change(path: string, inode: SimInode, change: FileChange, durable: Reports | undefined): Promise<void> {
    const grows = change.kind === 'write' && change.position + change.bytes.length > inode.claimedSize;
    if (grows && this.isFull) {
      await this.elapse('write');
      throw diskError('ENOSPC', 'write', path);
    }
    if (change.kind === 'write' && this.copiesOnWrite && this.isFull) {
      inode.begin(change);
      await this.elapse('write');
      inode.fail(change, this.random);
      throw diskError('ENOSPC', 'write', path);
    }
    if (change.kind === 'write') this.simulation.note(crc32(change.bytes));
    inode.begin(change);
    if (durable === undefined) {
      await this.elapse('write');
      inode.finish(change, false);
      return;
    }
    durable.underWay += 1;
    await this.elapse('write', true);
    durable.underWay -= 1;
    if (this.takeFailure()) {
      inode.fail(change, this.random);
      durable.owesError = durable.underWay > 0 && this.random.int(2) === 0;
      if (durable.owesError) return;
    } else {
      inode.finish(change, true);
      if (!durable.owesError) return;
      durable.owesError = false;
    }
    throw diskError('EIO', 'write', path);
  }

  /** Whether the sync that ends now fails. */
  private takeFailure(): boolean {
    const fails = this.failsSyncs !== false;
    if (this.failsSyncs === 'once') this.failsSyncs = false;
    return fails;
  }

  async sync(path: string, inode: SimInode): Promise<void> {
    const before = inode.unsyncedChanges;
    await this.elapse('sync', true);
    if (this.takeFailure()) {
      inode.failSync(before, this.random);
      throw diskError('EIO', 'fsync', path);
    }
    inode.sync(before);
  }

  private hasFolder(path: string): boolean {
    return ROOTS.has(path) || this.names.get(path) === FOLDER;
  }

  private isReachable(path: string): boolean {
    const folder = dirname(path);
    return ROOTS.has(folder) || (this.names.get(folder) === FOLDER && this.isReachable(folder));
  }

  /** Makes the changes of names in some folders stable that were made before the call. */
  private async syncNames(folders: ReadonlySet<string>): Promise<void> {
    const before = this.unsyncedNames.length;
    await this.elapse('sync folder');
    if (this.takeFailure()) throw diskError('EIO', 'fsync', [...folders].join());
    const later = this.unsyncedNames.slice(before);
    const isMeant = (change: NameChange): boolean =>
      folders.has(dirname(change.path)) || (change.kind === 'rename' && folders.has(dirname(change.from)));
    const kept: NameChange[] = [];
    for (const change of this.unsyncedNames.slice(0, before)) {
      if (isMeant(change)) applyName(this.stableNames, change);
      else kept.push(change);
    }
    this.unsyncedNames = [...kept, ...later];
  }

  private inode(path: string, operation: string): SimInode {
    const inode = this.names.get(path);
    if (inode === undefined || inode === FOLDER) throw diskError('ENOENT', operation, path);
    return inode;
  }

  private changeName(change: NameChange): void {
    applyName(this.names, change);
    this.unsyncedNames.push(change);
  }
}

function filesOf(names: ReadonlyMap<string, Named>): Set<SimInode> {
  const files = new Set<SimInode>();
  for (const inode of names.values()) if (inode !== FOLDER) files.add(inode);
  return files;
}

function applyName(names: Map<string, Named>, change: NameChange): void {
  if (change.kind === 'set') {
    names.set(change.path, change.inode);
  } else if (change.kind === 'remove') {
    // A folder of the same name that is made later is another one.
    if (names.get(change.path) === FOLDER)
      for (const path of names.keys()) if (path.startsWith(`${change.path}/`)) names.delete(path);
    names.delete(change.path);
  } else {
    const inode = names.get(change.from);
    names.delete(change.from);
    if (inode !== undefined) names.set(change.path, inode);
  }
}

class SimDiskFile implements DiskFile {
  private readonly disk: SimDisk;
  private readonly path: string;
  private readonly inode: SimInode;
  /** Undefined when writes are stable only after a sync. */
  private readonly durable: Reports | undefined;
  private isOpen = true;

  constructor(disk: SimDisk, path: string, inode: SimInode, durable: boolean) {
    this.disk = disk;
    this.path = path;
    this.inode = inode;
    this.durable = durable ? { underWay: 0, owesError: false } : undefined;
  }

  async write(bytes: Buffer, position: number): Promise<void> {
    this.check('write');
    const change: FileChange = { kind: 'write', position, bytes: Buffer.from(bytes) };
    await this.disk.change(this.path, this.inode, change, this.durable);
  }

  async sync(): Promise<void> {
    this.check('fsync');
    await this.disk.sync(this.path, this.inode);
  }

  async read(position: number, length: number): Promise<Buffer> {
    this.check('read');
    await this.disk.elapse('read');
    return this.inode.read(position, length);
  }

  readSync(position: number, length: number): Buffer {
    this.check('read');
    return this.inode.read(position, length);
  }

  async size(): Promise<number> {
    this.check('stat');
    await this.disk.elapse('stat');
    return this.inode.size;
  }

  async truncate(length: number): Promise<void> {
    this.check('truncate');
    await this.disk.change(this.path, this.inode, { kind: 'truncate', length }, this.durable);
  }

  async close(): Promise<void> {
    this.check('close');
    this.isOpen = false;
    await this.disk.elapse('close');
  }

  private check(operation: string): void {
    if (!this.isOpen) throw diskError('EBADF', operation, this.path);
  }
}
