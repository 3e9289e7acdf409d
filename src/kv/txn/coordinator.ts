/**
 * Takes one attempt of a transaction from "this was read, that is to be written" to its status: in one entry when everything
 * is in one group, else in two phases (docs/design/data-plane/transactions.md). The primary is the smallest key that is written, whatever
 * group has it, so a repetition finds the record after any move.
 *
 * Up to the commit at the primary nothing that goes wrong is more than a lost attempt: nobody else commits on the
 * coordinator's behalf, so when it has not asked for the commit there will be none, and cleaning up may take its time.
 */
import { assertNever, type GroupId, type HlcTimestamp, type Millis } from '../../platform/index.ts';
import {
  type CommitReply,
  type KeyIntent,
  NotOwnerError,
  type PrepareReply,
  type PrepareRequest,
  type RangeIntent,
  type TxnIdentity,
} from '../contract/index.ts';
import { ContendedKeys } from './contended-keys.ts';
import { Finisher, type LockedPart, participantsOf } from './coordinator-finish.ts';
import { besideOthers, chunksOf, divide, mayAskAgain, pause, persist } from './coordinator-patience.ts';
import {
  type CoordinatorParts,
  DEFAULT_TRANSACTION_LIMITS,
  type GrantedTimestamp,
  type TransactionLimits,
  TransactionUnknownError,
} from './coordinator-types.ts';
import type { TxnWay } from './counters.ts';

/** A range that was read, and the snapshot that it was read from. */
export interface ReadRange extends RangeIntent {
  readonly readTs: HlcTimestamp;
}

/** One attempt. */
export interface CommitPlan {
  readonly txn: TxnIdentity;
  /** A timestamp that was granted to this attempt; `txn.startTs` may be that of an earlier one. */
  readonly granted: GrantedTimestamp;
  /** Each key once, at least the primary. */
  readonly intents: readonly KeyIntent[];
  readonly ranges: readonly ReadRange[];
  /** Until when to ask, monotonic. */
  readonly deadlineMs: Millis;
  /** An attempt of the same work has lost: nothing is locked before the primary is. */
  readonly isContended?: boolean;
}

/**
 * - `committed`: now, or by an earlier repetition of the same attempt.
 * - `refused`: nothing happened, and nothing will. `moved` and `locked` pass, `changed` wants fresh reads, `authority` a fresh
 *   timestamp; `rolledBack` means that others took the coordinator for dead.
 */
export type CommitOutcome =
  | { readonly kind: 'committed'; readonly commitTs: HlcTimestamp }
  | {
      readonly kind: 'refused';
      readonly reason: 'changed' | 'locked' | 'moved' | 'rolledBack' | 'tooOld' | 'authority';
    };

type Refusal = Extract<CommitOutcome, { kind: 'refused' }>;

/** The primary of what an attempt touches: its smallest write, or of one that only reads its smallest read. */
export function primaryOf(intents: readonly KeyIntent[], ranges: readonly RangeIntent[]): Buffer {
  const writes = intents.filter(({ kind }) => kind !== 'read');
  const candidates = writes.length > 0 ? writes : intents;
  let smallest: Buffer | undefined;
  for (const { key } of candidates) if (smallest === undefined || key.compare(smallest) < 0) smallest = key;
  return smallest ?? ranges[0]!.start;
}

/** What of an attempt goes to one group. */
interface Part extends LockedPart {
  readonly intents: readonly KeyIntent[];
  readonly ranges: readonly ReadRange[];
}

const refused = (reason: Refusal['reason']): Refusal => ({ kind: 'refused', reason });

function refusalOf(reply: Exclude<PrepareReply, { kind: 'prepared' | 'committed' }>): Refusal {
  switch (reply.kind) {
    case 'changed':
    case 'locked':
    case 'rolledBack':
    case 'tooOld':
      return refused(reply.kind);
    case 'wrongAuthority':
      return refused('authority');
    default:
      return assertNever(reply);
  }
}

