/** What functions over a transaction that one node holds have in common, whether they write or only read. */
import type { Calls, ServiceName } from './calls.ts';
import type { Endpoint } from './endpoints.ts';
import { KvorumClientError } from './errors.ts';
import { toBuffer, toStored, type ValueMessage } from './messages.ts';
import { scanPages } from './scan.ts';
import type { SessionToken } from './session-token.ts';
import type { Bytes, CallOptions, SnapshotScanOptions, StoredRow, StoredValue } from './types.ts';

export const SERVICE: ServiceName = 'TransactionalKV';
/** Attempts before a function is given up. */
export const DEFAULT_ATTEMPTS = 16;
/** For letting go of what nobody waits for. */
const ROLLBACK_TIMEOUT_MS = 1_000;

/** One attempt, on one node. */
export abstract class HeldAttempt<Options extends Pick<CallOptions, 'signal'>> {
  /** The first call that failed: what is built on it is worth nothing. */
  failure: KvorumClientError | undefined;
  protected readonly calls: Calls;
  protected readonly endpoint: Endpoint;
  protected readonly options: Options;
  protected readonly deadlineMs: number;
  /** Hears how far reads and commits have come. */
  protected readonly session: SessionToken | undefined;
  /** What the node names it by; undefined before it has begun. */
  protected handle: Buffer | undefined;

  constructor(
    calls: Calls,
    endpoint: Endpoint,
    options: Options,
    deadlineMs: number,
    session: SessionToken | undefined,
  ) {
    this.calls = calls;
    this.endpoint = endpoint;
    this.options = options;
    this.deadlineMs = deadlineMs;
    this.session = session;
  }

  /** Remembers why a call failed. */
  protected failed(error: KvorumClientError): KvorumClientError {
    this.failure ??= error;
    return error;
  }

  /** One call that changes nothing that others could see. */
  protected async ask<Reply>(method: string, request: object): Promise<Reply> {
    try {
      const call = { service: SERVICE, method, request, isRead: true, pinned: this.endpoint };
      return await this.calls.unary<Reply>(call, this.options, this.deadlineMs);
    } catch (error) {
      throw this.failed(error as KvorumClientError);
    }
  }

  /** The node lets go; it does so by itself when it does not hear this. */
  protected letGo(): void {
    const request = { transaction: this.handle };
    const call = { service: SERVICE, method: 'Rollback', request, isRead: true, pinned: this.endpoint };
    this.calls.unary(call, { timeoutMs: ROLLBACK_TIMEOUT_MS }).catch(() => undefined);
  }

  async get(key: Bytes): Promise<Buffer | undefined> {
    return (await this.getStored(key))?.value;
  }

  async getStored(key: Bytes): Promise<StoredValue | undefined> {
    const request = { transaction: this.handle, key: toBuffer(key) };
    const reply = await this.ask<{ readonly value: ValueMessage | null; readonly sessionToken?: Buffer }>(
      'Get',
      request,
    );
    // Whatever becomes of the attempt: this was seen.
    this.session?.take(reply.sessionToken);
    return toStored(reply.value);
  }

  async *scan(options: SnapshotScanOptions = {}): AsyncGenerator<StoredRow> {
    const { signal } = this.options;
    const fields = { transaction: this.handle };
    const source = { calls: this.calls, service: SERVICE, session: this.session, pinned: this.endpoint, fields };
    try {
      for await (const { rows } of scanPages(source, { ...options, ...(signal === undefined ? {} : { signal }) })) {
        yield* rows;
      }
    } catch (error) {
      throw error instanceof KvorumClientError ? this.failed(error) : error;
    }
  }
}
