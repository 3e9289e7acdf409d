/**
 * Reads of a group's past that are under way where it is led. The group certifies nothing above the oldest of them, so that a read which waits for a
 * lock, or for its turn on a busy machine, still finds what it was begun for.
 */
import type { HlcTimestamp } from '../../platform/index.ts';

interface OpenRead {
  readonly ts: HlcTimestamp;
}

/** See the top of the file. As many as there are reads under way. */
export class OpenReads {
  private readonly open = new Set<OpenRead>();

  /** Runs a read at a timestamp. */
  async during<T>(ts: HlcTimestamp, read: () => Promise<T>): Promise<T> {
    const one: OpenRead = { ts };
    this.open.add(one);
    try {
      return await read();
    } finally {
      this.open.delete(one);
    }
  }

  /** What the oldest is at; undefined when none is under way. */
  oldest(): HlcTimestamp | undefined {
    let oldest: HlcTimestamp | undefined;
    for (const { ts } of this.open) if (oldest === undefined || ts < oldest) oldest = ts;
    return oldest;
  }
}
