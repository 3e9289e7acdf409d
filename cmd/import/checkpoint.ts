/** How far an import of a file has come, in a file beside it, so that it can go on where it was ended. */
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { CommandFailure } from '../cli/failure.ts';

/** Which file it is, as far as that can be known without reading it. */
export interface FileIdentity {
  readonly size: number;
  readonly modifiedMs: number;
}

interface State extends FileIdentity {
  readonly version: 1;
  /** Bytes of the file whose keys are in the cluster. */
  readonly position: number;
}

const WRITE_EVERY_MS = 1_000;

/** @throws the system's error when there is no such file */
export async function identityOf(file: string): Promise<FileIdentity> {
  const { size, mtimeMs } = await stat(file);
  return { size, modifiedMs: Math.trunc(mtimeMs) };
}

export class Checkpoint {
  private readonly path: string;
  private readonly identity: FileIdentity;
  private position: number;
  private writing: Promise<void> | undefined;
  private writtenMs = 0;

  private constructor(path: string, identity: FileIdentity, position: number) {
    this.path = path;
    this.identity = identity;
    this.position = position;
  }

  /**
   * Reads what a run before has left, if there was one.
   * @throws CommandFailure when that was of another file
   */
  static async open(path: string, identity: FileIdentity): Promise<Checkpoint> {
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return new Checkpoint(path, identity, 0);
    }
    let state: Partial<State>;
    try {
      state = JSON.parse(text) as Partial<State>;
    } catch {
      state = {};
    }
    const isSame = state.size === identity.size && state.modifiedMs === identity.modifiedMs;
    if (state.version !== 1 || !isSame || !Number.isSafeInteger(state.position))
      throw new CommandFailure(
        `${path} is not of an import of this file; remove it to begin anew, or name another file with --state`,
      );
    return new Checkpoint(path, identity, state.position!);
  }

  /** Bytes of the file whose keys are in the cluster. */
  get reached(): number {
    return this.position;
  }

  /** Notes progress; it is written now and then. */
  advance(position: number): void {
    this.position = position;
    const nowMs = performance.now();
    if (this.writing !== undefined || nowMs - this.writtenMs < WRITE_EVERY_MS) return;
    this.writtenMs = nowMs;
    this.writing = this.write().finally(() => {
      this.writing = undefined;
    });
    // Whoever ends the import hears of it.
    this.writing.catch(() => undefined);
  }

  /** Writes how far it has come. @throws the system's error */
  async save(): Promise<void> {
    await this.writing?.catch(() => undefined);
    if (this.position > 0) await this.write();
  }

  /** All is done: nothing is left to go on with. */
  async remove(): Promise<void> {
    await this.writing?.catch(() => undefined);
    await rm(this.path, { force: true });
  }

  private async write(): Promise<void> {
    const state: State = { version: 1, ...this.identity, position: this.position };
    await writeFile(`${this.path}.new`, `${JSON.stringify(state)}\n`);
    await rename(`${this.path}.new`, this.path);
  }
}