/** See the head of the file. One a node; keeps nothing about transactions beyond what it is cleaning up. */
export class Coordinator {
  readonly limits: TransactionLimits;
  private readonly parts: CoordinatorParts;
  private readonly finisher: Finisher;
  private readonly contended: ContendedKeys;

  constructor(parts: CoordinatorParts) {
    this.parts = parts;
    this.limits = { ...DEFAULT_TRANSACTION_LIMITS, ...parts.limits };
    this.finisher = new Finisher(parts, this.limits);
    this.contended = new ContendedKeys(parts.clock);
  }

  /**
   * Runs an attempt to its end.
   * @throws TransactionUnknownError when it may have been committed and the deadline has passed; any other error: nothing
   *   happened, and nothing will
   */
  async commit(plan: CommitPlan): Promise<CommitOutcome> {
    const divided = this.divide(plan);
    if (divided.length === 1 && plan.ranges.length === 0) {
      return this.booked('onePhase', () => this.commitInOne(plan, divided[0]!));
    }
    return this.booked('twoPhase', () => this.withHeartbeat(plan, () => this.commitInTwo(plan, divided)));
  }

  private async booked(way: TxnWay, attempt: () => Promise<CommitOutcome>): Promise<CommitOutcome> {
    const { clock, counters } = this.parts;
    if (counters === undefined) return attempt();
    const startMs = clock.monotonicMs();
    try {
      const outcome = await attempt();
      counters.attempts[way][outcome.kind === 'committed' ? 'committed' : outcome.reason]++;
      return outcome;
    } catch (error) {
      counters.attempts[way][error instanceof TransactionUnknownError ? 'unknown' : 'failed']++;
      throw error;
    } finally {
      counters.attemptMs[way].observe(clock.monotonicMs() - startMs);
    }
  }

  /**
   * Locks everything that a plan without writes names, so that there is a moment at which all of it was true, and lets go.
   * @returns `committed` when there was such a moment, at a timestamp that all of it lies at or below, deletes too: the largest of the
   *   locks, each of which is above everything that its group had applied
   */
  verify(plan: CommitPlan): Promise<CommitOutcome> {
    return this.booked('readOnly', () => this.verifyLocked(plan));
  }

  private async verifyLocked(plan: CommitPlan): Promise<CommitOutcome> {
    const divided = this.divide(plan);
    const locked = await this.withHeartbeat(plan, () => this.lockAll(plan, divided));
    if ('kind' in locked) return locked;
    try {
      // No lock is ended by others unless the primary's was: when that one lives after the last was given, all were in force at once.
      return (await this.isAlive(plan)) ? { kind: 'committed', commitTs: locked.minCommitTs } : refused('rolledBack');
    } finally {
      this.finisher.later(() => this.finisher.rollBack(plan.txn, divided));
    }
  }

  /**
   * Asks for the status of an attempt at its primary; decides it when nobody else can any more.
   * @throws TransactionUnknownError when it is still open at the deadline, or was forgotten
   */
  async statusOf(txn: TxnIdentity, deadlineMs: Millis): Promise<CommitOutcome> {
    let cause: unknown;
    for (let tries = 0; ; tries++) {
      try {
        const status = await this.parts.client.status(this.parts.kv.groupOf(txn.primary), txn);
        if (status.kind === 'committed') return status;
        if (status.kind === 'rolledBack') return refused('rolledBack');
        if (status.kind === 'forgotten') throw new TransactionUnknownError(txn.txnId, txn.primary, undefined);
      } catch (error) {
        if (!mayAskAgain(error) && !(error instanceof NotOwnerError)) throw error;
        if (error instanceof TransactionUnknownError) throw error;
        cause = error;
      }
      if (this.parts.clock.monotonicMs() >= deadlineMs)
        throw new TransactionUnknownError(txn.txnId, txn.primary, cause);
      await pause(this.parts, tries);
    }
  }

