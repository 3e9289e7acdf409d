/**
 * The client of a kvorum cluster.
 *
 * ```ts
 * import { KvorumClient } from 'kvorum';
 *
 * const client = new KvorumClient({ endpoints: ['127.0.0.1:50051', '127.0.0.1:50052'] });
 * await client.put('greeting', 'hello');
 * console.log((await client.get('greeting'))?.toString());
 * client.close();
 * ```
 */
import grpc from '@grpc/grpc-js';
import { Calls } from './calls.ts';
import { Endpoints } from './endpoints.ts';
import { BatchError, type KeyFailure } from './errors.ts';
import {
  boundsOf,
  conditionMessage,
  expectedMessage,
  operationMessage,
  type TimestampMessage,
  toBuffer,
  toStored,
  toVersion,
  type ValueMessage,
} from './messages.ts';
import { scanRows } from './scan.ts';
import { runTransaction } from './transaction.ts';
import type {
  Bytes,
  CallOptions,
  CompareAndSetResult,
  Expected,
  KeyRange,
  Pair,
  PutOptions,
  ScanOptions,
  Step,
  StepResult,
  StoredRow,
  StoredValue,
  TransactionOptions,
  TransactionView,
} from './types.ts';

const DEFAULT_TIMEOUT_MS = 10_000;

export interface KvorumClientOptions {
  /** gRPC addresses of nodes, `host:port`; any of them will do, the more the better. */
  readonly endpoints: readonly string[];
  /** Milliseconds that a call takes at most, attempts and pauses included. Default 10,000. */
  readonly timeoutMs?: number;
  /** Default: no encryption. */
  readonly credentials?: grpc.ChannelCredentials;
}

interface ValueReply {
  readonly value: ValueMessage | null;
}

interface FailuresReply {
  readonly failures: readonly KeyFailure[];
}

/** See the head of the file. Every method may be called any number of times at once; each throws KvorumClientError. */
export class KvorumClient {
  private readonly endpoints: Endpoints;
  private readonly calls: Calls;

  constructor({ endpoints, timeoutMs = DEFAULT_TIMEOUT_MS, credentials }: KvorumClientOptions) {
    this.endpoints = new Endpoints(endpoints, credentials ?? grpc.credentials.createInsecure());
    this.calls = new Calls(this.endpoints, timeoutMs);
  }

  private raw<Reply>(method: string, request: object, isRead: boolean, options: CallOptions): Promise<Reply> {
    return this.calls.unary<Reply>({ service: 'RawKV', method, request, isRead }, options);
  }

  /** The value of a key; undefined when there is none. Everything acknowledged before the call is seen. */
  async get(key: Bytes, options: CallOptions = {}): Promise<Buffer | undefined> {
    return (await this.getStored(key, options))?.value;
  }

  /** The value of a key with its version and its end. */
  async getStored(key: Bytes, options: CallOptions = {}): Promise<StoredValue | undefined> {
    return toStored((await this.raw<ValueReply>('Get', { key: toBuffer(key) }, true, options)).value);
  }

  /** Values by the place of their key. Not all of one moment: use a transaction for that. */
  async getMany(keys: readonly Bytes[], options: CallOptions = {}): Promise<(Buffer | undefined)[]> {
    const request = { keys: keys.map(toBuffer) };
    const { values } = await this.raw<{ readonly values: readonly ValueReply[] }>('BatchGet', request, true, options);
    return values.map(({ value }) => value?.value);
  }

  /** Sets a key. @returns the version of what was written */
  async put(key: Bytes, value: Bytes, options: PutOptions = {}): Promise<bigint> {
    const request = { key: toBuffer(key), value: toBuffer(value), ttlMs: options.ttlMs ?? 0 };
    return toVersion((await this.raw<{ readonly version: TimestampMessage }>('Put', request, false, options)).version);
  }

  /** Sets keys, each by itself and each once. @throws BatchError when some failed: all others are set */
  async putMany(pairs: readonly Pair[], options: CallOptions = {}): Promise<void> {
    const request = {
      pairs: pairs.map(({ key, value, ttlMs }) => ({ key: toBuffer(key), value: toBuffer(value), ttlMs: ttlMs ?? 0 })),
    };
    throwFailures(await this.raw<FailuresReply>('BatchPut', request, false, options));
  }

