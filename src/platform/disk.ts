/**
 * The file operations that durable components are built from, as a constructor argument. The simulated twin loses what
 * was not synced when its node crashes, tears the last write, fills up and slows down on request.
 */

export interface DiskFile {
  /** Writes all of `bytes` at `position`. With `open(..., { durable: true })` the bytes are on stable storage when it settles. */
  write(bytes: Buffer, position: number): Promise<void>;
  /** Makes earlier writes of this file stable (fdatasync). */
  sync(): Promise<void>;
  /** Reads up to `length` bytes at `position`, fewer at the end of the file. */
  read(position: number, length: number): Promise<Buffer>;
  /** Blocking variant of `read` for short reads on the hot path. */
  readSync(position: number, length: number): Buffer;
  /** Current size in bytes. */
  size(): Promise<number>;
  truncate(length: number): Promise<void>;
  close(): Promise<void>;
}

export interface DiskOpenOptions {
  /** Create the file when it does not exist; an existing one is kept. Without it a missing file is an error. */
  readonly create?: boolean;
  /** Every write is stable before it settles (O_DSYNC). */
  readonly durable?: boolean;
}

export interface Disk {
  open(path: string, options?: DiskOpenOptions): Promise<DiskFile>;
  /** Names in a folder, sorted; an absent folder is empty. */
  list(folder: string): Promise<string[]>;
  /** Makes a folder, and all above it, unless it is there; its name is stable when it settles. */
  makeFolder(folder: string): Promise<void>;
  /** Atomic replace; stable once the parent folder is synced. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file or a folder with all below it; absent is fine. */
  remove(path: string): Promise<void>;
  /** Makes creations, renames and removals in `folder` stable; those of folders are one change with all that is in them. */
  syncFolder(folder: string): Promise<void>;
}
