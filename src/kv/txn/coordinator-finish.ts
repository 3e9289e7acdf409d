/**
 * Ends the locks of a transaction whose status is decided, group by group, asking again until each has answered, following keys that
 * move. Nobody waits for it but a next attempt; what does not come to an end in time is left to the resolver.
 */
import type { GroupId, HlcTimestamp, Millis } from '../../platform/index.ts';
import { NotOwnerError, type RangeIntent, type TxnIdentity } from '../contract/index.ts';
import { besideOthers, divide, mayAskAgain, pause } from './coordinator-patience.ts';
import { type CoordinatorParts, LostLockError, type TransactionLimits } from './coordinator-types.ts';

/** Locks of a transaction in one group. */
export interface LockedPart {
  readonly group: GroupId;
  readonly writes: readonly Buffer[];
  readonly reads: readonly Buffer[];
  readonly ranges: readonly RangeIntent[];
}

/** Cleaning up takes so much longer with each part. */
const PART_MS: Millis = 50;

/** The groups of parts, each once, in the order of the parts. */
export const participantsOf = (parts: readonly LockedPart[]): GroupId[] => [
  ...new Set(parts.map(({ group }) => group)),
];

type Question = (part: LockedPart) => Promise<void>;

/** See the head of the file. */
export class Finisher {
  private readonly parts: CoordinatorParts;
  private readonly limits: TransactionLimits;
  private readonly underWay = new Set<Promise<void>>();

  constructor(parts: CoordinatorParts, limits: TransactionLimits) {
    this.parts = parts;
    this.limits = limits;
  }

  /** Does work that nobody waits for. Too much of it at a time is left to the resolver. */
  later(work: () => Promise<void>): void {
    if (this.underWay.size >= this.limits.maxCleanups) return;
    const done = this.watched(work());
    this.underWay.add(done);
    done.then(() => this.underWay.delete(done));
  }

  /** Settles when `work` has; what it failed with is reported. */
  watched(work: Promise<void>): Promise<void> {
    return work.catch((error: unknown) => this.parts.onError?.(error));
  }

  /** Settles when nothing is under way. */
  async idle(): Promise<void> {
    while (this.underWay.size > 0) await Promise.all(this.underWay);
  }

  /** Writes that are committed become visible and reads are released. @throws LostLockError: damage */
  async commit(txn: TxnIdentity, divided: readonly LockedPart[], commitTs: HlcTimestamp): Promise<void> {
    await this.each(divided, async (part) => {
      const { group, ...keys } = part;
      // The primary may be among them when the key moved: its record is there, so it is a secondary like the others.
      const reply = await this.parts.client.commit(group, {
        ...txn,
        ...keys,
        isPrimary: false,
        participants: [],
        commitTs,
      });
      if (reply.kind === 'committed') return;
      const id = txn.txnId.toString('hex');
      throw new LostLockError(`group ${group} answers ${reply.kind} to a commit of transaction ${id}`);
    });
  }

  /** Releases everything, the primary first: from then on the transaction is over wherever else it is still on its way. */
  async rollBack(txn: TxnIdentity, divided: readonly LockedPart[]): Promise<void> {
    const participants = participantsOf(divided);
    const abort: Question = async (part) => {
      const { group, ...keys } = part;
      const isPrimary = keys.writes.some((key) => key.equals(txn.primary));
      await this.parts.client.abort(group, { ...txn, ...keys, isPrimary, participants: isPrimary ? participants : [] });
    };
    await this.each(divided.slice(0, 1), abort);
    await this.each(divided.slice(1), abort);
  }

  /** Asks for each part until it is answered. @throws the first failure, when all have ended */
  private async each(divided: readonly LockedPart[], ask: Question): Promise<void> {
    const deadlineMs = this.parts.clock.monotonicMs() + this.limits.cleanupMs + divided.length * PART_MS;
    const failures = await besideOthers(divided, (part) =>
      this.until(part, ask, deadlineMs).then(
        () => undefined,
        (error: unknown) => ({ error }),
      ),
    );
    for (const failure of failures) if (failure !== undefined) throw failure.error;
  }

  private async until(part: LockedPart, ask: Question, deadlineMs: Millis): Promise<void> {
    for (let tries = 0; ; tries++) {
      let hint: GroupId | undefined;
      let isElsewhere = false;
      try {
        return await ask(part);
      } catch (error) {
        isElsewhere = error instanceof NotOwnerError;
        if (error instanceof NotOwnerError) hint = error.hint;
        if ((!isElsewhere && !mayAskAgain(error)) || this.parts.clock.monotonicMs() >= deadlineMs) throw error;
      }
      await pause(this.parts, tries);
      if (!isElsewhere) continue;
      const pieces = this.divideAgain(part, hint);
      if (pieces.length === 1 && pieces[0]!.group === part.group) continue;
      await Promise.all(pieces.map((piece) => this.until(piece, ask, deadlineMs)));
      return;
    }
  }

  /** The same locks by who has them now. A single key is looked for where the refusal says. */
  private divideAgain(part: LockedPart, hint: GroupId | undefined): LockedPart[] {
    const { kv } = this.parts;
    const isSingle = part.writes.length + part.reads.length + part.ranges.length === 1;
    const groupOf = (key: Buffer): GroupId => {
      const known = kv.groupOf(key);
      return isSingle && known === part.group && hint !== undefined ? hint : known;
    };
    const writes = divide(part.writes, (key) => key, groupOf);
    const reads = divide(part.reads, (key) => key, groupOf);
    const ranges = divide(part.ranges, ({ start }) => start, groupOf);
    const groups = new Set([...writes.keys(), ...reads.keys(), ...ranges.keys()]);
    return [...groups].map((group) => ({
      group,
      writes: writes.get(group) ?? [],
      reads: reads.get(group) ?? [],
      ranges: ranges.get(group) ?? [],
    }));
  }
}
