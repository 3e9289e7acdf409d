/**
 * Changes are written into the stores of restored groups. A range may have been anywhere meanwhile: what counts is which group has it in the archive
 * that the restore began with, since the new cluster has the groups and ranges of that.
 */
import { BackupDamagedError } from '../../backup/index.ts';
import type { HlcTimestamp } from '../../platform/index.ts';
import type { ExportedVersion, GroupStore, StoreWriter } from '../../store/index.ts';

/** A group with what it owns. */
export interface ReplayedGroup {
  readonly store: GroupStore;
  readonly spans: readonly { readonly start: Buffer; readonly end: Buffer | undefined }[];
}

interface OwnedSpan {
  readonly start: Buffer;
  readonly end: Buffer | undefined;
  readonly store: GroupStore;
}

/** @param spans sorted by start, without overlap */
function ownerOf(spans: readonly OwnedSpan[], key: Buffer): GroupStore | undefined {
  let [low, high] = [0, spans.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (Buffer.compare(spans[middle]!.start, key) <= 0) low = middle + 1;
    else high = middle;
  }
  const span = spans[low - 1];
  return span === undefined || (span.end !== undefined && Buffer.compare(span.end, key) <= 0) ? undefined : span.store;
}

/**
 * Writes versions, each once.
 * @param pages of each key in the order of timestamps
 * @returns how many were written
 * @throws BackupDamagedError when there is a key that no group had
 */
export async function replayChanges(
  groups: readonly ReplayedGroup[],
  pages: AsyncIterable<readonly ExportedVersion[]>,
): Promise<number> {
  const spans = groups
    .flatMap(({ store, spans: owned }) => owned.map(({ start, end }) => ({ start, end, store })))
    .sort((left, right) => Buffer.compare(left.start, right.start));
  let written = 0;
  for await (const page of pages) {
    const units = new Map<GroupStore, StoreWriter>();
    const newest = new Map<string, HlcTimestamp>();
    for (const { key, commitTs, expireTs, value } of page) {
      const store = ownerOf(spans, key);
      if (store === undefined) throw new BackupDamagedError('a change is of a key that no group of the backup has');
      const name = key.toString('latin1');
      // A range that was moved brings its versions twice; those of a key are complete wherever they come from.
      const known = newest.get(name) ?? store.latest(key)?.commitTs;
      if (known !== undefined && known >= commitTs) continue;
      const unit = units.get(store) ?? store.write();
      units.set(store, unit);
      if (value === undefined) unit.delete(key, commitTs);
      else unit.put(key, value, commitTs, expireTs);
      newest.set(name, commitTs);
      written += 1;
    }
    for (const [store, unit] of units) {
      unit.commit(store.appliedIndex + 1);
      await store.pressure();
    }
  }
  return written;
}
