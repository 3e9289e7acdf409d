/**
 * What is written down of a backup and of a step of changes: a line of JSON with a line that proves it, and with a key a proof that only who has
 * the key could write.
 */
import { CorruptSnapshotError, type Json, openJson, sealJson } from '../../store/index.ts';
import type { DataKey } from './data-key.ts';
import { BackupDamagedError, BackupError, BackupKeyError } from './errors.ts';

/** Of manifests and steps. */
export const FORMAT = 1;

/** The bytes of a record, the same for the same row. @param key its own */
export const sealRecord = (row: { readonly [name: string]: Json }, key: DataKey | undefined): Buffer =>
  sealJson(key === undefined ? row : { ...row, proof: key.proofOf(JSON.stringify(row)) });

/** What a line of JSON with its proof says. @throws BackupDamagedError; BackupError when it is of another format */
export function openRecord(bytes: Buffer, what: string): Readonly<Record<string, unknown>> {
  let value: Readonly<Record<string, unknown>>;
  try {
    value = openJson(bytes, what) as Readonly<Record<string, unknown>>;
  } catch (error) {
    if (!(error instanceof CorruptSnapshotError)) throw error;
    throw new BackupDamagedError(error.message, { cause: error });
  }
  if (value.format === FORMAT) return value;
  throw new BackupError(`${what} has format ${String(value.format)}, this version reads format ${FORMAT}`);
}

/**
 * Checks that whoever wrote a record had its key; one without a key proves nothing.
 * @throws BackupKeyError without the record's key; BackupDamagedError when its proof is wrong
 */
export function checkRecord(
  row: { readonly [name: string]: Json },
  { dataKey, proof }: { readonly dataKey: string | undefined; readonly proof: string | undefined },
  key: DataKey | undefined,
  what: string,
): void {
  if (dataKey === undefined) return;
  if (key === undefined || key.id !== dataKey) {
    throw new BackupKeyError(`${what} is encrypted under data key ${dataKey}; name the key that wraps it`);
  }
  if (!key.proves(JSON.stringify(row), proof ?? '')) {
    throw new BackupDamagedError(`${what} is damaged: its proof is not that of data key ${key.id}`);
  }
}
