/**
 * Scans that are under way. A scan looks for each key when it comes to it, with the timestamp and the applied index of its beginning; so what it may
 * come to must not be forgotten meanwhile.
 */
import type { HlcTimestamp, LogIndex } from '../../platform/index.ts';
import type { SeenFrom } from '../flush/index.ts';
import type { ReadView } from './reads.ts';

/** See the top of the file. */
export class Scans {
  private readonly underWay = new Set<{ readonly readTs: HlcTimestamp; readonly view: ReadView }>();

  /** Runs one. */
  async run<Result>(view: ReadView, readTs: HlcTimestamp, read: (view: ReadView) => Promise<Result>): Promise<Result> {
    const scan = { readTs, view };
    this.underWay.add(scan);
    try {
      return await read(view);
    } finally {
      this.underWay.delete(scan);
    }
  }

  /** @param threshold no read below it begins any more @param applied the index that one would see */
  seenFrom(threshold: HlcTimestamp, applied: LogIndex): SeenFrom {
    let readableFrom = threshold;
    let seenIndex = applied;
    for (const { readTs, view } of this.underWay) {
      if (readTs < readableFrom) readableFrom = readTs;
      if (view.appliedIndex < seenIndex) seenIndex = view.appliedIndex;
    }
    return { readableFrom, seenIndex };
  }
}
