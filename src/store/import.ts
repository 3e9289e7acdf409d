/**
 * A copy on its way in. It is written to a database of its own beside the live one, proven complete, and swapped in by two
 * renames; the live database is kept until the new one has been opened. A crash at any point leaves either the old or the
 * new store, see `recoverFolders`.
 */
import type { LogIndex } from '../platform/index.ts';
import { decodeSystemState, RowKind, STORE_FORMAT, SYSTEM_KEY } from './codec.ts';
import { CorruptSnapshotError } from './errors.ts';
import type { Level, LevelFolders, LevelOperation, OpenLevel } from './level.ts';
import { incomingOf, type LoadedStore, loadStore, rollbackOf } from './load.ts';
import { FrameReader } from './snapshot-frames.ts';
import type { StoreImport } from './types.ts';

const KNOWN_KINDS: ReadonlySet<number> = new Set(Object.values(RowKind));

/** What a swap ends with: the database to use from now on, and why the old one is still it when it is. */
export interface Exchanged {
  readonly level: Level;
  readonly loaded: LoadedStore;
  readonly error: unknown;
}

export interface ImportHost {
  readonly location: string;
  /** Databases that check their rows. */
  readonly openLevel: OpenLevel;
  readonly folders: LevelFolders;
  /** Runs the exchange while the store is idle. */
  swap(exchange: (live: Level) => Promise<Exchanged>): Promise<void>;
}

type Phase = 'receiving' | 'finished' | 'closed';

/** See the file's head. */
export class StagedImport implements StoreImport {
  private readonly host: ImportHost;
  private readonly staging: Level;
  private readonly reader = new FrameReader();
  private phase: Phase = 'receiving';

  private constructor(host: ImportHost, staging: Level) {
    this.host = host;
    this.staging = staging;
  }

  static async create(host: ImportHost): Promise<StagedImport> {
    const folder = incomingOf(host.location);
    await host.folders.remove(folder);
    const staging = host.openLevel(folder);
    await staging.open();
    return new StagedImport(host, staging);
  }

  private expectPhase(phase: Phase): void {
    if (this.phase !== phase) throw new CorruptSnapshotError(`a copy that is ${this.phase} cannot be used like this`);
  }

  async write(frame: Buffer): Promise<void> {
    this.expectPhase('receiving');
    const rows = this.reader.read(frame);
    if (rows.length === 0) return;
    const operations: LevelOperation[] = rows.map(([key, value]) => {
      if (!KNOWN_KINDS.has(key[0]!)) throw new CorruptSnapshotError(`a copy holds a row of unknown kind ${key[0]}`);
      return { type: 'put', key, value };
    });
    await this.staging.batch(operations, { sync: true });
  }

  async finish(): Promise<LogIndex> {
    this.expectPhase('receiving');
    const index = this.reader.end();
    const systemRow = this.staging.getSync(SYSTEM_KEY);
    const state = systemRow === undefined ? undefined : decodeSystemState(systemRow, incomingOf(this.host.location));
    if (state === undefined || state.format !== STORE_FORMAT || state.appliedIndex !== index) {
      throw new CorruptSnapshotError(
        `a copy of index ${index} holds the state of index ${state?.appliedIndex ?? 'none'}`,
      );
    }
    this.phase = 'finished';
    return index;
  }

  async install(): Promise<void> {
    this.expectPhase('finished');
    this.phase = 'closed';
    await this.staging.close();
    await this.host.swap((live) => this.exchange(live));
  }

  private async exchange(live: Level): Promise<Exchanged> {
    const { location, folders } = this.host;
    await live.close();
    try {
      await folders.rename(location, rollbackOf(location));
      await folders.rename(incomingOf(location), location);
      const opened = await this.openLive();
      // The new store is live whether or not its predecessor can be removed now; opening the store removes it too.
      await folders.remove(rollbackOf(location)).catch(() => {});
      return { ...opened, error: undefined };
    } catch (error) {
      if (await folders.exists(rollbackOf(location))) {
        await folders.remove(location);
        await folders.rename(rollbackOf(location), location);
      }
      return { ...(await this.openLive()), error };
    }
  }

  private async openLive(): Promise<{ level: Level; loaded: LoadedStore }> {
    const { location, openLevel } = this.host;
    const level = openLevel(location);
    await level.open();
    try {
      return { level, loaded: await loadStore(level, location) };
    } catch (error) {
      await level.close();
      throw error;
    }
  }

  async discard(): Promise<void> {
    if (this.phase !== 'closed') await this.staging.close();
    this.phase = 'closed';
    await this.host.folders.remove(incomingOf(this.host.location));
  }
}
