/**
 * The manifest of a backup: what it is of, and the name of every object that it needs. A line of JSON with a line that proves it, as manifests
 * of copies are. Names say nothing of contents where backups are encrypted, so the manifest itself is plain: whoever lists, deletes or cleans
 * up needs no key. With a key it carries a proof that only who has the key could write.
 */
import { type GroupId, groupId, type HlcTimestamp, hlcTimestamp, type Millis } from '../../platform/index.ts';
import type { Json } from '../../store/index.ts';
import type { DataKey } from './data-key.ts';
import { BackupDamagedError } from './errors.ts';
import { checkRecord, FORMAT, openRecord, sealRecord } from './record.ts';

/** An object of a backup. */
export interface BackupObject {
  /** Without its folder. */
  readonly name: string;
  /** As it is stored. */
  readonly bytes: number;
}

/** The copy of one group. */
export interface BackupGroup {
  readonly group: GroupId;
  readonly index: number;
  readonly rows: number;
  /** Of its segments, before encryption. */
  readonly bytes: number;
  /** What had to be written for it; the rest was there. */
  readonly newBytes: number;
  /** The manifest of the copy, and its hash. */
  readonly copy: BackupObject;
  readonly copySha256: string;
  /** In the order of the copy's manifest. */
  readonly segments: readonly BackupObject[];
}

/** What a backup is of. */
export interface BackupFacts {
  /** Sorts by time: `20260102T030405Z-1f3a`. */
  readonly id: string;
  readonly createdMs: Millis;
  /** Of the program that wrote it. */
  readonly version: string;
  readonly clusterName: string;
  /** The moment that all groups are of. */
  readonly at: HlcTimestamp;
  /** Of the catalog, the same before the first and after the last group was copied. */
  readonly catalogVersion: number;
}

/** See the top of the file. */
export interface BackupManifest extends BackupFacts {
  /** Id of the place's key; undefined: nothing is encrypted. */
  readonly dataKey: string | undefined;
  /** By id. */
  readonly groups: readonly BackupGroup[];
}

const ID = /^\d{8}T\d{6}Z-[0-9a-f]{4,16}$/;

/** Whether something may be the id of a backup. */
export const isBackupId = (text: string): boolean => ID.test(text);

/** An id that sorts by time. @param chance tells backups of one second apart */
export const backupIdOf = (createdMs: Millis, chance: Buffer): string =>
  `${new Date(createdMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z-${chance.toString('hex')}`;

const objectRow = ({ name, bytes }: BackupObject): Json => ({ name, bytes });

function rowOf(manifest: BackupManifest): { [name: string]: Json } {
  const { id, createdMs, version, clusterName, at, catalogVersion, dataKey, groups } = manifest;
  return {
    format: FORMAT,
    id,
    createdMs,
    version,
    clusterName,
    at: at.toString(),
    catalogVersion,
    dataKey: dataKey ?? null,
    groups: groups.map(({ group, index, rows, bytes, newBytes, copy, copySha256, segments }) => ({
      group,
      index,
      rows,
      bytes,
      newBytes,
      copy: objectRow(copy),
      copySha256,
      segments: segments.map(objectRow),
    })),
  };
}

/** The bytes of a manifest, the same for the same backup. @param key the manifest's own */
export function encodeBackup(manifest: BackupManifest, key: DataKey | undefined): Buffer {
  const row = rowOf(manifest);
  return sealRecord(row, key);
}

export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
export const isHash = (value: unknown): value is string => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
/** A timestamp in decimal. */
export const isTimestampText = (value: unknown): value is string =>
  typeof value === 'string' && /^\d{1,20}$/.test(value);

function isObject(value: unknown): value is BackupObject {
  const entry = value as Partial<BackupObject> | null;
  return typeof entry === 'object' && entry !== null && isHash(entry.name) && isCount(entry.bytes);
}

function isGroup(value: unknown): value is BackupGroup {
  const entry = value as Partial<BackupGroup> | null;
  return (
    typeof entry === 'object' &&
    entry !== null &&
    isCount(entry.group) &&
    entry.group > 0 &&
    isCount(entry.index) &&
    isCount(entry.rows) &&
    isCount(entry.bytes) &&
    isCount(entry.newBytes) &&
    isObject(entry.copy) &&
    isHash(entry.copySha256) &&
    Array.isArray(entry.segments) &&
    entry.segments.every(isObject)
  );
}

/**
 * Reads a manifest. What it names is believed only after `checkProof`, where there is a key.
 * @throws BackupDamagedError when it is damaged; BackupError when it is of another format
 */
export function decodeBackup(bytes: Buffer, what: string): BackupManifest & { readonly proof: string | undefined } {
  const value = openRecord(bytes, what);
  const { id, createdMs, version, clusterName, at, catalogVersion, dataKey, groups, proof } = value;
  const isWhole =
    typeof id === 'string' &&
    isBackupId(id) &&
    isCount(createdMs) &&
    typeof version === 'string' &&
    typeof clusterName === 'string' &&
    isTimestampText(at) &&
    isCount(catalogVersion) &&
    (dataKey === null || typeof dataKey === 'string') &&
    (proof === undefined || isHash(proof)) &&
    Array.isArray(groups) &&
    groups.every(isGroup);
  if (!isWhole) throw new BackupDamagedError(`${what} lacks what a manifest has`);
  return {
    id,
    createdMs,
    version,
    clusterName,
    at: hlcTimestamp(BigInt(at)),
    catalogVersion,
    dataKey: dataKey ?? undefined,
    groups: groups.map((group) => ({ ...group, group: groupId(group.group) })),
    proof: proof as string | undefined,
  };
}

/** @throws BackupKeyError without the manifest's key; BackupDamagedError when its proof is wrong */
export function checkProof(
  { proof, ...manifest }: ReturnType<typeof decodeBackup>,
  key: DataKey | undefined,
  what: string,
): void {
  checkRecord(rowOf(manifest), { dataKey: manifest.dataKey, proof }, key, what);
}

/** Every object that a backup needs; one that several groups share comes once. */
export function objectsOf({ groups }: Pick<BackupManifest, 'groups'>): Map<string, number> {
  const named = new Map<string, number>();
  for (const { copy, segments } of groups) for (const { name, bytes } of [copy, ...segments]) named.set(name, bytes);
  return named;
}
