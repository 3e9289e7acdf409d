/**
 * Runs functions over keys of several groups as transactions: reads what they look at, evaluates them over the values, and
 * has the coordinator commit what they wrote on condition that nothing of it has changed. What loses against others is
 * begun again, with its age, so that it wins in the end.
 */
import { dispositionOf, type HlcTimestamp, type Millis } from '../../platform/index.ts';
import { nameOf } from '../apply/index.ts';
import {
  ConflictError,
  type KeyIntent,
  type KeyView,
  type KvTransaction,
  NotOwnerError,
  type TransactionOptions,
  type TransactionStarter,
  TXN_ID_BYTES,
} from '../contract/index.ts';
import type { ReadPin } from '../time/index.ts';
import { type CommitOutcome, type CommitPlan, Coordinator, primaryOf } from './coordinator.ts';
import { pause, persist } from './coordinator-patience.ts';
import { checkFound, checkKeys, checkSize } from './coordinator-size.ts';
import {
  type CoordinatorParts,
  type GrantedTimestamp,
  RetryTooOldError,
  TransactionAbortedError,
  type TransactionLimits,
} from './coordinator-types.ts';
import { FoundKeys } from './found-keys.ts';
import { Grants } from './grants.ts';
import { Transaction } from './transaction.ts';
import { ReadValues, readKeys, readTogether } from './transaction-reads.ts';
import { BufferedView } from './transaction-view.ts';

/** Tries without locks before a read of several groups takes some. */
const MAX_LOCKLESS_READS = 3;
/** Rounds of reading: each brings the keys that the evaluation before has missed. A path through a tree is a round a level. */
const MAX_READ_ROUNDS = 256;

/** Most keys of earlier attempts that are read at once. */
const MAX_FOUND_KEYS = 1_000;

export interface RunRequest {
  /** Keys that it will probably read, so that they are read at once; others are read when they are met. */
  readonly keys: readonly Buffer[];
  /** It probably writes nothing, so its keys are read for an answer at once. */
  readonly isReadOnly?: boolean;
  /** It asks when keys were deleted that are not there. */
  readonly withAbsences?: boolean;
  /** Monotonic. */
  readonly deadlineMs: Millis;
  /** It is begun again until the deadline, however often it loses against others. */
  readonly isPersistent?: boolean;
  /** After so many attempts that lose against others it is given up; left out: after as many as the limits say. */
  readonly maxLosses?: number;
  /**
   * Makes it happen once however often it is run: 16 bytes, chosen by the caller. Then it is tried once and not begun again by
   * itself; a repetition must set `isRetry`, and finds what became of the first.
   */
  readonly txnId?: Buffer;
  /** The same `txnId` may have been run before, here or elsewhere, with the same `primary`. */
  readonly isRetry?: boolean;
}

/**
 * `commitTs` is undefined when nothing was written; `reply` is undefined when a retry has found that the transaction was
 * committed before. What the reply was made of lies at or below `seenTs`, deletes too.
 */
export interface RunResult<Reply> {
  readonly reply: Reply | undefined;
  readonly commitTs: HlcTimestamp | undefined;
  readonly seenTs: HlcTimestamp;
}

type Evaluated<Reply> =
  | { readonly kind: 'done'; readonly view: BufferedView; readonly reply: Reply | undefined; readonly error: unknown }
  | { readonly kind: 'missing'; readonly keys: readonly Buffer[] };

/** Age of a piece of work, and what it has tried. */
interface Work {
  readonly deadlineMs: Millis;
  granted: Promise<GrantedTimestamp> | undefined;
  ageTs: HlcTimestamp | undefined;
  /** Keeps groups from refusing its age, however often it is begun again. */
  pin: ReadPin | undefined;
  /** What earlier attempts and other work have found: it is read at once, so that there is less time for others to change it. */
  found: readonly Buffer[];
}

/** See the head of the file. One a node. */
export class TransactionRunner implements TransactionStarter {
  readonly coordinator: Coordinator;
  private readonly parts: CoordinatorParts;
  private readonly grants: Grants;
  private readonly limits: TransactionLimits;
  private readonly found = new FoundKeys();

  constructor(parts: CoordinatorParts) {
    this.grants = new Grants(parts.timestamps, parts.clock);
    this.parts = { ...parts, timestamps: this.grants };
    this.coordinator = new Coordinator(this.parts);
    this.limits = this.coordinator.limits;
  }

  /** Before anything is made of the keys that somebody wants to write. @throws TooLargeError when they are more than one transaction may have */
  checkKeys(count: number): void {
    checkKeys(count, this.limits);
  }

