/**
 * Ends locks whose coordinator is gone, or slow: asks the primary's group for the status, outside of apply, and has the group that
 * holds the lock carry it out. It never decides anything: a transaction that may still be committed is left alone.
 *
 * Locks come from those who are stopped by them (`onLockMet`), and from a look through the lock tables of the groups that
 * are led here, every second, at those whose deadline has passed. Each node looks after its own groups, so the work is
 * divided as leaders are.
 */
import {
  type Cancel,
  type Clock,
  type ErrorDisposition,
  type GroupId,
  KvorumError,
  type Millis,
  type Random,
  type Scheduler,
} from '../../platform/index.ts';
import {
  type KvService,
  type LockFacts,
  NotOwnerError,
  type TxnClient,
  type TxnGroup,
  type TxnStatus,
  type Verdict,
} from '../contract/index.ts';
import { mayAskAgain, pause } from './coordinator-patience.ts';
import type { TxnCounters } from './counters.ts';
import { TxnStatusCache } from './status-cache.ts';

export interface ResolverLimits {
  readonly periodMs: Millis;
  /** Locks that are looked at, or ended, at a time in one group. */
  readonly batch: number;
  /** Questions for statuses under way. */
  readonly concurrency: number;
  /** Locks that wait for a question; more are left to the next look. */
  readonly maxQueue: number;
  /** How long one question is repeated. */
  readonly patienceMs: Millis;
  /** When to ask again about a transaction that was still open, and how often: who waits for its lock gives up after 1 s. */
  readonly openPauseMs: Millis;
  readonly maxOpenAnswers: number;
}

export const DEFAULT_RESOLVER_LIMITS: ResolverLimits = {
  periodMs: 1_000,
  batch: 100,
  concurrency: 16,
  maxQueue: 4_096,
  patienceMs: 3_000,
  openPauseMs: 200,
  maxOpenAnswers: 5,
};

/** A group that this node leads. */
export interface LedGroup {
  readonly group: GroupId;
  readonly txns: Pick<TxnGroup, 'expiredLocks' | 'resolve'>;
}

export interface ResolverParts {
  readonly client: Pick<TxnClient, 'status'>;
  readonly kv: Pick<KvService, 'groupOf'>;
  /** Groups that are led here at the moment. */
  readonly led: () => Iterable<LedGroup>;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly limits?: Partial<ResolverLimits>;
  /** Where questions are booked. */
  readonly counters?: TxnCounters;
  /** Hears of locks whose transaction is forgotten, and of what failed and will be tried again. */
  readonly onError?: (error: unknown) => void;
}

/** A lock was found whose transaction has no record any more though it may have had one: somebody has to look. */
export class ForgottenStatusError extends KvorumError {
  readonly code = 'FORGOTTEN_FATE';
  readonly disposition: ErrorDisposition = 'final';
}

interface Asked {
  readonly lock: LockFacts;
  readonly group: GroupId;
}

/** Locks that wait for the status of one transaction. */
interface Wanted {
  readonly locks: Asked[];
  /** How often it was still open. */
  openAnswers: number;
}

/** See the head of the file. One a node. */
export class LockResolver {
  private readonly parts: ResolverParts;
  private readonly limits: ResolverLimits;
  private readonly statuses = new TxnStatusCache();
  /** Locks by the transaction whose status is wanted; those under way first. */
  private readonly wanted = new Map<string, Wanted>();
  private readonly queue: string[] = [];
  private asking = 0;
  /** Verdicts that wait for the end of the turn. */
  private readonly verdicts = new Map<GroupId, Verdict[]>();
  private isFlushScheduled = false;
  private cancel: Cancel | undefined;

  constructor(parts: ResolverParts) {
    this.parts = parts;
    this.limits = { ...DEFAULT_RESOLVER_LIMITS, ...parts.limits };
  }

  /** Begins to look through the lock tables. */
  start(): void {
    this.cancel ??= this.parts.scheduler.after(this.limits.periodMs, () => this.look());
  }

  stop(): void {
    this.cancel?.();
    this.cancel = undefined;
    for (const name of this.queue.splice(0)) this.wanted.delete(name);
  }

