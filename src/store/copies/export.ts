/** Reads a whole store: as a digest of what can be seen. */
import { createHash } from 'node:crypto';
import type { HlcTimestamp } from '../../platform/index.ts';
import { BodyReach } from '../bodies/index.ts';
import type { BodyRules } from '../contract/index.ts';
import { KeyWalk, type Level, rowsOfKind, type WalkedVersion } from '../level/index.ts';
import { loadStore } from '../load/index.ts';
import { encodeSystemState, encodeVersion, type RangeTombstones, RowKind, type SystemState } from '../rows/index.ts';

const EMPTY = Buffer.alloc(0);

/**
 * sha-256 over the state row, named values, range deletes above the threshold and every version that a read at or above
 * the threshold can depend on. Physical differences (what was collected when) do not show.
 * @param level a flushed store that nobody writes to meanwhile
 * @param bodies see `GroupStoreOptions`
 */
export async function digestStore(level: Level, location: string, bodies: BodyRules | undefined): Promise<string> {
  const hash = createHash('sha256');
  const addPart = (part: Buffer): void => {
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32BE(part.length, 0);
    hash.update(length).update(part);
  };
  const { state, ranges } = await loadStore(level, location);
  addPart(encodeSystemState({ ...state, counters: nonZero(state.counters) }));
  for await (const [key, value] of rowsOfKind(level, RowKind.Meta)) {
    addPart(key);
    addPart(value);
  }
  for (const kind of [RowKind.Side, RowKind.ResidentSide]) {
    for await (const [key, value] of rowsOfKind(level, kind)) {
      addPart(key);
      addPart(value);
    }
  }
  for await (const [key, value] of rowsOfKind(level, RowKind.Range)) {
    if (key.readBigUInt64BE(1) <= state.gcThreshold) continue;
    addPart(key);
    addPart(value);
  }
  const snapshot = level.snapshot();
  const walk = new KeyWalk(level, snapshot, EMPTY, location);
  const reach = new BodyReach(bodies, state.gcThreshold, () => ranges);
  try {
    while (await walk.nextKey()) {
      const body = reach.bodyOf(walk.key);
      const isLost = body !== undefined && (await reach.isLost(walk.key, body, { level, snapshot, location }));
      for (const version of await seenVersions(walk, ranges, state.gcThreshold, isLost)) {
        addPart(walk.escaped);
        addPart(encodeVersion(version.commitTs, version.expireTs, version.isTombstone, version.value));
      }
    }
  } finally {
    await walk.close();
    await snapshot.close();
  }
  return hash.digest('hex');
}

const nonZero = (counters: SystemState['counters']): ReadonlyMap<number, number> =>
  new Map([...counters].filter(([, count]) => count !== 0));

/**
 * Versions of the key under the walk that matter at or above the threshold, new to old.
 * @param isLost only those above it do
 */
async function seenVersions(
  walk: KeyWalk,
  ranges: RangeTombstones,
  threshold: HlcTimestamp,
  isLost: boolean,
): Promise<WalkedVersion[]> {
  const coveredTs = ranges.isEmpty ? 0n : ranges.covering(walk.key, threshold);
  const seen: WalkedVersion[] = [];
  let isBoundaryPassed = false;
  const consider = (version: WalkedVersion, isNewest: boolean): void => {
    if (isBoundaryPassed) return;
    if (version.commitTs > threshold) {
      seen.push(version);
      return;
    }
    isBoundaryPassed = true;
    if (isLost || version.isTombstone || version.commitTs <= coveredTs) return;
    // An expired newest version stays until it is purged, an older one may have been collected.
    if (isNewest || version.expireTs === 0n || version.expireTs > threshold) seen.push(version);
  };
  const { newest } = walk;
  if (newest !== undefined && !newest.isValueApart) consider(newest, true);
  for (;;) {
    const version = await walk.nextVersion();
    if (version === undefined) return seen;
    consider(version, newest?.isValueApart === true && version.commitTs === newest.commitTs);
  }
}
