/**
 * Functions that only read, as of one timestamp, through a transaction that one node holds. Nothing is lost when that node is
 * gone, or what it reads moves out of its sight: the function is run again, as of a later timestamp.
 */
import { type Calls, pause } from './calls.ts';
import { KvorumClientError } from './errors.ts';
import { DEFAULT_ATTEMPTS, HeldAttempt } from './held.ts';
import { consistencyField, type TimestampMessage, toVersion } from './messages.ts';
import type { SessionToken } from './session-token.ts';
import type { SnapshotOptions, SnapshotView } from './types.ts';

interface Begun {
  readonly transaction: Buffer;
  readonly startTs: TimestampMessage;
  readonly stalenessMs?: number;
  readonly sessionToken?: Buffer;
}

/** Runs `work` as of one timestamp; several times if need be. @throws what `work` throws; KvorumClientError */
export async function runSnapshot<T>(
  calls: Calls,
  work: (view: SnapshotView) => Promise<T>,
  options: SnapshotOptions,
  session: SessionToken | undefined,
): Promise<T> {
  const deadlineMs = calls.deadlineOf(options);
  const maxAttempts = options.maxAttempts ?? DEFAULT_ATTEMPTS;
  let before: TimestampMessage | undefined;
  for (let attempt = 1; ; attempt++) {
    const endpoint = await calls.endpoints.connected(deadlineMs, options.signal);
    const view = new HeldSnapshot(calls, endpoint, options, deadlineMs, session);
    try {
      before = await view.begin(before);
      const result = await work(view);
      if (view.failure !== undefined) throw view.failure;
      return result;
    } catch (thrown) {
      // Work may wrap or swallow the error of a call: what the call said counts.
      const error = view.failure ?? thrown;
      if (!(error instanceof KvorumClientError)) throw error;
      if (error.disposition !== 'restart') calls.endpoints.leave(endpoint);
      const isForGood = error.disposition === 'final' && error.code !== 'TXN_NOT_FOUND';
      const isOver = attempt >= maxAttempts || Date.now() >= deadlineMs || options.signal?.aborted === true;
      if (isForGood || isOver) throw error;
    } finally {
      view.end();
    }
    await pause(attempt);
  }
}

/** One attempt. */
class HeldSnapshot extends HeldAttempt<SnapshotOptions> implements SnapshotView {
  servedTs = 0n;

  /** @param before timestamp of the attempt before: replicas could not answer it, leaders are asked @returns this one's */
  async begin(before: TimestampMessage | undefined): Promise<TimestampMessage> {
    const { consistency } = consistencyField(this.options.consistency ?? fallback(this.session), this.session) as {
      readonly consistency: object;
    };
    const age = before === undefined ? {} : { ageTs: before };
    const begun = await this.ask<Begun>('Begin', { readOnly: consistency, ...age });
    this.handle = begun.transaction;
    this.servedTs = toVersion(begun.startTs);
    this.session?.take(begun.sessionToken);
    return begun.startTs;
  }

  end(): void {
    if (this.handle !== undefined) this.letGo();
  }
}

/** Outside of a session everything that was acknowledged before is seen, unless less is asked for. */
const fallback = (session: SessionToken | undefined): 'linearizable' | undefined =>
  session === undefined ? 'linearizable' : undefined;
