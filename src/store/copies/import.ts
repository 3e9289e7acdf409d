/**
 * A copy on its way in. Its segments are gathered beside the live store, proven, and written to a database of their own, which
 * is swapped in by two renames; the live database is kept until the new one has been opened. A crash at any point leaves
 * either the old or the new store, see `folders.ts`. Segments that came whole survive a failure and a restart.
 */
import type { Disk } from '../../platform/index.ts';
import type { ImportedCopy, StoreImport } from '../contract/index.ts';
import { forgetPredecessor, incomingOf, prepareSwap, putBack, receivedOf, swapIn } from '../folders/index.ts';
import type { Level, LevelFolders, OpenLevel } from '../level/index.ts';
import { loadStore } from '../load/index.ts';
import {
  CorruptSnapshotError,
  CorruptStoreError,
  decodeSystemState,
  encodeMetaKey,
  STORE_FORMAT,
  SYSTEM_KEY,
} from '../rows/index.ts';
import { type BlockCompression, type CopyManifest, ingestSegments, SegmentFolder } from '../segments/index.ts';
import type { Exchanged } from './swap.ts';

export interface ImportHost {
  readonly location: string;
  /** Databases that check their rows. */
  readonly openLevel: OpenLevel;
  readonly folders: LevelFolders;
  readonly disk: Disk;
  readonly compression: BlockCompression;
  /** Runs the exchange while the store is idle. Without room on the disk, or once the store closes, it refuses. */
  swap(exchange: (live: Level) => Promise<Exchanged>): Promise<void>;
}

type Phase = 'receiving' | 'proving' | 'finished' | 'installing' | 'closed';

/** See the file's head. */
export class StagedImport implements StoreImport {
  readonly missing: readonly number[];
  private readonly host: ImportHost;
  private readonly manifest: CopyManifest;
  private readonly segments: SegmentFolder;
  /** The database that is built of the segments, while it is open. */
  private staging: Level | undefined;
  private phase: Phase = 'receiving';
  /** Ends with what `finish` or `install` are doing. */
  private busy: Promise<unknown> = Promise.resolve();

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

  finish(): Promise<ImportedCopy> {
    const proven = this.build();
    this.busy = proven.catch(() => {});
    return proven;
  }

  private async build(): Promise<ImportedCopy> {
    this.expectPhase('receiving');
    this.phase = 'proving';
    const { location, folders, openLevel, disk, compression } = this.host;
    const folder = incomingOf(location);
    await folders.remove(folder);
    const staging = openLevel(folder);
    await staging.open();
    this.staging = staging;
    await ingestSegments(staging, this.manifest, {
      disk,
      compression,
      pathOf: (segment) => this.segments.pathOf(segment),
      onDamaged: (segment) => this.segments.forget(segment),
      assertWanted: () => this.expectPhase('proving'),
    });
    this.expectPhase('proving');
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

  install(): Promise<void> {
    const installed = this.swapNow();
    this.busy = installed.catch(() => {});
    return installed;
  }

  private async swapNow(): Promise<void> {
    this.expectPhase('finished');
    this.phase = 'installing';
    const { location, folders } = this.host;
    try {
      await this.closeStaging();
      await prepareSwap(location, folders);
      await this.host.swap((live) => this.exchange(live));
    } catch (error) {
      // Where it was not swapped in, it only takes up room.
      await folders.remove(incomingOf(location)).catch(() => {});
      throw error;
    } finally {
      this.phase = 'closed';
    }
    // What is left of them is deleted when the next copy comes.
    await this.segments.clear().catch(() => {});
  }

  private async exchange(live: Level): Promise<Exchanged> {
    const { location, folders } = this.host;
    try {
      await live.close();
      await swapIn(location, folders);
      const opened = await this.openLive();
      // The new store is live whether or not its predecessor can be removed now; the next swap and the next opening try again.
      await forgetPredecessor(location, folders).catch(() => {});
      return { kind: 'installed', ...opened };
    } catch (error) {
      return { kind: 'undone', error, putBack: () => putBack(location, folders) };
    }
  }

  private async openLive() {
    const { location, openLevel } = this.host;
    const level = openLevel(location);
    try {
      await level.open();
      const loaded = await loadStore(level, location);
      const { appliedIndex } = loaded.state;
      if (appliedIndex !== this.manifest.appliedIndex) {
        throw new CorruptStoreError(location, `is of index ${appliedIndex}, not of its copy's`);
      }
      return { level, loaded };
    } catch (error) {
      await level.close();
      throw error;
    }
  }

  private async closeStaging(): Promise<void> {
    const { staging } = this;
    this.staging = undefined;
    await staging?.close();
  }

  async discard(): Promise<void> {
    // A copy that is being proven is given up; one that is being installed is not any more.
    if (this.phase !== 'installing') this.phase = 'closed';
    await this.busy;
    await this.closeStaging();
    await this.host.folders.remove(incomingOf(this.host.location));
  }
}
