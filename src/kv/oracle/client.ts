/**
 * Timestamps of the cluster's oracle for everybody on this node. What is asked for while requests are under way goes into the
 * next one, and one request serves exactly those who were there when it left: a timestamp that was granted before somebody
 * asked may lie below a commit that he has seen acknowledged, so nothing is ever kept for later.
 */
import { assert, type GroupId, type HlcTimestamp, hlcTimestamp, NEVER, type Scheduler } from '../../platform/index.ts';
import { BusyError } from '../../raftengine/index.ts';
import { type Authority, FIRST_AUTHORITY } from '../time/index.ts';
import type { OracleChannel } from './channel.ts';
import type { Grant } from './codec.ts';
import { OracleDisabledError, OracleUnavailableError } from './errors.ts';

/** A timestamp with the epoch of the authority that it was drawn under: entries that it stamps carry both. */
export interface OracleTimestamp {
  readonly ts: HlcTimestamp;
  readonly epoch: number;
}

/** Bounds of a client. */
export interface OracleClientLimits {
  /** Requests under way at once. */
  readonly maxInflight: number;
  /** Timestamps that one request asks for. */
  readonly maxBatch: number;
  /** Callers that may wait for the next request; more are refused with BusyError. */
  readonly maxWaiting: number;
  /** Times that one request is sent on because another group is the oracle now. */
  readonly maxRedirects: number;
  /** Before a request is sent on to a group that was just asked: the authority is being changed. */
  readonly redirectMs: number;
}

export const DEFAULT_ORACLE_LIMITS: OracleClientLimits = {
  maxInflight: 2,
  maxBatch: 4096,
  maxWaiting: 65_536,
  maxRedirects: 50,
  redirectMs: 20,
};

/** Counters since the start. */
export interface OracleClientStats {
  readonly requests: number;
  readonly timestamps: number;
  readonly failures: number;
  /** Requests whose timestamps lay below the time of this node when they were sent: what a switch to this oracle would cost. */
  readonly belowLocal: number;
  /** Requests that were sent after a larger timestamp had been answered: none, while the oracle keeps its promise. */
  readonly inversions: number;
}

export interface OracleClientOptions {
  readonly channel: Pick<OracleChannel, 'get'>;
  readonly scheduler: Scheduler;
  /** The time of this node, for comparison alone. */
  readonly localTs: () => HlcTimestamp;
  readonly limits?: Partial<OracleClientLimits>;
}

type TimestampDone = (error: Error | undefined, ts: OracleTimestamp | undefined) => void;

interface Waiter {
  readonly after: HlcTimestamp;
  readonly done: TimestampDone;
}

/** Those who were there when a request left. */
interface Batch {
  readonly waiters: readonly Waiter[];
  readonly after: HlcTimestamp;
  readonly localTs: HlcTimestamp;
  /** The largest timestamp that had been answered to anybody here when the batch left. */
  readonly answeredTs: HlcTimestamp;
  redirects: number;
}

/** See the top of the file. */
export class OracleClient {
  private readonly options: OracleClientOptions;
  private readonly limits: OracleClientLimits;
  /** The newest authority that a group spoke of. */
  private known: Authority = FIRST_AUTHORITY;
  private waiting: Waiter[] = [];
  private isFlushScheduled = false;
  private inflight = 0;
  private answeredTs: HlcTimestamp = NEVER;
  private readonly counts = { requests: 0, timestamps: 0, failures: 0, belowLocal: 0, inversions: 0 };

  constructor(options: OracleClientOptions) {
    this.options = options;
    this.limits = { ...DEFAULT_ORACLE_LIMITS, ...options.limits };
  }

  stats(): OracleClientStats {
    return { ...this.counts };
  }

  /** The group that is asked. A hint. */
  get oracle(): GroupId {
    return this.known.oracle;
  }

  /**
   * A timestamp above `after` and above everything that anybody was answered before the call.
   * @throws OracleDisabledError; OracleUnavailableError, BusyError and what the oracle refuses with
   */
  timestamp(after: HlcTimestamp = NEVER): Promise<OracleTimestamp> {
    return new Promise((resolve, reject) => {
      this.request(after, (error, ts) => (ts === undefined ? reject(error) : resolve(ts)));
    });
  }

