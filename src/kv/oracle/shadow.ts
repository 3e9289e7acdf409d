/**
 * Asks a group for timestamps that nobody uses, and compares them with this node's own: what would have become of time had the
 * group been the oracle. For the time before an oracle is switched on; it changes nothing.
 */
import {
  type Cancel,
  type GroupId,
  type HlcTimestamp,
  type Millis,
  NEVER,
  physicalMs,
  type Scheduler,
} from '../../platform/index.ts';
import type { OracleChannel } from './channel.ts';

/** What was seen since the start. */
export interface ShadowStats {
  readonly samples: number;
  readonly failures: number;
  /** Samples below the time that this node had when it asked. */
  readonly belowLocal: number;
  /** The largest of these differences. */
  readonly maxBehindMs: Millis;
  /** Samples that were asked for after a larger one had been answered. */
  readonly inversions: number;
}

export interface OracleShadowOptions {
  readonly channel: Pick<OracleChannel, 'get'>;
  readonly scheduler: Scheduler;
  readonly localTs: () => HlcTimestamp;
  /** The group to be measured; undefined while none is. */
  readonly group: () => GroupId | undefined;
  readonly periodMs?: Millis;
}

const DEFAULT_PERIOD_MS: Millis = 1_000;

/** See the top of the file. */
export class OracleShadow {
  private readonly options: OracleShadowOptions;
  private cancel: Cancel | undefined;
  private isAsking = false;
  private answeredTs: HlcTimestamp = NEVER;
  private readonly counts = { samples: 0, failures: 0, belowLocal: 0, maxBehindMs: 0, inversions: 0 };

  constructor(options: OracleShadowOptions) {
    this.options = options;
  }

  stats(): ShadowStats {
    return { ...this.counts };
  }

  start(): void {
    this.cancel = this.options.scheduler.after(this.options.periodMs ?? DEFAULT_PERIOD_MS, () => {
      this.start();
      this.sample();
    });
  }

  stop(): void {
    this.cancel?.();
  }

  /** One sample, unless one is under way or no group is to be measured. */
  sample(): void {
    const group = this.options.group();
    if (group === undefined || this.isAsking) return;
    this.isAsking = true;
    const localTs = this.options.localTs();
    const { answeredTs } = this;
    this.options.channel.get({ kind: 'get', group, count: 1, after: NEVER, isShadow: true }, (_error, grant) => {
      this.isAsking = false;
      if (grant?.kind !== 'granted') {
        this.counts.failures++;
        return;
      }
      this.counts.samples++;
      if (grant.last <= localTs) {
        this.counts.belowLocal++;
        this.counts.maxBehindMs = Math.max(this.counts.maxBehindMs, physicalMs(localTs) - physicalMs(grant.last));
      }
      if (grant.last <= answeredTs) this.counts.inversions++;
      if (grant.last > this.answeredTs) this.answeredTs = grant.last;
    });
  }
}
