/** Opens the store of a group, after whatever happened to its folders. */
import { type Millis, SystemDisk, SystemScheduler, sleep } from '../../platform/index.ts';
import type { GroupStore, GroupStoreOptions } from '../contract/index.ts';
import { forgetPredecessor, putBack, recoverFolders } from '../folders/index.ts';
import { BatchMutex, CheckedLevel, DiskLevelFolders, type OpenLevel, openClassicLevel } from '../level/index.ts';
import { loadStore } from '../load/index.ts';
import { CorruptStoreError, openFailure } from '../rows/index.ts';
import { MvccGroupStore } from './group-store.ts';

/** After each MiB that is proved behind the opening: some 20 MiB a second, and a fiftieth of a core. */
const PROVE_PAUSE_MS: Millis = 50;

/**
 * @param onFailure see `GroupStoreOptions`
 * @param isCopy a copy was swapped in: it has applied something
 */
async function openStoreAt(
  options: GroupStoreOptions,
  onFailure: GroupStoreOptions['onFailure'],
  isCopy = false,
): Promise<GroupStore> {
  const { location } = options;
  const openInside = options.openLevel ?? openClassicLevel;
  const mutex = new BatchMutex(location, onFailure);
  const openLevel: OpenLevel = (folder) =>
    new CheckedLevel(openInside(folder), folder, (error) => {
      // A copy on its way in does the live store no harm.
      if (folder === location) mutex.fail(error);
    });
  const level = openLevel(location);
  try {
    await level.open();
  } catch (error) {
    throw openFailure(location, error);
  }
  try {
    const loaded = await loadStore(level, location);
    // LevelDB makes an empty database of a folder that has lost its files.
    if (isCopy && loaded.state.appliedIndex === 0) throw new CorruptStoreError(location, 'holds nothing of its copy');
    const scheduler = options.scheduler ?? new SystemScheduler();
    // Of damage the mutex is told, which everything else asks.
    level.proveTrusted?.(() => sleep(scheduler, PROVE_PAUSE_MS)).catch(() => undefined);
    return new MvccGroupStore(options, mutex, openLevel, level, loaded);
  } catch (error) {
    await level.close();
    throw error;
  }
}

/**
 * Opens the store of a group, finishing or undoing a swap that a crash interrupted.
 * @throws UnknownStoreFormatError, CorruptStoreError, StoreUnavailableError
 */
export async function openGroupStore(options: GroupStoreOptions): Promise<GroupStore> {
  const { location, onFailure, onPutBack } = options;
  const folders = options.folders ?? new DiskLevelFolders();
  if (!(await recoverFolders(location, folders, options.disk ?? new SystemDisk()))) {
    return openStoreAt(options, onFailure);
  }
  // Until the copy that was swapped in has been read, its predecessor may be needed again.
  let isJudged = false;
  let store: GroupStore;
  try {
    store = await openStoreAt(options, (error) => isJudged && onFailure?.(error), true);
    isJudged = true;
  } catch (error) {
    if (!(error instanceof CorruptStoreError)) throw error;
    await putBack(location, folders);
    onPutBack?.(error);
    return openStoreAt(options, onFailure);
  }
  // Should that fail, the next swap and the next opening try again.
  await forgetPredecessor(location, folders).catch(() => {});
  return store;
}