  private async isAlive(plan: CommitPlan): Promise<boolean> {
    const { client, kv } = this.parts;
    const { primary } = plan.txn;
    try {
      const push = () => client.push(kv.groupOf(primary), plan.txn, this.limits.lockTtlMs);
      return (await persist(this.parts, plan.deadlineMs, push)).kind === 'pushed';
    } catch (error) {
      if (error instanceof NotOwnerError) return false;
      throw error;
    }
  }

  /** Settles when nothing is being cleaned up; for an orderly stop, and for tests. */
  idle(): Promise<void> {
    return this.finisher.idle();
  }

  /** Parts by group, cut where they are large; the primary's first. */
  private divide({ txn, intents, ranges }: CommitPlan): Part[] {
    const { kv } = this.parts;
    const byGroup = divide(
      intents,
      ({ key }) => key,
      (key) => kv.groupOf(key),
    );
    const rangesByGroup = divide(
      ranges,
      ({ start }) => start,
      (key) => kv.groupOf(key),
    );
    const primaryGroup = kv.groupOf(txn.primary);
    const groups = [...new Set([...byGroup.keys(), ...rangesByGroup.keys()])];
    groups.sort((a, b) => Number(b === primaryGroup) - Number(a === primaryGroup) || a - b);
    return groups.flatMap((group) => {
      const own = byGroup.get(group) ?? [];
      if (group === primaryGroup) putFirst(own, ({ key }) => key.equals(txn.primary));
      return chunksOf(own, ({ key, value }) => key.length + value.length).map((intents, nth) => ({
        group,
        intents,
        writes: intents.filter(({ kind }) => kind !== 'read').map(({ key }) => key),
        reads: intents.filter(({ kind }) => kind === 'read').map(({ key }) => key),
        ranges: nth === 0 ? (rangesByGroup.get(group) ?? []) : [],
      }));
    });
  }

  private requestFor(plan: CommitPlan, part: Part, participants: readonly GroupId[]): PrepareRequest {
    const { lockTtlMs } = this.limits;
    return { ...plan.txn, participants, authorityEpoch: plan.granted.epoch, lockTtlMs, keys: part.intents };
  }

  /** One entry. A lost answer is asked for again: the record has it, also after the keys have moved. */
  private async commitInOne(plan: CommitPlan, part: Part): Promise<CommitOutcome> {
    const request = this.requestFor(plan, part, [part.group]);
    let mayHaveHappened = false;
    const ask = () => this.parts.client.commitOnePhase(part.group, request);
    try {
      const reply = await persist(this.parts, plan.deadlineMs, ask, () => {
        mayHaveHappened = true;
      });
      if (reply.kind === 'prepared') return { kind: 'committed', commitTs: reply.minCommitTs };
      return reply.kind === 'committed' ? reply : refusalOf(reply);
    } catch (error) {
      const hasMoved = error instanceof NotOwnerError;
      if (!mayHaveHappened && !hasMoved) throw error;
      // The same question, late or doubled, would be the commit where the keys are now, or when they are back: that is ruled out.
      const status = await this.statusOf(plan.txn, plan.deadlineMs);
      return hasMoved && status.kind === 'refused' ? refused('moved') : status;
    }
  }

  private async commitInTwo(plan: CommitPlan, divided: readonly Part[]): Promise<CommitOutcome> {
    const locked = await this.lockAll(plan, divided);
    if ('kind' in locked) return locked;
    let commitTs: HlcTimestamp;
    try {
      // After the last lock, so that whoever reads at a later timestamp has met one of them.
      commitTs = (await this.drawAbove(locked.minCommitTs, plan.deadlineMs)).ts;
    } catch (error) {
      this.finisher.later(() => this.finisher.rollBack(plan.txn, divided));
      throw error;
    }
    return this.commitPrimary(plan, divided, commitTs);
  }

  private drawAbove(floor: HlcTimestamp, deadlineMs: Millis) {
    return persist(this.parts, deadlineMs, () => this.parts.timestamps.timestamp(floor));
  }

