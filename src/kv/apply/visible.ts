/** Which version of a key a read sees: one rule for what batches expect and for what transactions have read. */
import { type HlcTimestamp, NEVER } from '../../platform/index.ts';
import type { LatestVersion } from '../../store/index.ts';
import { ABSENT } from '../entry/index.ts';

/**
 * The version that a read at `ts` sees, ABSENT when there is none, it is a delete, or it has expired.
 * @param latest the newest version, which is not above `ts`
 */
export function visibleVersion(latest: LatestVersion | undefined, ts: HlcTimestamp): HlcTimestamp {
  if (latest === undefined || latest.isTombstone) return ABSENT;
  if (latest.expireTs !== NEVER && latest.expireTs <= ts) return ABSENT;
  return latest.commitTs;
}
