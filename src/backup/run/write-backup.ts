/**
 * Makes a backup: leaves a mark, has the groups' copies stored, sees that everything is there, and writes the manifest. Until then there is no
 * backup, whatever happens; and whoever tries again, under the same id or another one, finds what was stored.
 */
import type { Millis, Random } from '../../platform/index.ts';
import {
  BackupDamagedError,
  type BackupFacts,
  type BackupGroup,
  type BackupManifest,
  type BackupPlace,
  objectsOf,
} from '../format/index.ts';
import { PendingMark } from './marks.ts';
import { type CopiedCluster, copyAtOneMoment, type OneMomentOptions } from './one-moment.ts';

export interface WriteBackupOptions extends OneMomentOptions {
  readonly place: BackupPlace;
  readonly id: string;
  readonly facts: Pick<BackupFacts, 'createdMs' | 'version' | 'clusterName'>;
  /** Asks for copies, each of which it has stored by `uploadCopy`. */
  readonly cluster: CopiedCluster<BackupGroup>;
  /** Of this machine. */
  readonly nowMs: () => Millis;
  readonly random: Random;
  /** Given what keeps the mark from growing old; to be called now and then meanwhile. */
  readonly onBegun?: (renew: () => Promise<void>) => void;
  readonly signal: AbortSignal;
}

const TOKEN_BYTES = 8;

/**
 * See the top of the file.
 * @throws BackupBusyError; BackupDamagedError when the store did not keep what it said it had; what the cluster and the store say
 */
export async function writeBackup(options: WriteBackupOptions): Promise<BackupManifest> {
  const { place, id, facts, cluster, nowMs, random, onBegun, signal } = options;
  const earlier = (await place.ids()).includes(id) ? await place.manifest(id) : undefined;
  // It was written, and whoever wrote it did not live to tell.
  if (earlier !== undefined) {
    await PendingMark.forget(place.store, id);
    return earlier;
  }
  const token = random.bytes(TOKEN_BYTES).toString('hex');
  const mark = await PendingMark.leave(place.store, id, token, nowMs);
  onBegun?.(() => mark.renew());
  try {
    const { at, catalogVersion, copies } = await copyAtOneMoment(cluster, options);
    signal.throwIfAborted();
    const manifest: BackupManifest = {
      id,
      ...facts,
      at,
      catalogVersion,
      dataKey: place.dataKey?.id,
      groups: copies.toSorted((left, right) => left.group - right.group),
    };
    await assertStored(place, manifest);
    await mark.assertThere();
    signal.throwIfAborted();
    await place.putManifest(manifest);
    return manifest;
  } finally {
    // One that stays behind keeps clean-ups away until it is old.
    await mark.remove().catch(() => undefined);
  }
}

/** @throws BackupDamagedError that names what is missing */
async function assertStored(place: BackupPlace, manifest: BackupManifest): Promise<void> {
  const there = await place.objects();
  const lost = [...objectsOf(manifest)].filter(([name, bytes]) => there.get(name) !== bytes).map(([name]) => name);
  if (lost.length === 0) return;
  throw new BackupDamagedError(
    `${place.store.place} lost ${lost.length} objects that it said it had, such as ${lost[0]}; no backup was made of it`,
  );
}
