/** Who wants to know what is changed where this node leads. */
import type { GroupId, HlcTimestamp } from '../../platform/index.ts';

/**
 * Hears of changes in the groups that are led here, as entries are applied: those of operations, of transactions and of the deletion of what has expired, not
 * of rows that a move brings or takes away. What is told of an entry comes before its operations complete. Calls must be quick and must not throw.
 */
export interface ChangeListener {
  /** Asked for each entry; while it is false nothing is told. */
  readonly isListening: boolean;
  /**
   * A row was written or deleted.
   * @param hasExpired what it replaces had expired before
   * @param commitTs of the write: of an operation's it is the timestamp of the view that it was evaluated over last
   */
  changed(group: GroupId, key: Buffer, hasExpired: boolean, commitTs: HlcTimestamp): void;
  /** All rows in `[start, end)` were deleted. */
  deleted(group: GroupId, start: Buffer, end: Buffer, commitTs: HlcTimestamp): void;
  /** This node leads the group from now on: of what was changed before, some may have been told by nobody. */
  began(group: GroupId): void;
}
