/**
 * Functions that run as transactions. One that loses against others is rolled back and begun again, with its age, so that it
 * wins in the end. Before the commit nothing has happened, whatever fails; the commit itself is asked about again until its
 * outcome is known or the time is over.
 */
import { type Calls, pause } from './calls.ts';
import { KvorumClientError } from './errors.ts';
import { DEFAULT_ATTEMPTS, HeldAttempt, SERVICE } from './held.ts';
import { type TimestampMessage, toBuffer } from './messages.ts';
import type { SessionToken } from './session-token.ts';
import type { Bytes, TransactionOptions, TransactionView } from './types.ts';

/** A transaction takes several calls, and may have to be begun again. */
const DEFAULT_TIMEOUT_MS = 30_000;

interface Begun {
  readonly transaction: Buffer;
  readonly startTs: TimestampMessage;
}

/** Runs `work` as a transaction; several times if need be. @throws what `work` throws; KvorumClientError */
export async function runTransaction<T>(
  calls: Calls,
  work: (view: TransactionView) => Promise<T>,
  options: TransactionOptions,
  session: SessionToken | undefined,
): Promise<T> {
  const deadlineMs = calls.deadlineOf({ timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS });
  const maxAttempts = options.maxAttempts ?? DEFAULT_ATTEMPTS;
  let ageTs: TimestampMessage | undefined;
  for (let attempt = 1; ; attempt++) {
    const endpoint = await calls.endpoints.connected(deadlineMs, options.signal);
    const held = new HeldTransaction(calls, endpoint, options, deadlineMs, session);
    try {
      ageTs = await held.begin(ageTs);
      return await held.run(work);
    } catch (error) {
      if (!(error instanceof KvorumClientError)) throw error;
      // A node that is gone or cut off: another may do.
      if (held.nodeFailed) calls.endpoints.leave(endpoint);
      const mayGoOn = held.mayBeginAgain && attempt < maxAttempts && Date.now() < deadlineMs;
      if (!mayGoOn || options.signal?.aborted === true) throw error;
    }
    await pause(attempt);
  }
}

/** One attempt. */
class HeldTransaction extends HeldAttempt<TransactionOptions> implements TransactionView {
  /** Its end leaves room for another attempt: nothing of it has happened. */
  mayBeginAgain = false;
  nodeFailed = false;
  private isOver = false;

  /** @returns the timestamp of the first attempt */
  async begin(ageTs: TimestampMessage | undefined): Promise<TimestampMessage> {
    const request = { snapshot: this.options.snapshot === true, ...(ageTs === undefined ? {} : { ageTs }) };
    const { transaction, startTs } = await this.ask<Begun>('Begin', request);
    this.handle = transaction;
    return ageTs ?? startTs;
  }

  async run<T>(work: (view: TransactionView) => Promise<T>): Promise<T> {
    let result: T;
    try {
      result = await work(this);
      if (this.failure !== undefined) throw this.failure;
    } catch (error) {
      this.isOver = true;
      this.letGo();
      // Work may wrap or swallow the error of a call: what the call said counts.
      throw this.failure ?? error;
    }
    this.isOver = true;
    await this.commit();
    return result;
  }

  /** Only before the commit. */
  protected override async ask<Reply>(method: string, request: object): Promise<Reply> {
    if (this.isOver) throw new KvorumClientError('TRANSACTION_OVER', 'final', 'the transaction is over');
    return super.ask<Reply>(method, request);
  }

  protected override failed(error: KvorumClientError): KvorumClientError {
    this.mayBeginAgain = error.disposition !== 'final' || error.code === 'TXN_NOT_FOUND';
    this.nodeFailed = error.code !== 'CONFLICT' && error.disposition !== 'restart';
    return super.failed(error);
  }

  private async commit(): Promise<void> {
    let isUnknown = false;
    for (let attempt = 1; ; attempt++) {
      try {
        const request = { transaction: this.handle };
        const call = { service: SERVICE, method: 'Commit', request, isRead: false, pinned: this.endpoint };
        const reply = await this.calls.unary<{ readonly sessionToken?: Buffer }>(call, this.options, this.deadlineMs);
        this.session?.take(reply.sessionToken);
        return;
      } catch (failure) {
        const error = failure as KvorumClientError;
        isUnknown ||= error.isUnknown;
        const isForgotten = error.code === 'TXN_NOT_FOUND';
        if (!isUnknown) {
          this.failed(error);
          throw error;
        }
        // Answered at last: it did not happen.
        if (!error.isUnknown && !isForgotten && error.disposition === 'restart') {
          this.failed(error);
          throw error;
        }
        if (isForgotten || Date.now() >= this.deadlineMs || this.options.signal?.aborted === true) {
          const message = 'nobody could say whether the transaction was committed';
          throw new KvorumClientError('OUTCOME_UNKNOWN', 'unknown', message, { cause: error });
        }
      }
      await pause(attempt);
    }
  }

  async put(key: Bytes, value: Bytes, { ttlMs = 0 }: { readonly ttlMs?: number } = {}): Promise<void> {
    await this.ask('Put', { transaction: this.handle, key: toBuffer(key), value: toBuffer(value), ttlMs });
  }

  async delete(key: Bytes): Promise<void> {
    await this.ask('Delete', { transaction: this.handle, key: toBuffer(key) });
  }
}