  /**
   * Runs `body` over a view of all keys, as if at one moment; several times if need be, so it must not have effects beside the view.
   * @throws what `body` throws; ConflictError when it lost too often; TransactionUnknownError when it may have happened;
   *   TooLargeError, LeaderUnavailableError and the like: nothing happened
   */
  async run<Reply>(request: RunRequest, body: (view: KeyView) => Reply): Promise<RunResult<Reply>> {
    const { deadlineMs } = request;
    if (request.isReadOnly !== true) checkKeys(request.keys.length, this.limits);
    const found = this.found.of(request.keys);
    const work: Work = { deadlineMs, granted: undefined, ageTs: undefined, pin: undefined, found };
    try {
      return await this.attempts(request, body, work);
    } finally {
      work.pin?.release();
    }
  }

  private async attempts<Reply>(
    request: RunRequest,
    body: (view: KeyView) => Reply,
    work: Work,
  ): Promise<RunResult<Reply>> {
    let lost = 0;
    for (let tries = 0; ; tries++) {
      const outcome = await this.attempt(request, body, work);
      if (!('reason' in outcome)) return outcome;
      const { reason } = outcome;
      if (reason === 'tooOld') throw new RetryTooOldError('the transaction began too long ago');
      if (request.txnId !== undefined) throw new TransactionAbortedError(`the transaction was rolled back: ${reason}`);
      if (reason !== 'moved') lost++;
      const isLost = lost >= (request.maxLosses ?? this.limits.maxAttempts) && request.isPersistent !== true;
      if (isLost || this.parts.clock.monotonicMs() >= request.deadlineMs) {
        throw new ConflictError(`the transaction lost against others ${lost} times (${reason})`);
      }
      // The age stays; a timestamp is drawn anew because deadlines and authority may have passed.
      work.granted = undefined;
      await pause(this.parts, Math.min(tries, 4));
    }
  }

  /** What became of an earlier `run` with this id. @param primary the smallest key that it wrote */
  statusOf(txnId: Buffer, primary: Buffer, startTs: HlcTimestamp, deadlineMs: Millis): Promise<CommitOutcome> {
    return this.coordinator.statusOf({ txnId, primary, startTs }, deadlineMs);
  }

  async begin({ isolation, deadlineMs, ageTs }: TransactionOptions): Promise<KvTransaction> {
    const grantedMs = this.parts.clock.monotonicMs();
    const drawn = isolation === 'snapshot' ? await this.parts.drawMoment(deadlineMs) : undefined;
    const granted = await persist(this.parts, deadlineMs, () => this.parts.timestamps.timestamp(drawn?.ts));
    const id = this.parts.random.bytes(TXN_ID_BYTES);
    const moment = drawn === undefined ? undefined : { ts: granted.ts, covered: drawn.covered };
    return new Transaction(this.parts, this.coordinator, { id, moment, granted, grantedMs, ageTs });
  }

  private async attempt<Reply>(
    request: RunRequest,
    body: (view: KeyView) => Reply,
    work: Work,
  ): Promise<RunResult<Reply> | Extract<CommitOutcome, { kind: 'refused' }>> {
    const { deadlineMs } = request;
    let values = new ReadValues();
    if (request.isReadOnly === true) {
      const together = await this.readLockless(distinct(request.keys), work);
      const evaluated = this.evaluate(together ?? values, body);
      if (together !== undefined && evaluated.kind === 'done' && evaluated.view.isReadOnly) {
        return answer(evaluated, undefined, together.seenTs);
      }
    }
    for (let round = 0; round < MAX_READ_ROUNDS; round++) {
      const evaluated = this.evaluate(values, body);
      if (evaluated.kind === 'missing') {
        const asked = [...request.keys, ...work.found, ...evaluated.keys];
        const wanted = distinct(asked.filter((key) => !values.has(nameOf(key))));
        if (work.found.length + wanted.length <= MAX_FOUND_KEYS) work.found = [...work.found, ...wanted];
        if (request.isReadOnly !== true) checkKeys(values.size + wanted.length, this.limits);
        checkFound(values.size + wanted.length - request.keys.length, this.limits);
        try {
          values.merge(await readKeys(this.parts, wanted, deadlineMs, { withAbsences: request.withAbsences }));
        } catch (error) {
          if (isPassing(error)) return { kind: 'refused', reason: error instanceof NotOwnerError ? 'moved' : 'locked' };
          throw error;
        }
        continue;
      }
      const { view } = evaluated;
      if (!view.isReadOnly) {
        this.found.note(request.keys, view.usedKeys());
        return this.commit(request, evaluated, work);
      }
      if (view.usedKeys().length === 0) return answer(evaluated, undefined, values.seenTs);
      const together = await this.readOnly(view, work);
      if (!(together instanceof ReadValues)) {
        return together.kind === 'committed' ? answer(evaluated, undefined, together.commitTs) : together;
      }
      const again = this.evaluate(together, body);
      if (again.kind === 'done' && again.view.isReadOnly) return answer(again, undefined, together.seenTs);
      // With these values it takes another way.
      values = together;
    }
    return { kind: 'refused', reason: 'changed' };
  }

