/** What operators are shown of backups: the shapes of `BackupsView` and what belongs to it in `proto/kvorum.proto`. */
import type { Millis, NodeId } from '../../platform/index.ts';

/** A backup that is being made. */
export interface RunningBackupView {
  readonly id: string;
  readonly place: string;
  /** Absent while nobody is at it. */
  readonly node?: NodeId;
  readonly begunMs: Millis;
  /** From 1. */
  readonly attempt: number;
  readonly groups: number;
  readonly groupsDone: number;
  /** As they are stored, of the groups that were begun. */
  readonly bytes: number;
  readonly doneBytes: number;
  readonly newBytes: number;
  /** Why the last attempt ended; empty for none. */
  readonly problem: string;
}

/** A backup that was made. */
export interface MadeBackupView {
  readonly id: string;
  readonly place: string;
  readonly begunMs: Millis;
  readonly doneMs: Millis;
  readonly groups: number;
  readonly bytes: number;
  readonly newBytes: number;
}

/** A backup that was given up. */
export interface FailedBackupView {
  readonly id: string;
  readonly place: string;
  readonly atMs: Millis;
  readonly problem: string;
}

/** The last clean-up behind a backup. */
export interface BackupCleanUpView {
  readonly atMs: Millis;
  /** Backups that nobody wanted to keep any more. */
  readonly removed: number;
  readonly objects: number;
  readonly bytes: number;
  /** Why it did not come to its end; empty when it did. */
  readonly problem: string;
}

/** How the cluster stands with its backups. */
export interface BackupsView {
  /** Every node can take part, and does. */
  readonly isActive: boolean;
  readonly running?: RunningBackupView;
  readonly last?: MadeBackupView;
  readonly failed?: FailedBackupView;
  readonly cleaned?: BackupCleanUpView;
  /** Where scheduled backups go; empty for none. */
  readonly place: string;
  /** 0: none are scheduled. */
  readonly everyMs: Millis;
  readonly keepCount: number;
  readonly keepMs: Millis;
  readonly bytesPerSecond: number;
  /** When the next one is due; 0 for never. */
  readonly nextMs: Millis;
}
