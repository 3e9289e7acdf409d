/** Copies of a store: those that are cut from it, each in a folder of its own, and the one that may be on its way in. */
import { type Disk, SystemDisk } from '../../platform/index.ts';
import type { GroupStoreOptions, StoreImport } from '../contract/index.ts';
import { cutsOf } from '../folders/index.ts';
import { type BatchMutex, DiskLevelFolders, type Level, type OpenLevel } from '../level/index.ts';
import { CorruptStoreError } from '../rows/index.ts';
import {
  type CopyManifest,
  type CutOptions,
  cutStore,
  DEFAULT_SEGMENT_LIMITS,
  InlineCutter,
  pooledCompression,
  type StoreCut,
} from '../segments/index.ts';
import { type ImportHost, StagedImport } from './import.ts';

/** See the top of the file. */
export class StoreCopies {
  private readonly options: GroupStoreOptions;
  private readonly openLevel: OpenLevel;
  private readonly swap: ImportHost['swap'];
  private cuts = 0;

  constructor(options: GroupStoreOptions, openLevel: OpenLevel, swap: ImportHost['swap']) {
    this.options = options;
    this.openLevel = openLevel;
    this.swap = swap;
  }

  private get disk(): Disk {
    return this.options.disk ?? new SystemDisk();
  }

  /** @param level flushed @param mutex says when the store can be read no more, and is told of damage */
  async cut(level: Level, describe: CutOptions['describe'], mutex: BatchMutex): Promise<StoreCut> {
    const { location, compression = pooledCompression, segmentLimits, cutter } = this.options;
    const { disk } = this;
    const options: CutOptions = {
      level,
      location,
      disk,
      folder: `${cutsOf(location)}/${++this.cuts}`,
      cutter: cutter ?? new InlineCutter(disk, compression),
      limits: { ...DEFAULT_SEGMENT_LIMITS, ...segmentLimits },
      describe,
    };
    try {
      return await cutStore(options, () => mutex.unusable);
    } catch (error) {
      // Found by a thread beside this one, which does not hold the mutex.
      if (error instanceof CorruptStoreError) mutex.fail(error);
      throw error;
    }
  }

  stage(manifest: CopyManifest): Promise<StoreImport> {
    const { location, folders, compression } = this.options;
    const host: ImportHost = {
      location,
      openLevel: this.openLevel,
      folders: folders ?? new DiskLevelFolders(),
      disk: this.disk,
      compression: compression ?? pooledCompression,
      swap: this.swap,
    };
    return StagedImport.create(host, manifest);
  }
}