  /** As `timestamp`, without a promise. `done` is called once, not before this returns. */
  request(after: HlcTimestamp, done: TimestampDone): void {
    if (this.waiting.length >= this.limits.maxWaiting) {
      done(new BusyError('too many callers wait for a timestamp; try again later'), undefined);
      return;
    }
    this.waiting.push({ after, done });
    this.scheduleFlush();
  }

  /** As `timestamp`; undefined where there is no oracle, and so nothing that it would order. */
  async above(after: HlcTimestamp): Promise<HlcTimestamp | undefined> {
    try {
      return (await this.timestamp(after)).ts;
    } catch (error) {
      if (error instanceof OracleDisabledError) return undefined;
      throw error;
    }
  }

  /**
   * Settles when everything that the oracle grants from then on is larger than `ts`: to be called before a commit at `ts` is
   * acknowledged that the oracle has not stamped.
   */
  async advance(ts: HlcTimestamp): Promise<void> {
    // The grant itself is above `ts`, and everything later is above the grant.
    await this.timestamp(ts);
  }

  private scheduleFlush(): void {
    if (this.isFlushScheduled || this.inflight >= this.limits.maxInflight || this.waiting.length === 0) return;
    this.isFlushScheduled = true;
    this.options.scheduler.endOfTurn(() => this.flush());
  }

  private flush(): void {
    this.isFlushScheduled = false;
    if (this.inflight >= this.limits.maxInflight || this.waiting.length === 0) return;
    const waiters = this.waiting.splice(0, this.limits.maxBatch);
    let after = NEVER;
    for (const waiter of waiters) if (waiter.after > after) after = waiter.after;
    this.inflight++;
    this.counts.requests++;
    this.send({ waiters, after, localTs: this.options.localTs(), answeredTs: this.answeredTs, redirects: 0 });
    this.scheduleFlush();
  }

  private send(batch: Batch): void {
    if (this.known.mode === 'local') {
      // Somebody may have switched one on: whoever is asked tells.
      if (batch.redirects > 0) {
        this.fail(batch, new OracleDisabledError('the cluster has no oracle (tso.group is 0)'));
        return;
      }
    }
    const group = this.known.mode === 'local' ? FIRST_AUTHORITY.oracle : this.known.oracle;
    const { after, waiters } = batch;
    this.options.channel.get({ kind: 'get', group, count: waiters.length, after, isShadow: false }, (error, grant) => {
      if (grant?.kind === 'refused') this.redirect(batch, grant.authority);
      else if (grant === undefined) this.fail(batch, error ?? new OracleUnavailableError('no oracle answers'));
      else this.deliver(batch, grant);
    });
  }

  /** Those who wait were there before the next attempt leaves, so it may serve them. */
  private redirect(batch: Batch, authority: Authority): void {
    const isNews = authority.epoch > this.known.epoch;
    if (authority.epoch >= this.known.epoch) this.known = authority;
    if (++batch.redirects > this.limits.maxRedirects) {
      this.fail(batch, new OracleUnavailableError('the authority over timestamps is being changed; try again'));
    } else if (isNews) this.send(batch);
    else this.options.scheduler.after(this.limits.redirectMs, () => this.send(batch));
  }

  private deliver(batch: Batch, { last, epoch }: Grant & { kind: 'granted' }): void {
    const { waiters } = batch;
    const first = last - BigInt(waiters.length - 1);
    assert(first > batch.after, 'an oracle grants timestamps above what it was told');
    this.measure(batch, first);
    this.counts.timestamps += waiters.length;
    if (last > this.answeredTs) this.answeredTs = last;
    this.inflight--;
    for (let at = 0; at < waiters.length; at++) {
      waiters[at]!.done(undefined, { ts: hlcTimestamp(first + BigInt(at)), epoch });
    }
    this.scheduleFlush();
  }

  private measure(batch: Batch, first: bigint): void {
    if (first <= batch.localTs) this.counts.belowLocal++;
    if (first <= batch.answeredTs) this.counts.inversions++;
  }

  private fail(batch: Batch, error: Error): void {
    this.counts.failures++;
    this.inflight--;
    for (const waiter of batch.waiters) waiter.done(error, undefined);
    this.scheduleFlush();
  }
}
