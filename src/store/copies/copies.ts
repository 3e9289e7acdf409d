/** Copies of a store: those that are cut from it, each in a folder of its own, and the one that may be on its way in. */
import { type Disk, SystemDisk } from '../../platform/index.ts';
import type { GroupStoreOptions, StoreImport } from '../contract/index.ts';
import { cutsOf } from '../folders/index.ts';
import { DiskLevelFolders, type Level, type OpenLevel } from '../level/index.ts';
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

  /** @param level flushed @param isOver why the store can be read no more */
  cut(level: Level, describe: CutOptions['describe'], isOver: () => Error | undefined): Promise<StoreCut> {
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
    return cutStore(options, isOver);
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
