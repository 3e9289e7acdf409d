/**
 * Takes backups away, and what no backup names any more. Nothing is deleted unless every manifest at the place was read: an object goes when it
 * is in none of them, while no backup is being made and none begins. Behind it goes what no restore of a moment needs of the archive of changes.
 */
import type { Millis, Random } from '../../platform/index.ts';
import { type BackupManifest, type BackupPlace, objectsOf } from '../format/index.ts';
import { cleanUpChanges } from './clean-up-changes.ts';
import { whileCleaning } from './marks.ts';

/** How many backups are kept, and for how long. */
export interface Retention {
  /** The newest ones, at least 1. */
  readonly keepCount: number;
  /** All that are younger; 0 for none. */
  readonly keepMs: Millis;
}

/** What a clean-up did. */
export interface CleanUp {
  /** Ids of backups that were taken away. */
  readonly removed: readonly string[];
  /** Steps of the archive of changes that lead on from no backup any more. */
  readonly steps: number;
  /** Objects that nothing named, and their bytes. */
  readonly objects: number;
  readonly bytes: number;
}

export interface CleanUpOptions {
  readonly place: BackupPlace;
  /** Which backups go; given all of them, oldest first. */
  readonly choose: (backups: readonly BackupManifest[]) => readonly string[];
  readonly nowMs: () => Millis;
  readonly random: Random;
  readonly onObject?: (done: number, total: number) => void;
}

const TOKEN_BYTES = 8;
/** Between looks whether it is still this one that cleans up. */
const LOOK_OBJECTS = 256;

/** Backups that nobody wants to keep any more. @param backups oldest first */
export function expiredBackups(
  backups: readonly Pick<BackupManifest, 'id' | 'createdMs'>[],
  { keepCount, keepMs }: Retention,
  nowMs: Millis,
): string[] {
  const older = backups.slice(0, Math.max(0, backups.length - Math.max(1, keepCount)));
  return older.filter(({ createdMs }) => nowMs - createdMs >= keepMs).map(({ id }) => id);
}

/**
 * See the top of the file.
 * @throws BackupBusyError while a backup is being made; BackupDamagedError when a manifest cannot be read: nothing was deleted then
 */
export async function cleanUp({ place, choose, nowMs, random, onObject }: CleanUpOptions): Promise<CleanUp> {
  const token = random.bytes(TOKEN_BYTES).toString('hex');
  return whileCleaning(place.store, token, nowMs, async (assertOwn) => {
    const backups: BackupManifest[] = [];
    for (const id of await place.ids()) backups.push(await place.manifest(id));
    const removed = new Set(choose(backups));
    for (const id of removed) await place.removeManifest(id);
    const named = new Set<string>();
    for (const backup of backups) {
      if (!removed.has(backup.id)) for (const name of objectsOf(backup).keys()) named.add(name);
    }
    const unnamed = [...(await place.objects())].filter(([name]) => !named.has(name));
    let bytes = 0;
    for (const [at, [name, size]] of unnamed.entries()) {
      if (at % LOOK_OBJECTS === 0) await assertOwn();
      onObject?.(at, unnamed.length);
      await place.removeObject(name);
      bytes += size;
    }
    const kept = backups.filter(({ id }) => !removed.has(id));
    const changes = await cleanUpChanges(place, kept, assertOwn);
    return {
      removed: [...removed],
      steps: changes.steps,
      objects: unnamed.length + changes.objects,
      bytes: bytes + changes.bytes,
    };
  });
}
