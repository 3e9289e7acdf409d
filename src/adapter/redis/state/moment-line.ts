/**
 * Long reads at one moment that a node makes for its clients: how many at one time, and how much memory their replies take together. One with few names is
 * not kept waiting by one with a million, because some are under way side by side.
 */

import type { LiveValue } from '../../../kv/index.ts';
import type { HlcTimestamp, Millis } from '../../../platform/index.ts';
import { BusyError } from '../../../raftengine/index.ts';

/** Reads that are under way at one time. */
const MOST_TOGETHER = 4;
/** Reads that wait for their turn; more are refused. */
const MOST_WAITING = 1_000;
/** Bytes of all replies that are being put together. As much as a leader reads for one call. */
const MOST_BYTES = 512 * 1024 * 1024;

/** What lies at or below one timestamp, in all groups alike. */
export interface Moment {
  readonly ts: HlcTimestamp;
  /** Values by the place of their key. @param deadlineMs monotonic */
  get(keys: readonly Buffer[], deadlineMs: Millis): Promise<readonly (LiveValue | undefined)[]>;
  /** Nothing more is read. */
  release(): void;
}

/** Where moments come from. */
export interface MomentSource {
  /** A moment that everything acknowledged before lies below. @param options.deadlineMs monotonic */
  snapshot(options: {
    readonly consistency: { readonly kind: 'linearizable' };
    readonly deadlineMs: Millis;
  }): Promise<Moment>;
}

/** See the top of the file. One for each node. */
export class MomentLine {
  readonly source: MomentSource;
  private readonly waiting: (() => void)[] = [];
  private together = 0;
  private bytes = 0;

  constructor(source: MomentSource) {
    this.source = source;
  }

  /**
   * Does a read in its turn.
   * @param read gets a function that says of how many bytes its reply has grown; false: there is no room for them
   * @throws BusyError when too many wait
   */
  async take<Reply>(read: (grows: (bytes: number) => boolean) => Promise<Reply>): Promise<Reply> {
    if (this.together < MOST_TOGETHER) this.together++;
    else {
      if (this.waiting.length >= MOST_WAITING) throw new BusyError('too many long reads wait; try again later');
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    let own = 0;
    try {
      return await read((bytes) => {
        own += bytes;
        this.bytes += bytes;
        return this.bytes <= MOST_BYTES;
      });
    } finally {
      this.bytes -= own;
      const next = this.waiting.shift();
      if (next === undefined) this.together--;
      else next();
    }
  }
}
