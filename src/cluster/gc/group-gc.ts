/**
 * The leader's side of one group in the cluster's safepoint: certifies how far the past may go, and takes the threshold there.
 * Certifying is a promise for ever: the floor that it puts into the log keeps older transactions from getting locks later.
 */

import { encodeSetGc, encodeTxnFloor, type GroupExecutor, type GroupStateMachine } from '../../kv/index.ts';
import { type GroupId, type HlcTimestamp, hlcTimestamp } from '../../platform/index.ts';
import type { GroupStore } from '../../store/index.ts';
import type { Certificate, RaiseReply } from './types.ts';

/** What this needs of a group whose leader is here. */
export interface CertifiableGroup {
  readonly groupId: GroupId;
  readonly executor: Pick<GroupExecutor, 'proposeMaintenance'> & {
    readonly reads: Pick<GroupExecutor['reads'], 'oldestUnderWay'>;
  };
  readonly stateMachine: Pick<GroupStateMachine, 'locks' | 'spanTable'>;
  readonly store: Pick<GroupStore, 'gcThreshold'>;
}

/** Nothing certain can be said now: the entry was not applied, or nobody knows. */
const LOST = 'its leader could not write its log';

/**
 * Certifies up to `candidate`, or as far as locks let it.
 * Locks that a move has taken away are their next owner's to answer for; those that a move is bringing in count here.
 */
export async function certify(group: CertifiableGroup, candidate: HlcTimestamp): Promise<Certificate> {
  const { groupId, executor, stateMachine, store } = group;
  const answer = (ts: HlcTimestamp, heldBy: string): Certificate => ({
    group: groupId,
    ts,
    heldBy,
    thresholdTs: store.gcThreshold,
  });
  let floor = candidate;
  // Also where the floor is there already: that the entry is applied shows that this node leads and knows all locks.
  const isApplied = await executor.proposeMaintenance((entryTs) => {
    // Whatever is proposed after this entry is committed above it, so nothing comes at or below the floor any more.
    if (entryTs <= floor) floor = hlcTimestamp(entryTs - 1n);
    return encodeTxnFloor(floor);
  });
  if (!isApplied) return answer(store.gcThreshold, LOST);
  // After the floor: a lock that was asked for before it is in the table now.
  const oldest = oldestLock(stateMachine, floor);
  if (oldest !== undefined) return answer(hlcTimestamp(oldest - 1n), 'a lock of a transaction that is still open');
  const reading = executor.reads.oldestUnderWay();
  if (reading !== undefined && reading <= floor) return answer(hlcTimestamp(reading - 1n), 'a read that is under way');
  return answer(floor, floor < candidate ? 'its clock is behind' : '');
}

function oldestLock(
  { locks, spanTable }: CertifiableGroup['stateMachine'],
  upTo: HlcTimestamp,
): HlcTimestamp | undefined {
  if (locks.size === 0) return undefined;
  const left = spanTable.spans.filter(({ state }) => state === 'MOVED_OUT');
  let oldest: HlcTimestamp | undefined;
  for (const { key, startTs } of locks.all()) {
    if (startTs > upTo || (oldest !== undefined && startTs >= oldest)) continue;
    const hasLeft = left.some(
      ({ start, end }) => Buffer.compare(start, key) <= 0 && (end === undefined || Buffer.compare(key, end) < 0),
    );
    if (!hasLeft) oldest = startTs;
  }
  return oldest;
}

/** Takes the group's threshold to what was published; a move that needs history keeps it where it is. */
export async function raise(group: CertifiableGroup, publishedTs: HlcTimestamp): Promise<RaiseReply> {
  const { groupId, executor, store } = group;
  if (store.gcThreshold < publishedTs) {
    const isApplied = await executor.proposeMaintenance(() => encodeSetGc(publishedTs));
    if (!isApplied) return { group: groupId, thresholdTs: store.gcThreshold, heldBy: LOST };
  }
  const { gcThreshold } = store;
  return { group: groupId, thresholdTs: gcThreshold, heldBy: gcThreshold < publishedTs ? 'a move of a range' : '' };
}
