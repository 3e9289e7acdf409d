/**
 * Everything that can be done with keys: what a client and its sessions have in common. A session hands its token along with
 * each read and keeps the newest that it is answered.
 */
import type { Calls } from './calls.ts';
import { BatchError, type KeyFailure } from './errors.ts';
import {
  boundsOf,
  conditionMessage,
  consistencyField,
  expectedMessage,
  operationMessage,
  type TimeMessage,
  type TimestampMessage,
  timeOf,
  toBuffer,
  toStored,
  toVersion,
  type ValueMessage,
} from './messages.ts';
import { scanPages } from './scan.ts';
import type { SessionToken } from './session-token.ts';
import { runSnapshot } from './snapshot.ts';
import { runTransaction } from './transaction.ts';
import type {
  Bytes,
  CallOptions,
  CompareAndSetResult,
  Expected,
  KeyRange,
  Pair,
  PutOptions,
  ReadManyResult,
  ReadOptions,
  ReadResult,
  ScannedPage,
  ScanOptions,
  SnapshotOptions,
  SnapshotView,
  Step,
  StepResult,
  StoredRow,
  StoredValue,
  TransactionOptions,
  TransactionView,
} from './types.ts';

interface ValueReply extends TimeMessage {
  readonly value: ValueMessage | null;
}

interface ManyReply extends TimeMessage {
  readonly values: readonly { readonly value: ValueMessage | null }[];
}

interface WriteReply {
  readonly version: TimestampMessage;
  readonly sessionToken?: Buffer;
}

interface FailuresReply {
  readonly failures: readonly KeyFailure[];
  readonly sessionToken?: Buffer;
}

interface StepReply {
  readonly succeeded: boolean;
  readonly results: readonly { readonly value: ValueMessage | null }[];
  readonly sessionToken?: Buffer;
}

/** See the head of the file. Every method may be called any number of times at once; each throws KvorumClientError. */
export class KeyOperations {
  protected readonly calls: Calls;
  /** Undefined outside of a session. */
  protected readonly held: SessionToken | undefined;

  constructor(calls: Calls, session: SessionToken | undefined) {
    this.calls = calls;
    this.held = session;
  }

  private async raw<Reply extends object>(
    method: string,
    request: object,
    isRead: boolean,
    options: CallOptions,
  ): Promise<Reply> {
    const reply = await this.calls.unary<Reply>({ service: 'RawKV', method, request, isRead }, options);
    this.held?.take((reply as { readonly sessionToken?: Buffer }).sessionToken);
    return reply;
  }

  /** The value of a key; undefined when there is none. Everything acknowledged before the call is seen, unless less is asked for. */
  async get(key: Bytes, options: ReadOptions = {}): Promise<Buffer | undefined> {
    return (await this.read(key, options)).value?.value;
  }

  /** The value of a key with its version and its end. */
  async getStored(key: Bytes, options: ReadOptions = {}): Promise<StoredValue | undefined> {
    return (await this.read(key, options)).value;
  }

  /**
   * The value of a key, with the moment that it is of and how old that may be.
   *
   * ```ts
   * const { value, stalenessMs } = await client.read('greeting', { consistency: { maxStalenessMs: 5_000 } });
   * ```
   */
  async read(key: Bytes, options: ReadOptions = {}): Promise<ReadResult> {
    const request = { key: toBuffer(key), ...consistencyField(options.consistency, this.held) };
    const reply = await this.raw<ValueReply>('Get', request, true, options);
    return { value: toStored(reply.value), ...timeOf(reply) };
  }

  /** Values by the place of their key; see `readMany`. */
  async getMany(keys: readonly Bytes[], options: ReadOptions = {}): Promise<(Buffer | undefined)[]> {
    return (await this.readMany(keys, options)).values.map((value) => value?.value);
  }

  /**
   * Values by the place of their key, with the moment that they are of. Linearizable ones are not all of one moment, and
   * the oldest is told; with a bound, a timestamp or in a session they are.
   */
  async readMany(keys: readonly Bytes[], options: ReadOptions = {}): Promise<ReadManyResult> {
    const request = { keys: keys.map(toBuffer), ...consistencyField(options.consistency, this.held) };
    const reply = await this.raw<ManyReply>('BatchGet', request, true, options);
    return { values: reply.values.map(({ value }) => toStored(value)), ...timeOf(reply) };
  }

  /** Sets a key. @returns the version of what was written */
  async put(key: Bytes, value: Bytes, options: PutOptions = {}): Promise<bigint> {
    const request = { key: toBuffer(key), value: toBuffer(value), ttlMs: options.ttlMs ?? 0 };
    return toVersion((await this.raw<WriteReply>('Put', request, false, options)).version);
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
   * Rows in order of their keys, continuous: no key that stays is left out, however ranges move meanwhile. Linearizable pages are
   * of different moments; with a bound, a timestamp or in a session all rows are as of one. Leaving the loop ends the scan.
   *
   * ```ts
   * for await (const { key, value } of client.scan({ prefix: 'user/' })) console.log(key.toString(), value.toString());
   * ```
   */
  async *scan(options: ScanOptions = {}): AsyncGenerator<StoredRow> {
    for await (const { rows } of this.pages(options)) yield* rows;
  }

  /** The same page by page, each with the moment that it is of. */
  pages(options: ScanOptions = {}): AsyncGenerator<ScannedPage> {
    return scanPages({ calls: this.calls, service: 'RawKV', session: this.held }, options);
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
    const reply = await this.calls.unary<StepReply>(call, options);
    this.held?.take(reply.sessionToken);
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
    return runTransaction(this.calls, work, options, this.held);
  }

  /**
   * Runs a function that only reads, everything as of one timestamp, whatever groups the keys are in. It locks nothing and
   * disturbs nobody. With a bound, a timestamp or in a session replicas answer; else leaders, once, how far they are.
   *
   * ```ts
   * const total = await client.snapshot(async (view) => {
   *   let sum = 0;
   *   for await (const { value } of view.scan({ prefix: 'account/' })) sum += Number(value);
   *   return sum;
   * }, { consistency: { maxStalenessMs: 10_000 } });
   * ```
   * @throws what the function throws; it may run several times
   */
  snapshot<T>(work: (view: SnapshotView) => Promise<T>, options: SnapshotOptions = {}): Promise<T> {
    return runSnapshot(this.calls, work, options, this.held);
  }
}

/** @throws BatchError */
function throwFailures({ failures }: FailuresReply): void {
  if (failures.length > 0) throw new BatchError(failures);
}

/** Fields without those that are undefined. */
const optional = ({ start, end }: { start: Buffer; end: Buffer | undefined }): object =>
  end === undefined ? { start } : { start, end };
