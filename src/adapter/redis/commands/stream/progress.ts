/**
 * How far a group has come: how many entries it has read since there is the stream, and how many are before it. Entries that were deleted from within
 * leave holes that nobody counts, so where a hole may be ahead neither is known, unless the group is at a place whose number is.
 */
import { MIN_ID, type StreamBody, type StreamGroup, type StreamId, UNKNOWN_READ } from '../../bodies/index.ts';
import { isAbove } from './ids.ts';

/** Whether an entry was deleted from an id on that others may still be in front of. */
function hasHoles(stream: StreamBody, from: StreamId): boolean {
  const { maxDeletedId } = stream;
  if (stream.length === 0 || maxDeletedId.equals(MIN_ID)) return false;
  // Behind the last hole there is nothing but entries.
  if (isAbove(stream.firstId, maxDeletedId)) return false;
  return !isAbove(from, maxDeletedId);
}

/** How many entries were ever added up to an id; `UNKNOWN_READ`. */
export function numberOf(stream: StreamBody, id: StreamId): bigint {
  const { entriesAdded, lastId, maxDeletedId } = stream;
  if (entriesAdded === 0n) return 0n;
  if (stream.length === 0 && !isAbove(id, lastId)) return entriesAdded;
  if (id.equals(lastId)) return entriesAdded;
  if (isAbove(id, lastId)) return UNKNOWN_READ;
  const { firstId } = stream;
  if (!maxDeletedId.equals(MIN_ID) && !isAbove(firstId, maxDeletedId)) return UNKNOWN_READ;
  const before = entriesAdded - BigInt(stream.length);
  if (isAbove(firstId, id)) return before;
  return id.equals(firstId) ? before + 1n : UNKNOWN_READ;
}

/** Clients may set counts to whatever 64 bits can say. */
const wrapped = (count: bigint): bigint => BigInt.asIntN(64, count);

/** Moves a group on to an entry that it was given. */
export function advance(stream: StreamBody, group: StreamGroup, id: StreamId): void {
  if (!isAbove(id, group.lastDelivered)) return;
  if (group.entriesRead !== UNKNOWN_READ && !hasHoles(stream, id)) group.entriesRead = wrapped(group.entriesRead + 1n);
  else if (stream.entriesAdded > 0n) group.entriesRead = numberOf(stream, id);
  group.lastDelivered = Buffer.from(id);
}

/** How many entries a group has still to read; undefined when it is not known. */
export function lagOf(stream: StreamBody, group: StreamGroup): bigint | undefined {
  const { entriesAdded } = stream;
  if (entriesAdded === 0n) return 0n;
  if (group.entriesRead !== UNKNOWN_READ && !hasHoles(stream, group.lastDelivered))
    return wrapped(entriesAdded - group.entriesRead);
  const read = numberOf(stream, group.lastDelivered);
  return read === UNKNOWN_READ ? undefined : wrapped(entriesAdded - read);
}
