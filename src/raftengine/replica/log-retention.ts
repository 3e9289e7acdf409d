/** Which part of a group's log may go. */
import type { LogIndex, NodeId } from '../../platform/index.ts';
import type { EngineLimits, GroupLog } from '../contract/index.ts';

/** Holds the log for snapshots that are on their way, and says where it may be cut off. */
export class LogRetention {
  /** Log positions held for snapshots on their way to peers. */
  private readonly pins = new Map<NodeId, LogIndex>();

  /** Holds the log after `index` until `unpin`. */
  pin(peer: NodeId, index: LogIndex): void {
    this.pins.set(peer, index);
  }

  unpin(peer: NodeId): void {
    this.pins.delete(peer);
  }

  /**
   * The last entry that neither a crash nor a slow follower within the retained window needs.
   * @param durableIndex up to where the state machine survives a crash, not beyond what is applied
   * @returns undefined when cutting there is not worth a record in the log
   */
  truncationPoint(log: GroupLog, limits: EngineLimits, durableIndex: LogIndex): LogIndex | undefined {
    const { retainEntries, retainBytes } = limits;
    const first = log.firstIndex();
    const last = log.lastIndex();
    const held = last - first + 1;
    if (held <= 0) return undefined;
    const heldBytes = log.sizeBytes();
    const keep =
      heldBytes <= retainBytes ? retainEntries : Math.min(retainEntries, Math.floor((held * retainBytes) / heldBytes));
    let upTo = Math.min(last - keep, durableIndex);
    for (const pinned of this.pins.values()) upTo = Math.min(upTo, pinned);
    return upTo - first + 1 > keep / 8 ? upTo : undefined;
  }
}
