/** What is written of the version that was a key's newest, when that is overwritten. */
import { type HlcTimestamp, NEVER } from '../../platform/index.ts';
import type { RangeTombstones } from '../rows/index.ts';
import { KeptVersion } from './kept-version.ts';

const EMPTY = Buffer.alloc(0);

/**
 * What has to be written as a V row for it. One that is hidden by a range delete which the running collection will forget turns into a tombstone: it
 * must not come back.
 * @param forgettingUpTo the range deletes up to here are about to be forgotten
 * @returns undefined when it has its V row already
 */
export function movedBase(
  key: Buffer,
  base: KeptVersion,
  ranges: RangeTombstones,
  forgettingUpTo: HlcTimestamp,
): KeptVersion | undefined {
  if (!ranges.isEmpty) {
    const { commitTs } = base;
    const isHidden = ranges.covering(key, forgettingUpTo) >= commitTs;
    if (isHidden) return KeptVersion.written({ commitTs, expireTs: NEVER, isTombstone: true, value: EMPTY }, false);
  }
  return base.isValueApart ? undefined : base;
}
