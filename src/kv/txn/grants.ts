/**
 * The timestamps of one node's coordinators: from the oracle, and the newest of them kept for a moment, since the age of a
 * transaction need not be drawn for it alone. What is read or committed at a timestamp always draws a fresh one.
 */
import type { Clock, HlcTimestamp, Millis } from '../../platform/index.ts';
import type { GrantedTimestamp, TimestampSource } from './coordinator-types.ts';

/** So much older than it is a transaction may pretend to be. */
const MAX_AGE_MS: Millis = 250;

/** A timestamp, and when it was asked for, monotonic. */
interface DatedGrant {
  readonly granted: GrantedTimestamp;
  readonly askedMs: Millis;
}

/** See the top of the file. */
export class Grants implements TimestampSource {
  private readonly source: TimestampSource;
  private readonly clock: Clock;
  private newest: DatedGrant | undefined;

  constructor(source: TimestampSource, clock: Clock) {
    this.source = source;
    this.clock = clock;
  }

  /** @param after the answer is larger than this too */
  async timestamp(after?: HlcTimestamp): Promise<GrantedTimestamp> {
    const askedMs = this.clock.monotonicMs();
    const granted = await this.source.timestamp(after);
    if (this.newest === undefined || granted.ts > this.newest.granted.ts) this.newest = { granted, askedMs };
    return granted;
  }

  /** One that was granted a moment ago, whoever asked for it; undefined when there is none. */
  recent(): GrantedTimestamp | undefined {
    const { newest } = this;
    if (newest === undefined || this.clock.monotonicMs() - newest.askedMs > MAX_AGE_MS) return undefined;
    return newest.granted;
  }
}