  /**
   * PREPARE everywhere. After a refusal the locks are gone, or will be.
   *
   * Whoever meets a lock while the primary has none is told that the transaction is rolled back, and it is: the record is written, and refuses
   * the PREPARE of the primary. So all groups may be asked side by side, and nothing but an attempt is at stake.
   */
  private async lockAll(
    plan: CommitPlan,
    divided: readonly Part[],
  ): Promise<CommitOutcome | { readonly minCommitTs: HlcTimestamp }> {
    const participants = participantsOf(divided);
    // What others want as well queues up at the primary instead of holding locks elsewhere for nothing, and of many pieces none is locked in vain.
    const isContended = plan.isContended === true || this.contended.has(plan.intents);
    const isInOrder = isContended || divided.length > participants.length;
    const asked: Part[] = [];
    let isLost = false;
    const ask = async (part: Part): Promise<PartAnswer | undefined> => {
      // One that cannot be locked is enough to begin again.
      if (isLost) return undefined;
      asked.push(part);
      const answer = await this.lockPart(plan, part, part === divided[0] ? participants : []);
      isLost ||= !answer.isLocked;
      return answer;
    };
    const first = isInOrder ? await ask(divided[0]!) : undefined;
    const rest = await besideOthers(isInOrder ? divided.slice(1) : divided, ask);
    const answers = [first, ...rest].filter((answer) => answer !== undefined);
    const failed = answers.find(({ isLocked }) => !isLocked);
    if (failed === undefined) return { minCommitTs: largestOf(answers) };
    // A repetition of what was committed: its locks are not touched.
    const earlier = answers.find(({ status }) => status !== undefined);
    if (earlier !== undefined) return earlier.status!;
    // Where everybody was refused there is no lock.
    if (answers.some(({ mayBeLocked }) => mayBeLocked)) {
      const rolledBack = this.finisher.rollBack(plan.txn, asked);
      // The next attempt would meet these locks.
      if (failed.error === undefined) await this.finisher.watched(rolledBack);
      else this.finisher.later(() => rolledBack);
    }
    if (failed.error !== undefined) throw failed.error;
    return failed.refusal ?? refused('rolledBack');
  }

  /** Never throws: what the others have locked must be known before anything else happens. */
  private async lockPart(plan: CommitPlan, part: Part, participants: readonly GroupId[]): Promise<PartAnswer> {
    let mayBeLocked = false;
    let minCommitTs: HlcTimestamp | undefined;
    const onUnknown = () => {
      mayBeLocked = true;
    };
    const asks: (() => Promise<PrepareReply>)[] = [];
    const { client } = this.parts;
    if (part.intents.length > 0) {
      asks.push(() => client.prepare(part.group, this.requestFor(plan, part, participants)));
    }
    for (const { start, end, readTs } of part.ranges) {
      const range = { ...plan.txn, start, end, readTs, authorityEpoch: plan.granted.epoch };
      asks.push(() => client.lockRange(part.group, { ...range, lockTtlMs: this.limits.lockTtlMs }));
    }
    try {
      for (const ask of asks) {
        const reply = await persist(this.parts, plan.deadlineMs, ask, onUnknown);
        if (reply.kind === 'committed') return { isLocked: false, mayBeLocked: false, status: reply };
        if (reply.kind !== 'prepared') {
          // A range that has changed is locked all the same.
          mayBeLocked ||= minCommitTs !== undefined || part.intents.length === 0;
          if (reply.kind === 'locked') this.contended.note(reply.lock.key);
          return { isLocked: false, mayBeLocked, refusal: refusalOf(reply) };
        }
        if (minCommitTs === undefined || reply.minCommitTs > minCommitTs) minCommitTs = reply.minCommitTs;
      }
      return { isLocked: true, mayBeLocked: true, minCommitTs };
    } catch (error) {
      if (error instanceof NotOwnerError) return { isLocked: false, mayBeLocked: true, refusal: refused('moved') };
      return { isLocked: false, mayBeLocked: true, error };
    }
  }