  /** Somebody waits for a lock of a group that is led here. Cheap to call again and again. */
  onLockMet(group: GroupId, lock: LockFacts): void {
    const status = this.statuses.get(lock.txnId);
    if (status !== undefined) {
      this.carryOut({ group, lock }, status);
      return;
    }
    const name = lock.txnId.toString('latin1');
    const others = this.wanted.get(name)?.locks;
    if (others !== undefined) {
      const isKnown = others.some((one) => one.group === group && one.lock.key.equals(lock.key));
      if (!isKnown && others.length < this.limits.maxQueue) others.push({ group, lock });
      return;
    }
    if (this.queue.length >= this.limits.maxQueue) return;
    this.wanted.set(name, { locks: [{ group, lock }], openAnswers: 0 });
    this.queue.push(name);
    this.askNext();
  }

  private look(): void {
    this.cancel = undefined;
    for (const { group, txns } of this.parts.led()) {
      for (const lock of txns.expiredLocks(this.limits.batch)) this.onLockMet(group, lock);
    }
    this.start();
  }

  private askNext(): void {
    while (this.asking < this.limits.concurrency) {
      const name = this.queue.shift();
      if (name === undefined) return;
      const wanted = this.wanted.get(name)!;
      this.asking++;
      if (this.parts.counters !== undefined) this.parts.counters.resolverQuestions++;
      this.ask(wanted.locks[0]!.lock)
        .then(
          (status) => this.answered(name, wanted, status),
          (error: unknown) => {
            if (this.parts.counters !== undefined) this.parts.counters.resolverFailures++;
            this.wanted.delete(name);
            this.parts.onError?.(error);
          },
        )
        .finally(() => {
          this.asking--;
          this.askNext();
        });
    }
  }

  private answered(name: string, wanted: Wanted, status: TxnStatus | undefined): void {
    const { counters } = this.parts;
    if (counters !== undefined) counters[status === undefined ? 'resolverOpen' : 'resolverDecided']++;
    if (status === undefined && ++wanted.openAnswers < this.limits.maxOpenAnswers) {
      this.parts.scheduler.after(this.limits.openPauseMs, () => {
        this.queue.push(name);
        this.askNext();
      });
      return;
    }
    this.wanted.delete(name);
    if (status === undefined) return;
    for (const asked of wanted.locks) {
      this.statuses.set(asked.lock.txnId, status);
      this.carryOut(asked, status);
    }
  }

  /** The status of a lock's transaction; undefined while it may still be decided. */
  private async ask(lock: LockFacts): Promise<TxnStatus | undefined> {
    const { client, kv, clock } = this.parts;
    const { txnId, primary, startTs } = lock;
    const deadlineMs = clock.monotonicMs() + this.limits.patienceMs;
    let hint: GroupId | undefined;
    for (let tries = 0; ; tries++) {
      try {
        const status = await client.status(hint ?? kv.groupOf(primary), { txnId, primary, startTs });
        if (status.kind === 'pending') return undefined;
        if (status.kind !== 'forgotten') return status;
        throw new ForgottenStatusError(`transaction ${txnId.toString('hex')} has a lock and its record is gone`);
      } catch (error) {
        const isMoved = error instanceof NotOwnerError;
        if ((!isMoved && !mayAskAgain(error)) || clock.monotonicMs() >= deadlineMs) throw error;
        hint = isMoved && hint === undefined ? error.hint : undefined;
      }
      await pause(this.parts, tries);
    }
  }

  private carryOut({ group, lock }: Asked, status: TxnStatus): void {
    const verdict: Verdict = { txnId: lock.txnId, key: lock.key, end: lock.end, status };
    const others = this.verdicts.get(group);
    if (others === undefined) this.verdicts.set(group, [verdict]);
    else others.push(verdict);
    if (this.isFlushScheduled) return;
    this.isFlushScheduled = true;
    this.parts.scheduler.endOfTurn(() => this.flush());
  }

  /** Verdicts of a turn share entries. A group that is not led here any more is its next leader's to look after. */
  private flush(): void {
    this.isFlushScheduled = false;
    const byGroup = new Map(this.verdicts);
    this.verdicts.clear();
    for (const { group, txns } of this.parts.led()) {
      const verdicts = byGroup.get(group) ?? [];
      for (let at = 0; at < verdicts.length; at += this.limits.batch) {
        txns.resolve(verdicts.slice(at, at + this.limits.batch)).catch((error: unknown) => this.parts.onError?.(error));
      }
    }
  }
}
