/** A `Disk` in memory that takes no time, for tests that need to look at files, damage them, or cut operations off. */
import type { Disk, DiskFile, DiskOpenOptions } from '../../src/platform/index.ts';

const failure = (code: string, path: string): NodeJS.ErrnoException =>
  Object.assign(new Error(`${code}: ${path}`), { code, path });

export class MemoryDisk implements Disk {
  readonly files = new Map<string, { bytes: Buffer }>();
  /** Called before each operation: throwing makes it fail. */
  before: (operation: string, path: string) => void = () => {};

  async open(path: string, options: DiskOpenOptions = {}): Promise<DiskFile> {
    this.before('open', path);
    let file = this.files.get(path);
    if (file === undefined) {
      if (options.create !== true) throw failure('ENOENT', path);
      file = { bytes: Buffer.alloc(0) };
      this.files.set(path, file);
    }
    const held = file;
    const readSync = (position: number, length: number): Buffer =>
      Buffer.from(held.bytes.subarray(position, position + length));
    return {
      write: async (bytes, position) => {
        this.before('write', path);
        const end = position + bytes.length;
        if (end > held.bytes.length) held.bytes = Buffer.concat([held.bytes, Buffer.alloc(end - held.bytes.length)]);
        bytes.copy(held.bytes, position);
      },
      sync: async () => this.before('sync', path),
      read: async (position, length) => {
        this.before('read', path);
        return readSync(position, length);
      },
      readSync,
      size: async () => held.bytes.length,
      truncate: async (length) => {
        held.bytes = Buffer.from(held.bytes.subarray(0, length));
      },
      close: async () => {},
    };
  }

  async list(folder: string): Promise<string[]> {
    const names = [...this.files.keys()].filter((path) => path.startsWith(`${folder}/`));
    return [...new Set(names.map((path) => path.slice(folder.length + 1).split('/', 1)[0]!))].sort();
  }

  async makeFolder(): Promise<void> {}

  async rename(from: string, to: string): Promise<void> {
    this.before('rename', from);
    const file = this.files.get(from);
    if (file === undefined) throw failure('ENOENT', from);
    this.files.delete(from);
    this.files.set(to, file);
  }

  async remove(path: string): Promise<void> {
    this.before('remove', path);
    for (const name of [...this.files.keys()]) {
      if (name === path || name.startsWith(`${path}/`)) this.files.delete(name);
    }
  }

  async syncFolder(folder: string): Promise<void> {
    this.before('syncFolder', folder);
  }
}