  private evaluate<Reply>(values: ReadValues, body: (view: KeyView) => Reply): Evaluated<Reply> {
    const view = new BufferedView(this.parts.kv.nowTs(), values);
    let reply: Reply | undefined;
    let error: unknown;
    try {
      reply = body(view);
    } catch (thrown) {
      error = thrown;
    }
    if (view.missing !== undefined) return { kind: 'missing', keys: view.missing };
    // A function that fails leaves no effects.
    const kept = error === undefined || view.isReadOnly ? view : withoutWrites(view, values);
    return { kind: 'done', view: kept, reply, error };
  }

  /**
   * Values that were all true at one moment; `committed` when those that the view was evaluated over were, by locks on them; a
   * refusal when they were not.
   */
  private async readOnly(view: BufferedView, work: Work): Promise<ReadValues | CommitOutcome> {
    const values = await this.readLockless(view.neededKeys(), work);
    if (values !== undefined) return values;
    // More than may be locked is read again without locks.
    if (view.usedKeys().length > this.limits.maxKeys) return { kind: 'refused', reason: 'changed' };
    return this.coordinator.verify(await this.plan(view.intents(), work, undefined));
  }

  /** Values that were all true at one moment; undefined when that needs locks. */
  private async readLockless(keys: readonly Buffer[], work: Work): Promise<ReadValues | undefined> {
    for (let tries = 0; tries < MAX_LOCKLESS_READS; tries++) {
      try {
        const values = await readTogether(this.parts, keys, work.deadlineMs);
        if (values !== undefined) return values;
      } catch (error) {
        if (!isPassing(error)) throw error;
      }
    }
    return undefined;
  }

  private async commit<Reply>(
    request: RunRequest,
    evaluated: Extract<Evaluated<Reply>, { kind: 'done' }>,
    work: Work,
  ): Promise<RunResult<Reply> | Extract<CommitOutcome, { kind: 'refused' }>> {
    const intents = evaluated.view.intents();
    checkSize(intents, this.limits, this.parts);
    const plan = await this.plan(intents, work, request.txnId);
    if (request.isRetry === true) {
      const earlier = await this.coordinator.statusOf(plan.txn, request.deadlineMs);
      if (earlier.kind !== 'committed') return earlier;
      return { reply: undefined, commitTs: earlier.commitTs, seenTs: earlier.commitTs };
    }
    const outcome = await this.coordinator.commit(plan);
    return outcome.kind === 'committed' ? answer(evaluated, outcome.commitTs, outcome.commitTs) : outcome;
  }

  /** @param mayBeRecent it says how old the work is, and nothing is read at it; not after an attempt that may have failed by it */
  private grant(work: Work, mayBeRecent: boolean): Promise<GrantedTimestamp> {
    if (work.granted === undefined) {
      const recent = mayBeRecent ? this.grants.recent() : undefined;
      work.granted =
        recent === undefined
          ? persist(this.parts, work.deadlineMs, () => this.parts.timestamps.timestamp())
          : Promise.resolve(recent);
    }
    return work.granted;
  }

  private async plan(intents: readonly KeyIntent[], work: Work, txnId: Buffer | undefined): Promise<CommitPlan> {
    const isFirst = work.ageTs === undefined;
    const granted = await this.grant(work, isFirst);
    work.ageTs ??= granted.ts;
    work.pin ??= this.parts.pins?.hold(work.ageTs, 'transaction');
    work.pin?.renew();
    const primary = primaryOf(intents, []);
    return {
      txn: { txnId: txnId ?? this.parts.random.bytes(TXN_ID_BYTES), primary, startTs: work.ageTs },
      granted,
      intents,
      ranges: [],
      deadlineMs: work.deadlineMs,
      isContended: !isFirst,
    };
  }
}

/** The same reads without the writes. */
function withoutWrites(view: BufferedView, values: ReadValues): BufferedView {
  const reads = new BufferedView(view.ts, values);
  for (const key of view.usedKeys()) reads.get(key);
  return reads;
}

/** @throws what the function threw */
function answer<Reply>(
  evaluated: Extract<Evaluated<Reply>, { kind: 'done' }>,
  commitTs: HlcTimestamp | undefined,
  seenTs: HlcTimestamp,
): RunResult<Reply> {
  if (evaluated.error !== undefined) throw evaluated.error;
  return { reply: evaluated.reply, commitTs, seenTs };
}

/** True for errors of reads that another attempt may not meet. */
const isPassing = (error: unknown): boolean => error instanceof NotOwnerError || dispositionOf(error) === 'restart';

function distinct(keys: readonly Buffer[]): Buffer[] {
  return [...new Map(keys.map((key) => [nameOf(key), key])).values()];
}
