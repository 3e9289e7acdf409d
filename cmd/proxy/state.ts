/** What a proxy has to know of the one before: which side answered, and which keys may differ. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { isMode, MEANINGS, type Mode } from './mode.ts';
import type { Suspicion } from './report.ts';

interface Stored {
  readonly version: 1;
  /** It has not ended in an orderly way, or runs. */
  readonly isRunning: boolean;
  readonly mode: Mode;
  readonly hasUnnamed: boolean;
  /** Database, and key in base64. */
  readonly dirty: readonly (readonly [number, string])[];
}

/** The file is not one that a proxy has written. */
export class ProxyStateError extends Error {
  override readonly name = 'ProxyStateError';
}

/** A file with it. What is in it when a proxy starts is what the one before has left. */
export class ProxyState {
  private readonly path: string;
  /** Undefined: there was no proxy before. */
  readonly mode: Mode | undefined;
  readonly suspicion: Suspicion;

  private constructor(path: string, mode: Mode | undefined, suspicion: Suspicion) {
    this.path = path;
    this.mode = mode;
    this.suspicion = suspicion;
  }

  /** Reads what the proxy before has left, if there was one. @throws ProxyStateError, the system's error */
  static async open(path: string): Promise<ProxyState> {
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return new ProxyState(path, undefined, { places: [], hasUnnamed: false });
    }
    const stored = parsed(text);
    if (stored === undefined)
      throw new ProxyStateError(
        `${path} is not of a proxy; remove it to begin anew, or name another file with --state`,
      );
    const { mode, isRunning, hasUnnamed, dirty } = stored;
    // Nobody has noted what was on its way when the process ended.
    const hasLost = isRunning && MEANINGS[mode].secondary !== undefined;
    return new ProxyState(path, mode, {
      places: dirty.map(([database, key]) => ({ database, key: Buffer.from(key, 'base64') })),
      hasUnnamed: hasUnnamed || hasLost,
    });
  }

  /** @throws the system's error */
  async write(mode: Mode, { places, hasUnnamed }: Suspicion, isRunning: boolean): Promise<void> {
    const dirty = places.map(({ database, key }): [number, string] => [database, key.toString('base64')]);
    const stored: Stored = { version: 1, isRunning, mode, hasUnnamed, dirty };
    await writeFile(`${this.path}.new`, `${JSON.stringify(stored)}\n`);
    await rename(`${this.path}.new`, this.path);
  }
}

function parsed(text: string): Stored | undefined {
  let stored: Partial<Stored>;
  try {
    stored = JSON.parse(text) as Partial<Stored>;
  } catch {
    return undefined;
  }
  return stored.version === 1 && isMode(String(stored.mode)) && Array.isArray(stored.dirty)
    ? (stored as Stored)
    : undefined;
}
