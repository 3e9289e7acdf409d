/**
 * Objects as files of a folder, which may be one that several machines have mounted. A file is written beside, made stable and renamed, so
 * that what has its name is whole; `ifAbsent` makes a hard link, which the file system refuses where there is a file already.
 */
import { link } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Disk, isOutOfSpace, type Random } from '../../platform/index.ts';
import {
  type ObjectEntry,
  ObjectMissingError,
  type ObjectStore,
  ObjectStoreFullError,
  ObjectStoreRefusedError,
  ObjectStoreUnavailableError,
  type PutOptions,
} from './object-store.ts';

/** Files on their way; below no prefix that anybody lists. */
const PARTS = '.parts';
const NAME_BYTES = 12;

export interface FolderObjectsOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly random: Random;
  /** Gives a file a second name, unless there is a file of that name; the file system's own when left out. */
  readonly link?: (from: string, to: string) => Promise<void>;
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

/** See the top of the file. */
export class FolderObjects implements ObjectStore {
  readonly place: string;
  private readonly options: FolderObjectsOptions;
  /** Folders that are known to be there. */
  private readonly folders = new Set<string>();

  constructor(options: FolderObjectsOptions) {
    this.options = options;
    this.place = options.folder;
  }

  async put(name: string, content: Buffer, { ifAbsent = false, signal }: PutOptions = {}): Promise<boolean> {
    const whole = async function* (): AsyncGenerator<Buffer> {
      yield content;
    };
    return (await this.write(name, whole(), ifAbsent, signal)) !== undefined;
  }

  async putLarge(name: string, pieces: AsyncIterable<Buffer>, signal?: AbortSignal): Promise<number> {
    return (await this.write(name, pieces, false, signal))!;
  }

  async get(name: string, start: number, length: number, signal?: AbortSignal): Promise<Buffer> {
    signal?.throwIfAborted();
    return this.guarded(name, async () => {
      const file = await this.options.disk.open(this.pathOf(name));
      try {
        return await file.read(start, length);
      } finally {
        await file.close();
      }
    });
  }

  async *list(prefix: string): AsyncGenerator<ObjectEntry> {
    const slash = prefix.lastIndexOf('/');
    yield* this.listBelow(prefix.slice(0, slash + 1), prefix.slice(slash + 1));
  }

  /** @param folder empty or with its slash */
  private async *listBelow(folder: string, beginning: string): AsyncGenerator<ObjectEntry> {
    const { disk } = this.options;
    const names = await this.guarded(folder, () => disk.list(join(this.options.folder, folder)));
    const shown = names.filter((name) => !name.startsWith('.') && name.startsWith(beginning));
    // A folder stands in the list where its name with the slash does.
    const found: { readonly name: string; readonly bytes: number | undefined }[] = [];
    for (const name of shown) {
      const bytes = await this.sizeOf(`${folder}${name}`);
      found.push({ name: bytes === undefined ? `${name}/` : name, bytes });
    }
    found.sort((left, right) => (left.name < right.name ? -1 : 1));
    for (const { name, bytes } of found) {
      if (bytes === undefined) yield* this.listBelow(`${folder}${name}`, '');
      else yield { name: `${folder}${name}`, bytes };
    }
  }

  /** Bytes of a file; undefined for a folder, and for what is gone by now, in which nothing is found. */
  private async sizeOf(name: string): Promise<number | undefined> {
    const { disk } = this.options;
    try {
      const file = await disk.open(this.pathOf(name));
      try {
        return await file.size();
      } finally {
        await file.close();
      }
    } catch (error) {
      if (codeOf(error) === 'EISDIR' || codeOf(error) === 'ENOENT') return undefined;
      throw this.explained(name, error);
    }
  }

  async remove(name: string): Promise<void> {
    const path = this.pathOf(name);
    await this.guarded(name, async () => {
      await this.options.disk.remove(path);
      await this.options.disk.syncFolder(dirname(path));
    }).catch((error: unknown) => {
      if (!(error instanceof ObjectMissingError)) throw error;
    });
  }

  async close(): Promise<void> {}

  private pathOf(name: string): string {
    return join(this.options.folder, name);
  }

  /** @returns bytes written; undefined when there is a file already and it is to stay */
  private async write(
    name: string,
    pieces: AsyncIterable<Buffer>,
    ifAbsent: boolean,
    signal: AbortSignal | undefined,
  ): Promise<number | undefined> {
    const { disk, folder, random } = this.options;
    const path = this.pathOf(name);
    const parts = join(folder, PARTS);
    const part = join(parts, random.bytes(NAME_BYTES).toString('hex'));
    let bytes = 0;
    try {
      await this.makeFolder(parts);
      await this.makeFolder(dirname(path));
      const file = await disk.open(part, { create: true });
      try {
        for await (const piece of pieces) {
          signal?.throwIfAborted();
          await file.write(piece, bytes);
          bytes += piece.length;
        }
        await file.sync();
      } finally {
        await file.close();
      }
      const isWritten = ifAbsent ? await this.linkNew(part, path) : await disk.rename(part, path).then(() => true);
      await disk.syncFolder(dirname(path));
      return isWritten ? bytes : undefined;
    } catch (error) {
      await disk.remove(part).catch(() => {});
      throw this.explained(name, error);
    }
  }

  private async linkNew(part: string, path: string): Promise<boolean> {
    try {
      await (this.options.link ?? link)(part, path);
      return true;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      throw error;
    } finally {
      await this.options.disk.remove(part).catch(() => {});
    }
  }

  private async makeFolder(folder: string): Promise<void> {
    if (this.folders.has(folder)) return;
    await this.options.disk.makeFolder(folder);
    this.folders.add(folder);
  }

  private async guarded<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      throw this.explained(name, error);
    }
  }

  /** The error in the words of the seam; what is none of the disk's stays. */
  private explained(name: string, error: unknown): unknown {
    const code = codeOf(error);
    const cause = { cause: error };
    if (isOutOfSpace(error)) return new ObjectStoreFullError(`${this.place} has no room for ${name}`, cause);
    switch (code) {
      case 'ENOENT':
        return new ObjectMissingError(`there is no ${name} in ${this.place}`, cause);
      case 'EACCES':
      case 'EPERM':
      case 'EROFS':
      case 'ENOTDIR':
        return new ObjectStoreRefusedError(`${this.place} cannot be used: ${(error as Error).message}`, cause);
      default:
        return code === undefined || !/^E[A-Z0-9]+$/.test(code)
          ? error
          : new ObjectStoreUnavailableError(`${this.place} fails: ${(error as Error).message}`, cause);
    }
  }
}