  /** @returns false when there was nothing to delete */
  async delete(key: Bytes, options: CallOptions = {}): Promise<boolean> {
    return (await this.raw<{ readonly existed: boolean }>('Delete', { key: toBuffer(key) }, false, options)).existed;
  }

  /** Deletes keys, each by itself. @throws BatchError when some failed: all others are deleted */
  async deleteMany(keys: readonly Bytes[], options: CallOptions = {}): Promise<void> {
    throwFailures(await this.raw<FailuresReply>('BatchDelete', { keys: keys.map(toBuffer) }, false, options));
  }

  /** Deletes a range; atomic inside each group. @throws KvorumClientError PARTLY_DONE: run it again */
  async deleteRange(range: KeyRange, options: CallOptions = {}): Promise<void> {
    await this.raw('DeleteRange', optional(boundsOf(range)), false, options);
  }

  /** Sets a key if it is as expected, or deletes it with `newValue` undefined. */
  async compareAndSet(
    key: Bytes,
    expected: Expected,
    newValue: Bytes | undefined,
    options: PutOptions = {},
  ): Promise<CompareAndSetResult> {
    const request = {
      key: toBuffer(key),
      ...expectedMessage(expected),
      ...(newValue === undefined ? {} : { newValue: toBuffer(newValue) }),
      ttlMs: options.ttlMs ?? 0,
    };
    const reply = await this.raw<{
      readonly isSet: boolean;
      readonly version: TimestampMessage | null;
      readonly current: ValueMessage | null;
    }>('CompareAndSet', request, false, options);
    return reply.isSet
      ? { isSet: true, version: toVersion(reply.version!) }
      : { isSet: false, current: toStored(reply.current) };
  }

  /**
   * Rows in order of their keys, continuous: no key that stays is left out, however ranges move meanwhile. Pages are of different
   * moments; scan inside a transaction for one. Leaving the loop ends the scan.
   *
   * ```ts
   * for await (const { key, value } of client.scan({ prefix: 'user/' })) console.log(key.toString(), value.toString());
   * ```
   */
  scan(options: ScanOptions = {}): AsyncGenerator<StoredRow> {
    return scanRows(this.calls, { service: 'RawKV' }, options);
  }

  /** Conditions and operations on several keys in one step, at one moment. */
  async step(step: Step, options: CallOptions = {}): Promise<StepResult> {
    const { if: conditions = [], do: operations = [], otherwise = [] } = step;
    const request = {
      conditions: conditions.map(conditionMessage),
      success: operations.map(operationMessage),
      failure: otherwise.map(operationMessage),
    };
    const isRead = [...operations, ...otherwise].every((operation) => 'get' in operation);
    const call = { service: 'TransactionalKV', method: 'Txn', request, isRead } as const;
    const reply = await this.calls.unary<{ readonly succeeded: boolean; readonly results: readonly ValueReply[] }>(
      call,
      options,
    );
    return { succeeded: reply.succeeded, values: reply.results.map(({ value }) => toStored(value)) };
  }

  /**
   * Runs a function as a transaction over any keys: atomic, and as if nothing else ran meanwhile. It may run several times, so
   * it should have no effects beside the view.
   *
   * ```ts
   * await client.transaction(async (t) => {
   *   const balance = Number(await t.get('account/1'));
   *   if (balance < 10) throw new Error('not enough money');
   *   await t.put('account/1', String(balance - 10));
   *   await t.put('account/2', String(Number(await t.get('account/2')) + 10));
   * });
   * ```
   * @throws what the function throws, after nothing has happened; KvorumClientError OUTCOME_UNKNOWN when it may have
   */
  transaction<T>(work: (view: TransactionView) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    return runTransaction(this.calls, work, options);
  }

  /** Closes all connections; calls that are under way end. */
  close(): void {
    this.endpoints.close();
  }
}

/** @throws BatchError */
function throwFailures({ failures }: FailuresReply): void {
  if (failures.length > 0) throw new BatchError(failures);
}

/** Fields without those that are undefined. */
const optional = ({ start, end }: { start: Buffer; end: Buffer | undefined }): object =>
  end === undefined ? { start } : { start, end };
