/**
 * Which frames are at the disk, and whether another one may join them. They are written side by side and become stable in any
 * order; a crash may leave any of them out, and recovery ends the log at the first that is missing. So a frame counts as stable
 * only with all before it.
 */
import type { GroupId } from '../../platform/index.ts';

/**
 * Frames at the disk at a time. Each holds a thread of Node's pool, which has four, and the flush of a store needs one as well; three
 * groups that share a log need no more.
 */
export const MAX_FRAMES_UNDER_WAY = 3;

/** What is to be known of a frame. */
export interface OrderedFrame {
  /** Groups that it has something of. */
  readonly groups: ReadonlySet<GroupId>;
  /** It says what is stable, so others may be under way beside it. */
  readonly isMarked: boolean;
  /** It is the first of its segment: all before it are stable, and none is begun behind it before it is. */
  readonly isFirst: boolean;
}

interface Place<Frame> {
  readonly frame: Frame;
  /** Number below `MAX_FRAMES_UNDER_WAY` that no other one has meanwhile. */
  readonly lane: number;
  isWritten: boolean;
}

/** See the top of the file. */
export class FramesUnderWay<Frame extends OrderedFrame> {
  /** Oldest first. */
  private places: Place<Frame>[] = [];

  /** The first frame that is not stable. */
  get oldest(): Frame | undefined {
    return this.places[0]?.frame;
  }

  /**
   * Whether a frame may be begun now. One whose groups all wait for the disk already gathers more instead: each of them asks for its
   * next entries when the last ones are stable, so another sync would serve nobody.
   */
  admits(next: OrderedFrame): boolean {
    const { places } = this;
    if (places.length === 0) return true;
    if (places.length === MAX_FRAMES_UNDER_WAY || !next.isMarked || next.isFirst || places[0]!.frame.isFirst)
      return false;
    for (const group of next.groups) if (!places.some(({ frame }) => frame.groups.has(group))) return true;
    return false;
  }

  /** @returns the lane in which it is written */
  begin(frame: Frame): number {
    let lane = 0;
    while (this.places.some((place) => place.lane === lane)) lane++;
    this.places.push({ frame, lane, isWritten: false });
    return lane;
  }

  /** A frame was written. @returns those that are stable with it, oldest first; none when it was given up */
  written(frame: Frame): Frame[] {
    const place = this.places.find((one) => one.frame === frame);
    if (place !== undefined) place.isWritten = true;
    const waiting = this.places.findIndex(({ isWritten }) => !isWritten);
    const stable = this.places.splice(0, waiting < 0 ? this.places.length : waiting);
    return stable.map((one) => one.frame);
  }

  /** The disk refused one of them: of none it is known whether it is stable. */
  giveUp(): Frame[] {
    return this.places.splice(0).map(({ frame }) => frame);
  }
}
