/**
 * Which oracle the timestamps of transactions come from, as part of each group's replicated state. An authority is changed
 * in two steps: every group is fenced, from when on it refuses what is stamped by another, and says how far timestamps have
 * come there; then the new oracle is opened above all of that. So no group ever takes new work stamped by two authorities,
 * and the new one never repeats what the old one said.
 */
import { type GroupId, groupId, type HlcTimestamp, lastBefore, type Millis } from '../../platform/index.ts';

/**
 * `local`: there is no oracle, and nothing may span groups. `bridge`: the leader of a group that holds data is asked. `tso`: that
 * of a group of its own.
 */
export type AuthorityMode = 'local' | 'bridge' | 'tso';

/** What a group knows of the authority. */
export interface Authority {
  readonly mode: AuthorityMode;
  /** Rises with every change; what transactions are stamped under. */
  readonly epoch: number;
  /** The group whose leader grants timestamps; of no meaning in mode `local`. */
  readonly oracle: GroupId;
  /** At the oracle itself: true when it is above what every group had come to, and may grant. */
  readonly isOpen: boolean;
}

/** What holds in every group until it is changed: the first group is the bridge. It needs no opening: nobody was before it. */
export const FIRST_AUTHORITY: Authority = { mode: 'bridge', epoch: 0, oracle: groupId(1), isOpen: true };

/** A step of a change, as every group applies it. */
export type FenceCommand =
  | { readonly kind: 'fence'; readonly mode: AuthorityMode; readonly epoch: number; readonly oracle: GroupId }
  /** `floor`: at or above every timestamp that any group had come to when it was fenced. */
  | { readonly kind: 'open'; readonly epoch: number; readonly floor: HlcTimestamp };

/** What a group answers: the authority that holds there now, and how far its timestamps have come. */
export interface FenceReply {
  /** False: another authority holds there, a newer one or one that this command does not belong to. */
  readonly isDone: boolean;
  readonly authority: Authority;
  readonly maxTs: HlcTimestamp;
  readonly ceilingMs: Millis;
}

/** The authority after a command; undefined when the command is refused. */
export function applyFence(authority: Authority, command: FenceCommand): Authority | undefined {
  if (command.kind === 'open') {
    if (command.epoch !== authority.epoch) return undefined;
    return authority.isOpen ? authority : { ...authority, isOpen: true };
  }
  const { mode, epoch, oracle } = command;
  if (epoch > authority.epoch) return { mode, epoch, oracle, isOpen: false };
  const isRepeated = epoch === authority.epoch && mode === authority.mode && oracle === authority.oracle;
  return isRepeated ? authority : undefined;
}

/** The smallest timestamp at or above everything that a group issued or applied before it answered so. */
export function reachedTs({ maxTs, ceilingMs }: Pick<FenceReply, 'maxTs' | 'ceilingMs'>): HlcTimestamp {
  const endTs = lastBefore(ceilingMs);
  return maxTs > endTs ? maxTs : endTs;
}
