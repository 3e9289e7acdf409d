/**
 * Gives the space of removed rows back. LevelDB does it by itself where new rows are written; a range that is only ever deleted keeps
 * its files. Rewriting files takes the disk's time, so the replicas of a group take turns: the unit of work of a group is leased
 * by one node at a time, which compacts its own replica, and a node that dies in between keeps the others waiting for no longer
 * than its lease.
 */
import type { Clock, GroupId, Millis } from '../../platform/index.ts';
import type { GroupStore } from '../../store/index.ts';
import type { WorkUnit } from '../work/index.ts';

/** When a store is worth it. */
export interface CompactionLimits {
  /** Removed since the files were compacted: at least so much, */
  readonly removedBytes: number;
  /** and at least this share of the files, all of which are written anew. */
  readonly removedShare: number;
  /** Between two compactions of one group, over all its replicas: the disk is to have some rest. */
  readonly restMs: Millis;
}

export const DEFAULT_COMPACTION_LIMITS: CompactionLimits = {
  removedBytes: 4 << 20,
  removedShare: 1 / 4,
  restMs: 10_000,
};

const NOTES_BYTES = 8;

/** When a replica of the group was compacted last, unix milliseconds; 0 for never. */
export const decodeCompactionNotes = (notes: Buffer | undefined): Millis =>
  notes?.length === NOTES_BYTES ? Number(notes.readBigUInt64BE()) : 0;

/** Notes as they are stored with the lease. */
export function encodeCompactionNotes(atMs: Millis): Buffer {
  const notes = Buffer.alloc(NOTES_BYTES);
  notes.writeBigUInt64BE(BigInt(Math.max(0, Math.floor(atMs))));
  return notes;
}

/** The unit of work of one group, for this node's replica of it. */
export function compactionWork(
  group: GroupId,
  store: Pick<GroupStore, 'pressures' | 'diskBytes' | 'compact'>,
  clock: Clock,
  limits: CompactionLimits = DEFAULT_COMPACTION_LIMITS,
): WorkUnit {
  return {
    name: `compact/${group}`,
    isDue: (notes) => {
      const pressures = store.pressures?.();
      if (pressures === undefined || pressures.isOutOfSpace || pressures.removedBytes < limits.removedBytes)
        return false;
      if (pressures.removedBytes < limits.removedShare * (store.diskBytes?.() ?? 0)) return false;
      // A wall clock that was set back must not stop it for long.
      return Math.abs(clock.nowMs() - decodeCompactionNotes(notes)) >= limits.restMs;
    },
    async run() {
      await store.compact?.();
      return encodeCompactionNotes(clock.nowMs());
    },
  };
}
