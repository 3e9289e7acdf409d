/** How the archive of changes stands: for operators, for metrics, and for whoever collects the past. */
import { type ClusterState, isFeatureActive } from '../../distribution/index.ts';
import { type HlcTimestamp, type Millis, physicalMs } from '../../platform/index.ts';
import type { ArchiveView } from '../contract/index.ts';
import { type ArchiveNotes, decodeArchiveNotes, endOf } from './archive-notes.ts';
import { ARCHIVE_UNIT } from './archive-work.ts';
import { archiveSettingsOf } from './settings.ts';

/** Every node can store its changes. */
export const ARCHIVE_FEATURE = 'backups.archive';

/** What keeps the past. */
export interface ArchiveHold {
  /** What was committed above it is needed. */
  readonly ts: HlcTimestamp;
  readonly who: string;
  readonly why: string;
}

const notesOf = ({ work }: Pick<ClusterState, 'work'>): ArchiveNotes =>
  decodeArchiveNotes(work.find(({ name }) => name === ARCHIVE_UNIT)?.progress);

/**
 * What the next step of the archive needs of the past; undefined when there is no archive, or it did not get on for so long that the past is not
 * kept for it any more.
 */
export function archiveHold(
  state: Pick<ClusterState, 'settings' | 'features' | 'work'>,
  nowMs: Millis,
): ArchiveHold | undefined {
  const wanted = archiveSettingsOf(state);
  const { chain } = notesOf(state);
  if (wanted === undefined || !isFeatureActive(state, ARCHIVE_FEATURE)) return undefined;
  if (chain === undefined || chain.place !== wanted.place) return undefined;
  const ts = endOf(chain);
  if (nowMs - physicalMs(ts) > wanted.holdMs) return undefined;
  return { ts, who: 'archive', why: 'changes that are not stored yet; see raftadmin backup archive status' };
}

/** As operators see it. */
export function archiveViewOf(state: Pick<ClusterState, 'settings' | 'features' | 'work'>, nowMs: Millis): ArchiveView {
  const wanted = archiveSettingsOf(state);
  const { chain, broken, failures, problem } = notesOf(state);
  const row = state.work.find(({ name }) => name === ARCHIVE_UNIT);
  const isHeld = row?.holder !== undefined && row.leaseUntilMs > nowMs;
  const msOf = (ts: string | undefined): Millis => (ts === undefined ? 0 : physicalMs(endOf({ to: ts })));
  return {
    isOn: wanted !== undefined && isFeatureActive(state, ARCHIVE_FEATURE),
    everyMs: wanted?.everyMs ?? 0,
    holdMs: wanted?.holdMs ?? 0,
    place: chain?.place ?? wanted?.place ?? '',
    ...(isHeld ? { node: row.holder } : {}),
    chain: chain?.id ?? '',
    steps: chain?.seq ?? 0,
    versions: chain?.versions ?? 0,
    fromMs: msOf(chain?.from),
    sinceMs: msOf(chain?.since),
    untilMs: msOf(chain?.to),
    failures,
    problem,
    ...(broken && { broken: { atMs: broken.atMs, untilMs: msOf(broken.to), why: broken.why } }),
  };
}
