/**
 * Values that are too large for one entry are built aside: their rows are written in many entries before the one that names them, and until
 * then nobody can come to them, so they look like what a deleted value leaves behind. A group's leader says here what is being
 * built, and certifies no safepoint at or above the beginning of the oldest. A build ends with the leadership that it began in.
 */
import type { HlcTimestamp } from '../../platform/index.ts';

/** A build under way. */
export interface Build {
  /** False once it is over or was given up: its rows may be collected, and nothing may name them any more. */
  readonly isUnderWay: boolean;
  /** Twice is fine. */
  end(): void;
}

/** The builds of one group's leader. */
export class Builds {
  private readonly underWay = new Map<Build, HlcTimestamp>();

  /** @param ts nothing of it is committed below this: the group's time, or an earlier one */
  begin(ts: HlcTimestamp): Build {
    const { underWay } = this;
    const build: Build = {
      get isUnderWay() {
        return underWay.has(build);
      },
      end: () => {
        underWay.delete(build);
      },
    };
    underWay.set(build, ts);
    return build;
  }

  /** The beginning of the oldest; undefined when nothing is being built. */
  oldest(): HlcTimestamp | undefined {
    let oldest: HlcTimestamp | undefined;
    for (const ts of this.underWay.values()) if (oldest === undefined || ts < oldest) oldest = ts;
    return oldest;
  }

  /** Gives up those that began before: whoever works on one sees it when it looks. */
  giveUp(before: HlcTimestamp): void {
    for (const [build, ts] of this.underWay) if (ts < before) build.end();
  }

  /** Leadership is over. */
  clear(): void {
    this.underWay.clear();
  }
}
