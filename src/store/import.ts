/**
 * A copy on its way in. Its segments are gathered beside the live store, proven, and written to a database of their own, which
 * is swapped in by two renames; the live database is kept until the new one has been opened. A crash at any point leaves
 * either the old or the new store, see `recoverFolders`. Segments that came whole survive a failure and a restart.
 */
import type { Disk } from '../platform/index.ts';
import { decodeSystemState, encodeMetaKey, STORE_FORMAT, SYSTEM_KEY } from './codec.ts';
import { CorruptSnapshotError } from './errors.ts';
import type { Level, LevelFolders, OpenLevel } from './level.ts';
import { incomingOf, type LoadedStore, loadStore, receivedOf, rollbackOf } from './load.ts';
import { type BlockCompression, type CopyManifest, ingestSegments, SegmentFolder } from './segments/index.ts';
import type { ImportedCopy, StoreImport } from './types.ts';

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
  readonly disk: Disk;
  readonly compression: BlockCompression;
  /** Runs the exchange while the store is idle. */
  swap(exchange: (live: Level) => Promise<Exchanged>): Promise<void>;
}

type Phase = 'receiving' | 'finished' | 'closed';

/** See the file's head. */
export class StagedImport implements StoreImport {
  readonly missing: readonly number[];
  private readonly host: ImportHost;
  private readonly manifest: CopyManifest;
  private readonly segments: SegmentFolder;
  /** The database that is built of the segments. */
  private staging: Level | undefined;
  private phase: Phase = 'receiving';

  private constructor(host: ImportHost, manifest: CopyManifest, segments: SegmentFolder, missing: readonly number[]) {
    this.host = host;
    this.manifest = manifest;
    this.segments = segments;
    this.missing = missing;
  }

  static async create(host: ImportHost, manifest: CopyManifest): Promise<StagedImport> {
    const segments = new SegmentFolder(host.disk, receivedOf(host.location));
    return new StagedImport(host, manifest, segments, await segments.prepare(manifest.segments));
  }

  private expectPhase(phase: Phase): void {
    if (this.phase !== phase) throw new CorruptSnapshotError(`a copy that is ${this.phase} cannot be used like this`);
  }

  async receive(at: number, frames: AsyncIterable<Buffer>): Promise<void> {
    this.expectPhase('receiving');
    const segment = this.manifest.segments[at];
    if (segment === undefined) throw new CorruptSnapshotError(`a copy has no segment ${at}`);
    await this.segments.receive(segment, frames);
  }

  async finish(): Promise<ImportedCopy> {
    this.expectPhase('receiving');
    const { location, folders, openLevel, disk, compression } = this.host;
    const folder = incomingOf(location);
    await folders.remove(folder);
    const staging = openLevel(folder);
    this.staging = staging;
    await staging.open();
    await ingestSegments(staging, this.manifest, {
      disk,
      compression,
      pathOf: (segment) => this.segments.pathOf(segment),
      onDamaged: (segment) => this.segments.forget(segment),
    });
    const systemRow = staging.getSync(SYSTEM_KEY);
    const state = systemRow === undefined ? undefined : decodeSystemState(systemRow, folder);
    const { appliedIndex } = this.manifest;
    if (state === undefined || state.format !== STORE_FORMAT || state.appliedIndex !== appliedIndex) {
      throw new CorruptSnapshotError(
        `a copy of index ${appliedIndex} holds the state of index ${state?.appliedIndex ?? 'none'}`,
      );
    }
    this.phase = 'finished';
    return { appliedIndex, meta: (name) => staging.getSync(encodeMetaKey(name)) };
  }

  async install(): Promise<void> {
    this.expectPhase('finished');
    this.phase = 'closed';
    await this.staging?.close();
    await this.host.swap((live) => this.exchange(live));
    // What is left of them is deleted when the next copy comes.
    await this.segments.clear().catch(() => {});
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
    if (this.phase !== 'closed') await this.staging?.close();
    this.phase = 'closed';
    await this.host.folders.remove(incomingOf(this.host.location));
  }
}
