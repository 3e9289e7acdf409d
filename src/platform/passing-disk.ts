/** A disk before another one. */
import type { Disk, DiskFile, DiskOpenOptions } from './disk.ts';

/** Passes on everything but the opening of files; whoever extends it does that. */
export abstract class PassingDisk implements Required<Disk> {
  protected readonly inner: Disk;

  constructor(inner: Disk) {
    this.inner = inner;
  }

  abstract open(path: string, options?: DiskOpenOptions): Promise<DiskFile>;

  list(folder: string): Promise<string[]> {
    return this.inner.list(folder);
  }

  makeFolder(folder: string): Promise<void> {
    return this.inner.makeFolder(folder);
  }

  rename(from: string, to: string): Promise<void> {
    return this.inner.rename(from, to);
  }

  remove(path: string): Promise<void> {
    return this.inner.remove(path);
  }

  syncFolder(folder: string): Promise<void> {
    return this.inner.syncFolder(folder);
  }
}
