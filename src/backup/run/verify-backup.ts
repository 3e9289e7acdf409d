/** Reads every object of a backup, opens it and holds it against its hash. */
import { createHash } from 'node:crypto';
import { type ByteRateLimit, KvorumError } from '../../platform/index.ts';
import { type CopyManifest, CorruptSnapshotError, decodeManifest } from '../../store/index.ts';
import { BackupDamagedError, type BackupGroup, type BackupManifest, type BackupPlace } from '../format/index.ts';
import { ObjectMissingError } from '../objects/index.ts';

/** What a look at everything in a backup found. */
export interface BackupCheck {
  readonly objects: number;
  readonly rows: number;
  readonly bytes: number;
  /** Each names an object; empty when all is sound. */
  readonly problems: readonly string[];
}

export interface VerifyBackupOptions {
  readonly place: BackupPlace;
  readonly backup: BackupManifest;
  readonly limit?: ByteRateLimit;
  /** Told of bytes that were read. */
  readonly onBytes?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** The manifest of a group's copy. @throws BackupDamagedError, ObjectMissingError */
export async function readCopy(
  place: BackupPlace,
  { dataKey }: Pick<BackupManifest, 'dataKey'>,
  { group, copy, copySha256, segments }: BackupGroup,
): Promise<CopyManifest> {
  const what = `the manifest of group ${group} (object ${copy.name})`;
  const manifest = decodeManifest(await place.getContent(copy.name, copySha256, dataKey), what);
  if (manifest.segments.length !== segments.length) {
    throw new BackupDamagedError(
      `${what} has ${manifest.segments.length} segments, the backup names ${segments.length}`,
    );
  }
  return manifest;
}

/** What an error says of the backup itself. @throws any other error */
function problemOf(error: unknown, name: string): string {
  const isOfBackup =
    error instanceof BackupDamagedError || error instanceof CorruptSnapshotError || error instanceof ObjectMissingError;
  if (!isOfBackup || !(error instanceof KvorumError)) throw error;
  return error.message.includes(name) ? error.message : `object ${name}: ${error.message}`;
}

/** See the top of the file. @throws BackupKeyError; errors of the store */
export async function verifyBackup({
  place,
  backup,
  limit,
  onBytes,
  signal,
}: VerifyBackupOptions): Promise<BackupCheck> {
  const problems: string[] = [];
  const total = backup.groups.reduce((sum, { bytes }) => sum + bytes, 0);
  const checked = new Set<string>();
  let [rows, bytes] = [0, 0];
  for (const group of backup.groups) {
    let manifest: CopyManifest;
    try {
      manifest = await readCopy(place, backup, group);
    } catch (error) {
      problems.push(problemOf(error, group.copy.name));
      continue;
    }
    checked.add(group.copy.name);
    rows += manifest.rows;
    for (const [at, segment] of manifest.segments.entries()) {
      const { name } = group.segments[at]!;
      try {
        if (!checked.has(name)) {
          const hash = createHash('sha256');
          for await (const piece of place.readContent(name, backup.dataKey, signal)) {
            await limit?.take(piece.length);
            hash.update(piece);
            onBytes?.(bytes, total);
          }
          if (hash.digest('hex') !== segment.sha256) {
            throw new BackupDamagedError(`object ${name} is damaged: it does not match its hash`);
          }
          checked.add(name);
        }
      } catch (error) {
        problems.push(problemOf(error, name));
      }
      bytes += segment.bytes;
    }
  }
  onBytes?.(total, total);
  return { objects: checked.size, rows, bytes, problems };
}
