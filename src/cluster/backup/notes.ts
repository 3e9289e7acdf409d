/** What the cluster remembers of its backups: the notes of the unit of work, as JSON, since they are small, rare and for people too. */

import { MAX_WORK_PROGRESS_BYTES } from '../../distribution/index.ts';
import { assert, type Millis } from '../../platform/index.ts';
import type { BackupCleanUpView, FailedBackupView, MadeBackupView, RunningBackupView } from '../contract/index.ts';

/** A backup that was begun; whoever takes the unit goes on with it. */
export interface BegunBackup extends Omit<RunningBackupView, 'node'> {
  /** Nothing is tried before. */
  readonly retryAtMs: Millis;
}

export interface BackupNotes {
  readonly running?: BegunBackup;
  readonly last?: MadeBackupView;
  readonly failed?: FailedBackupView;
  readonly cleaned?: BackupCleanUpView;
}

const FORMAT = 1;
/** A longer one is cut; three of them and as many places fit into the notes. */
const MAX_PROBLEM = 300;

const short = <Noted extends { readonly problem: string }>(noted: Noted | undefined): Noted | undefined =>
  noted && { ...noted, problem: noted.problem.slice(0, MAX_PROBLEM) };

/** The notes as they are stored with the unit of work. */
export function encodeBackupNotes({ running, last, failed, cleaned }: BackupNotes): Buffer {
  const shortened = { running: short(running), last, failed: short(failed), cleaned: short(cleaned) };
  const bytes = Buffer.from(JSON.stringify({ format: FORMAT, ...shortened }));
  assert(bytes.length <= MAX_WORK_PROGRESS_BYTES, 'the notes fit into their row');
  return bytes;
}

/** Notes of an unknown form, and none, mean that nothing is known. */
export function decodeBackupNotes(bytes: Buffer | undefined): BackupNotes {
  if (bytes === undefined || bytes.length === 0) return {};
  try {
    const value = JSON.parse(bytes.toString()) as (BackupNotes & { readonly format?: unknown }) | null;
    const { format, ...notes } = value ?? {};
    return format === FORMAT ? notes : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}
