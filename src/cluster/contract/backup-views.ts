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

/** An archive of changes that broke off. */
export interface BrokenArchiveView {
  readonly atMs: Millis;
  /** The last moment that it leads to. */
  readonly untilMs: Millis;
  readonly why: string;
}

/** How the cluster stands with its archive of changes. Moments are by the time of the groups; 0 for none. */
export interface ArchiveView {
  readonly isOn: boolean;
  /** Between steps; 0 while it is off. */
  readonly everyMs: Millis;
  /** So long the past is kept for it when it does not get on. */
  readonly holdMs: Millis;
  readonly place: string;
  /** Who writes it now; absent while nobody does. */
  readonly node?: NodeId;
  /** Empty before it has begun. */
  readonly chain: string;
  readonly steps: number;
  readonly versions: number;
  /** Where the chain begins. */
  readonly fromMs: Millis;
  /** Moments that can be restored: from the oldest backup that the chain leads on from, to the end of its last step. */
  readonly sinceMs: Millis;
  readonly untilMs: Millis;
  /** Attempts that failed since the last step, and what the last one ended with. */
  readonly failures: number;
  readonly problem: string;
  readonly broken?: BrokenArchiveView;
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
  readonly archive: ArchiveView;
}