  /** The commit point. From the first question on only the primary knows. */
  private async commitPrimary(
    plan: CommitPlan,
    divided: readonly Part[],
    firstTs: HlcTimestamp,
  ): Promise<CommitOutcome> {
    const { client, kv, clock } = this.parts;
    const { txn } = plan;
    const participants = participantsOf(divided);
    const [primary, ...others] = divided;
    let part: LockedPart = primary!;
    let commitTs = firstTs;
    for (let tries = 0; ; tries++) {
      let reply: CommitReply | undefined;
      let failure: unknown;
      try {
        const { group, ...keys } = part;
        reply = await client.commit(group, { ...txn, ...keys, isPrimary: true, participants, commitTs });
      } catch (error) {
        failure = error;
        if (error instanceof NotOwnerError) {
          // The lock went where the key went. The other keys of the group may have gone elsewhere: they are secondaries now.
          const isKnown = kv.groupOf(txn.primary) !== part.group;
          const group = isKnown || error.hint === undefined ? kv.groupOf(txn.primary) : error.hint;
          part = { group, writes: [txn.primary], reads: [], ranges: [] };
        } else if (!mayAskAgain(error)) throw new TransactionUnknownError(txn.txnId, txn.primary, error);
      }
      switch (reply?.kind) {
        case 'committed': {
          const rest = part === primary ? others : divided;
          const { commitTs: decidedTs } = reply;
          if (rest.length === 0) return reply;
          const following = () => this.finisher.commit(txn, rest, decidedTs);
          // Of a large one so many locks are left that whoever comes next would meet them for seconds.
          if (divided.length > participants.length) await this.finisher.watched(following());
          else this.finisher.later(following);
          return reply;
        }
        case 'rolledBack':
          this.finisher.later(() => this.finisher.rollBack(txn, divided));
          return refused('rolledBack');
        case 'tsTooLow':
          try {
            commitTs = (await this.drawAbove(reply.minCommitTs, plan.deadlineMs)).ts;
          } catch (error) {
            throw new TransactionUnknownError(txn.txnId, txn.primary, error);
          }
          break;
        case 'notFound':
          throw new TransactionUnknownError(txn.txnId, txn.primary, new Error('the primary has no trace of it'));
        case undefined:
          if (clock.monotonicMs() >= plan.deadlineMs) {
            throw new TransactionUnknownError(txn.txnId, txn.primary, failure);
          }
          await pause(this.parts, tries);
          break;
        default:
          assertNever(reply!);
      }
    }
  }

  /** Pushes the primary's lock on while `work` lasts. */
  private async withHeartbeat<T>(plan: CommitPlan, work: () => Promise<T>): Promise<T> {
    const { client, kv, scheduler } = this.parts;
    const periodMs = this.limits.lockTtlMs / 3;
    const beat = (): void => {
      cancel = scheduler.after(periodMs, beat);
      // One that fails is followed by others; what the transaction has become is found out by its commit.
      client.push(kv.groupOf(plan.txn.primary), plan.txn, this.limits.lockTtlMs).catch(() => undefined);
    };
    let cancel = scheduler.after(periodMs, beat);
    try {
      return await work();
    } finally {
      cancel();
    }
  }
}

/** Moves the item that is wanted to the front. */
function putFirst<T>(items: T[], isWanted: (item: T) => boolean): void {
  const at = items.findIndex(isWanted);
  if (at > 0) items.unshift(...items.splice(at, 1));
}

/** What became of the question for one part's locks. */
interface PartAnswer {
  readonly isLocked: boolean;
  /** There may be a lock, or one may still come. */
  readonly mayBeLocked: boolean;
  readonly minCommitTs?: HlcTimestamp | undefined;
  readonly refusal?: Refusal;
  /** The transaction is over already. */
  readonly status?: Extract<CommitOutcome, { kind: 'committed' }>;
  readonly error?: unknown;
}

/** The largest moment at which a lock came into force. */
function largestOf(answers: readonly PartAnswer[]): HlcTimestamp {
  let largest = answers[0]!.minCommitTs!;
  for (const { minCommitTs } of answers) if (minCommitTs! > largest) largest = minCommitTs!;
  return largest;
}
