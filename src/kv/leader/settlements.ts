/**
 * What becomes of the operations of an entry when its outcome is known: replies leave in the order in which a serial execution would give them, and what was
 * computed from something that did not come to pass is evaluated again, behind the entry.
 */
import { type NotLeaderError, OutcomeUnknownError } from '../../raftengine/index.ts';
import type { BatchResult } from '../apply/index.ts';
import { ConflictError, type Operation } from '../contract/index.ts';
import { complete } from './completion.ts';
import type { Unit } from './overlay.ts';
import type { PartedOperations } from './parted-operations.ts';
import type { ReadConfirmer } from './read-confirmer.ts';
import type { Sequencer } from './sequencer.ts';
import type { Overtaken } from './source-order.ts';
import { isStale, type Pending, type TurnEntry } from './turn-entry.ts';
import type { OperationWaits } from './waits.ts';

export interface SettlementsOptions {
  readonly waits: OperationWaits;
  readonly confirmer: ReadConfirmer;
  readonly sequencer: Sequencer;
  readonly overtaken: Overtaken;
  readonly parted: PartedOperations;
  readonly maxTries: number;
  readonly isServing: () => boolean;
  readonly notLeader: () => NotLeaderError;
  readonly evaluate: (operation: Operation<unknown>, tries: number) => void;
}

/** See the top of the file. */
export class Settlements {
  private readonly options: SettlementsOptions;
  private conflictCount = 0;

  constructor(options: SettlementsOptions) {
    this.options = options;
  }

  /** Evaluations since start that were in vain. */
  get conflicts(): number {
    return this.conflictCount;
  }

  /** An entry was applied. @param units by their numbers in it */
  applied(entry: TurnEntry, units: readonly Unit[], refusals: BatchResult): void {
    const { confirmer } = this.options;
    if (refusals !== undefined) for (const number of refusals.keys()) units[number]!.isConflicted = true;
    let stale: Set<Pending> | undefined;
    for (const pending of entry.pending) {
      const { unit, operation, error, reply } = pending;
      if ((refusals !== undefined || unit === undefined) && isStale(pending)) {
        stale ??= new Set();
        stale.add(pending);
      } else if (unit !== undefined) complete(operation, undefined, reply);
      else confirmer.confirm(operation, error, reply);
    }
    if (stale !== undefined) {
      const settled = entry.pending.filter((pending) => !stale.has(pending));
      this.retryAll(stale, settled);
      this.lookAgain(entry, (unit) => unit.root().isConflicted);
    }
    this.freed(entry);
  }

  /** Writers get the entry's error; those that only read may run again, because nothing of theirs was proposed. */
  abandoned(entry: TurnEntry, error: Error): void {
    const { waits, isServing } = this.options;
    entry.isAbandoned = true;
    const isCertain = !(error instanceof OutcomeUnknownError);
    const again: Pending[] = [];
    for (const pending of entry.pending) {
      const { operation, unit } = pending;
      // What waited goes on waiting when nothing of it has happened.
      if (unit === undefined || (isCertain && isServing() && waits.keys.knows(operation))) again.push(pending);
      else complete(operation, error, undefined);
    }
    this.retryAll(again, []);
    this.lookAgain(entry, () => true);
    this.freed(entry);
  }

  /** An operation begins again, because something has changed while it was evaluated. */
  repeated(): void {
    this.conflictCount++;
  }

  /** What the entry has kept from others is free. */
  private freed(entry: TurnEntry): void {
    const written = this.options.parted.settled(entry);
    if (written.length === 0) return;
    const { keys } = this.options.waits;
    keys.written(written, []);
    if (this.options.isServing() && keys.hasReady) keys.serve();
  }

  /** Those that waited for keys stand in line again before what woke them is evaluated. */
  private retryAll(stale: Iterable<Pending>, settled: readonly Pending[]): void {
    const { keys } = this.options.waits;
    keys.quietly(() => {
      const others = [...stale].filter(({ operation }) => !(this.options.isServing() && keys.putBack(operation)));
      for (const pending of others) this.retry(pending, settled);
    });
  }

  /** Somebody may have found nothing because of writes that did not come to pass. */
  private lookAgain(entry: TurnEntry, isLost: (unit: Unit) => boolean): void {
    const { keys } = this.options.waits;
    if (!this.options.isServing() || keys.size === 0) return;
    const writes = entry.writes.filter(({ unit }) => isLost(unit!));
    const ranges = entry.ranges.filter(({ unit }) => isLost(unit));
    keys.written(writes, ranges);
    if (keys.hasReady) keys.serve();
  }

  /**
   * Evaluates again what was computed from something that did not come to pass. Nothing of it happened.
   * @param settled what of the same entry took effect
   */
  private retry({ operation, tries }: Pending, settled: readonly Pending[]): void {
    const { isServing, maxTries, overtaken, sequencer, evaluate } = this.options;
    this.conflictCount++;
    if (!isServing()) this.refuse(operation, this.options.notLeader());
    else if (tries >= maxTries) {
      const message = `the operation lost ${tries} times against concurrent writes; nothing happened`;
      this.refuse(operation, new ConflictError(message));
    } else {
      overtaken.look(operation, settled, ...sequencer.underWay());
      evaluate(operation, tries + 1);
    }
  }

  private refuse(operation: Operation<unknown>, error: Error): void {
    complete(operation, error, undefined);
    this.options.waits.left(operation);
  }
}
