/**
 * The machine's disk. Files are plain descriptors on the callback interface of `node:fs`, which costs about half of what a
 * `FileHandle` does per operation; blocking work runs in libuv's thread pool.
 */
import * as fs from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Disk, DiskFile, DiskOpenOptions } from './disk.ts';

class SystemDiskFile implements DiskFile {
  private readonly fd: number;

  constructor(fd: number) {
    this.fd = fd;
  }

  write(bytes: Buffer, position: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const writeFrom = (done: number): void => {
        fs.write(this.fd, bytes, done, bytes.length - done, position + done, (error, written) => {
          if (error !== null) reject(error);
          else if (done + written < bytes.length) writeFrom(done + written);
          else resolve();
        });
      };
      writeFrom(0);
    });
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.fdatasync(this.fd, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  read(position: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafeSlow(length);
    return new Promise((resolve, reject) => {
      const readFrom = (done: number): void => {
        fs.read(this.fd, bytes, done, length - done, position + done, (error, count) => {
          if (error !== null) reject(error);
          else if (count === 0) resolve(bytes.subarray(0, done));
          else if (done + count < length) readFrom(done + count);
          else resolve(bytes);
        });
      };
      if (length === 0) resolve(bytes);
      else readFrom(0);
    });
  }

  readSync(position: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      const count = fs.readSync(this.fd, bytes, done, length - done, position + done);
      if (count === 0) break;
      done += count;
    }
    return done === length ? bytes : bytes.subarray(0, done);
  }

  size(): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.fstat(this.fd, (error, stats) => (error === null ? resolve(stats.size) : reject(error)));
    });
  }

  truncate(length: number): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.ftruncate(this.fd, length, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  close(): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.close(this.fd, (error) => (error == null ? resolve() : reject(error)));
    });
  }
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

/** The local file system. Errors are Node's own, with `code` such as `ENOSPC` or `EIO`. */
export class SystemDisk implements Disk {
  open(path: string, options: DiskOpenOptions = {}): Promise<DiskFile> {
    const { O_RDWR, O_CREAT, O_DSYNC } = fs.constants;
    const flags = O_RDWR | (options.create === true ? O_CREAT : 0) | (options.durable === true ? O_DSYNC : 0);
    return new Promise((resolve, reject) => {
      fs.open(path, flags, 0o644, (error, fd) => (error === null ? resolve(new SystemDiskFile(fd)) : reject(error)));
    });
  }

  async list(folder: string): Promise<string[]> {
    try {
      return (await fs.promises.readdir(folder)).sort();
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  async makeFolder(folder: string): Promise<void> {
    const path = resolve(folder);
    const highest = await fs.promises.mkdir(path, { recursive: true });
    // One that was there already may be there in the page cache only: its maker may have died before it was stable.
    const top = dirname(highest === undefined ? path : resolve(highest));
    for (let parent = dirname(path); ; parent = dirname(parent)) {
      await this.syncFolder(parent);
      if (parent === top) return;
    }
  }

  rename(from: string, to: string): Promise<void> {
    return fs.promises.rename(from, to);
  }

  remove(path: string): Promise<void> {
    return fs.promises.rm(path, { recursive: true, force: true });
  }

  async syncFolder(folder: string): Promise<void> {
    const handle = await fs.promises.open(folder, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}
