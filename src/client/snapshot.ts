/**
 * Functions that only read, as of one timestamp, through a transaction that one node holds. Nothing is lost when that node is
 * gone, or what it reads moves out of its sight: the function is run again, as of a later timestamp.
 */
import { type Calls, pause, type ServiceName } from './calls.ts';
import type { Endpoint } from './endpoints.ts';
import { KvorumClientError } from './errors.ts';
import {
  consistencyField,
  type TimestampMessage,
  toBuffer,
  toStored,
  toVersion,
  type ValueMessage,
} from './messages.ts';
import { scanPages } from './scan.ts';
import type { SessionToken } from './session-token.ts';
import type { Bytes, SnapshotOptions, SnapshotScanOptions, SnapshotView, StoredRow, StoredValue } from './types.ts';

const SERVICE: ServiceName = 'TransactionalKV';
const DEFAULT_ATTEMPTS = 16;
/** For letting go of what nobody waits for. */
const ROLLBACK_TIMEOUT_MS = 1_000;

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
      const isForGood = error.disposition === 'final' && error.code !== 'UNKNOWN_TRANSACTION';
      const isOver = attempt >= maxAttempts || Date.now() >= deadlineMs || options.signal?.aborted === true;
      if (isForGood || isOver) throw error;
    } finally {
      view.end();
    }
    await pause(attempt);
  }
}

/** One attempt. */
class HeldSnapshot implements SnapshotView {
  /** The first call that failed. */
  failure: KvorumClientError | undefined;
  servedTs = 0n;
  private readonly calls: Calls;
  private readonly endpoint: Endpoint;
  private readonly options: SnapshotOptions;
  private readonly deadlineMs: number;
  private readonly session: SessionToken | undefined;
  private handle: Buffer | undefined;

  constructor(
    calls: Calls,
    endpoint: Endpoint,
    options: SnapshotOptions,
    deadlineMs: number,
    session: SessionToken | undefined,
  ) {
    this.calls = calls;
    this.endpoint = endpoint;
    this.options = options;
    this.deadlineMs = deadlineMs;
    this.session = session;
  }

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

  /** The node lets go; it does so by itself when it does not hear this. */
  end(): void {
    if (this.handle === undefined) return;
    const request = { transaction: this.handle };
    const call = { service: SERVICE, method: 'Rollback', request, isRead: true, pinned: this.endpoint };
    this.calls.unary(call, { timeoutMs: ROLLBACK_TIMEOUT_MS }).catch(() => undefined);
  }

  private async ask<Reply>(method: string, request: object): Promise<Reply> {
    try {
      const call = { service: SERVICE, method, request, isRead: true, pinned: this.endpoint };
      return await this.calls.unary<Reply>(call, this.options, this.deadlineMs);
    } catch (error) {
      this.failure ??= error as KvorumClientError;
      throw error;
    }
  }

  async get(key: Bytes): Promise<Buffer | undefined> {
    return (await this.getStored(key))?.value;
  }

  async getStored(key: Bytes): Promise<StoredValue | undefined> {
    const request = { transaction: this.handle, key: toBuffer(key) };
    return toStored((await this.ask<{ readonly value: ValueMessage | null }>('Get', request)).value);
  }

  async *scan(options: SnapshotScanOptions = {}): AsyncGenerator<StoredRow> {
    const { signal } = this.options;
    const fields = { transaction: this.handle };
    const source = { calls: this.calls, service: SERVICE, session: undefined, pinned: this.endpoint, fields };
    try {
      for await (const { rows } of scanPages(source, { ...options, ...(signal === undefined ? {} : { signal }) })) {
        yield* rows;
      }
    } catch (error) {
      if (error instanceof KvorumClientError) this.failure ??= error;
      throw error;
    }
  }
}

/** Outside of a session everything that was acknowledged before is seen, unless less is asked for. */
const fallback = (session: SessionToken | undefined): 'linearizable' | undefined =>
  session === undefined ? 'linearizable' : undefined;
