/**
 * Operations that name so much that no turn has time for them (`Operation.mayComeInParts`): each is evaluated some rows a turn, on a view of its own, then
 * encoded some rows a turn, and proposed as an entry of its own. One at a time is evaluated, because what it read and wrote lies in memory; those
 * before it may be in the log already.
 *
 * What it has touched is held (`HeldKeys`), so at its proposal everything is as it was read, apart from values that have expired since: then it begins again.
 * After `MOST_TRIES` it takes one turn like any other. Whether the keys are still the group's, and whatever is overlooked here, apply decides as ever.
 */
import type { HlcTimestamp, Millis, Scheduler } from '../../platform/index.ts';
import { BusyError } from '../../raftengine/index.ts';
import type { Operation } from '../contract/index.ts';
import { ABSENT, type BatchEncoder } from '../entry/index.ts';
import type { GroupClock } from '../time/index.ts';
import { complete } from './completion.ts';
import { type EvaluationBudget, namedBy } from './evaluation-budget.ts';
import type { ExecutorLimits } from './executor-options.ts';
import { type ForeignEffects, HeldKeys } from './held-keys.ts';
import { ENCODED_ROWS, PartedEntry, PartedEvaluation } from './parted-evaluation.ts';
import type { ReadConfirmer } from './read-confirmer.ts';
import type { Sequencer } from './sequencer.ts';
import { comesAfter } from './source-order.ts';
import type { SpanGate } from './span-gate.ts';
import { isStale, Pending, type Source, type TurnEntry } from './turn-entry.ts';
import type { CommandView } from './view.ts';
import type { OperationWaits } from './waits.ts';

/** Evaluations in parts of one operation. */
const MOST_TRIES = 3;
/** Operations that wait for the one that is evaluated; more are refused. */
const MAX_WAITING = 10_000;

export interface PartedOperationsOptions {
  readonly limits: Pick<ExecutorLimits, 'mostNamedAtOnce' | 'partRows' | 'partMs' | 'maxCommandBytes'>;
  readonly scheduler: Scheduler;
  /** Monotonic. */
  readonly nowMs: () => Millis;
  readonly clock: GroupClock;
  readonly gate: SpanGate;
  readonly sequencer: Sequencer;
  readonly waits: OperationWaits;
  readonly confirmer: ReadConfirmer;
  readonly newBudget: () => EvaluationBudget;
  readonly newView: (budget: EvaluationBudget) => CommandView;
  readonly readTimestamp: () => HlcTimestamp;
  /** Settles when everything in flight is applied and this node was the leader after the call. */
  readonly catchUp: () => Promise<void>;
  /** An operation begins again. */
  readonly onRepeated: () => void;
}

/** See the top of the file. */
export class PartedOperations {
  private readonly options: PartedOperationsOptions;
  private waiting: { readonly operation: Operation<unknown>; readonly tries: number }[] = [];
  /** An operation is being evaluated, or about to be. */
  private isBusy = false;
  private running: PartedEvaluation | undefined;
  /** Waits for room to be proposed. */
  private roomless: PartedEvaluation | undefined;
  /** Of the one that is evaluated, and of those that are in the log and not applied. */
  private readonly held = new Set<HeldKeys>();
  private freed: { readonly held: HeldKeys; readonly resolve: () => void }[] = [];

  constructor(options: PartedOperationsOptions) {
    this.options = options;
  }

  /** Whether an operation should come in parts. */
  takes(operation: Operation<unknown>, tries: number): boolean {
    if (operation.mayComeInParts !== true || tries > MOST_TRIES) return false;
    return operation.isWrite !== false && namedBy(operation) > this.options.limits.mostNamedAtOnce;
  }

  /** While it is 0 nobody has to wait for keys. */
  get heldCount(): number {
    return this.held.size;
  }

  /** @returns true when an operation that was evaluated has to wait for keys: it comes again by itself, or is refused */
  bars(operation: Operation<unknown>, tries: number, view: CommandView, isWriter: boolean): boolean {
    const held = this.barrier(isWriter ? view : { writes: [], ranges: [], readNames: view.readNames });
    if (held === undefined) return false;
    this.options.waits.order.waits(operation);
    held.parked.add(operation, tries, 'a large operation');
    return true;
  }

  private barrier(effects: ForeignEffects): HeldKeys | undefined {
    for (const held of this.held) if (held.bars(effects)) return held;
    return undefined;
  }

  /** Settles when nothing bars what a transaction is about to lock; where nothing does, in the same turn. */
  async settle(effects: ForeignEffects): Promise<void> {
    for (let held = this.barrier(effects); held !== undefined; held = this.barrier(effects)) {
      const awaited = held;
      await new Promise<void>((resolve) => this.freed.push({ held: awaited, resolve }));
    }
  }

  /** Takes an operation over. It is completed here, or comes to `waits`, or is evaluated whole. */
  start(operation: Operation<unknown>, tries: number): void {
    const { waits } = this.options;
    if (this.waiting.length >= MAX_WAITING) {
      complete(operation, new BusyError('too many large operations wait for the group; try again later'), undefined);
      waits.left(operation);
      return;
    }
    waits.order.waits(operation);
    this.waiting.push({ operation, tries });
    this.next();
  }

  private next(): void {
    if (this.isBusy || this.waiting.length === 0) return;
    this.isBusy = true;
    this.options.scheduler.nextTurn(() => this.begin());
  }

  private begin(): void {
    const { clock, sequencer, waits, gate, newView, newBudget, readTimestamp } = this.options;
    const first = this.waiting[0];
    if (first === undefined) {
      this.isBusy = false;
      return;
    }
    const opening = clock.opening();
    if (opening !== undefined) {
      const goOn = (): void => this.begin();
      // Without a clock nothing can be proposed: whoever waits is told when leadership ends, or by the next round.
      opening.then(goOn, (error: Error) => {
        this.failWaiting(error);
        goOn();
      });
      return;
    }
    this.waiting.shift();
    const { operation, tries } = first;
    if (comesAfter(operation, sequencer.underWay()) || !waits.order.isFirst(operation)) {
      this.isBusy = false;
      this.options.catchUp().then(
        () => waits.again(operation, tries),
        (error: Error) => {
          complete(operation, error, undefined);
          waits.left(operation);
        },
      );
      this.next();
      return;
    }
    const budget = newBudget();
    const view = newView(budget);
    view.begin(readTimestamp(), undefined);
    budget.begin(operation);
    const evaluation = new PartedEvaluation(operation, tries, this.newHeld(), view, budget, gate.revision);
    this.running = evaluation;
    this.evaluate(evaluation, operation.evaluateInParts!(view));
  }

  private newHeld(): HeldKeys {
    const { waits } = this.options;
    const held = new HeldKeys(waits.parking);
    this.held.add(held);
    return held;
  }

  /** Goes through steps for as long as a part may take. @returns undefined when there are more of them */
  private steps<Result>(steps: Generator<void, Result>, rows: () => number): { readonly value: Result } | undefined {
    const { limits, nowMs } = this.options;
    const untilMs = nowMs() + limits.partMs;
    const untilRows = rows() + limits.partRows;
    do {
      const { done, value } = steps.next();
      if (done === true) return { value };
    } while (rows() < untilRows && nowMs() < untilMs);
    return undefined;
  }

  /** One part. What it has touched is held when it ends, with no await in between. */
  private evaluate(evaluation: PartedEvaluation, parts: Generator<void, unknown>): void {
    const { waits, scheduler, limits } = this.options;
    const { operation, tries, view, budget, held } = evaluation;
    if (evaluation.isOver) return;
    budget.resume();
    let ended: { readonly value: unknown } | undefined;
    let error: Error | undefined;
    try {
      ended = this.steps(parts, () => budget.touchedRows);
    } catch (thrown) {
      error = thrown instanceof Error ? thrown : new Error(String(thrown));
    }
    error = budget.excess ?? error;
    const touched = evaluation.hold();
    if (view.refusal !== undefined) {
      this.drop(evaluation);
      waits.forRange(operation, tries, view.refusal);
      return;
    }
    if (view.lock !== undefined) {
      this.drop(evaluation);
      waits.forLock(operation, tries + 1, view.lock);
      return;
    }
    if (waits.coming.size > 0 && waits.coming.meets(touched)) {
      this.drop(evaluation);
      waits.forComing(operation, tries + 1);
      return;
    }
    for (const other of this.held) {
      if (other === held || !other.bars(touched)) continue;
      this.drop(evaluation);
      other.parked.add(operation, tries, 'a large operation');
      return;
    }
    if (view.ranges.length > 0) {
      // Nobody knows which keys a range has, so they cannot be held.
      this.drop(evaluation);
      waits.again(operation, MOST_TRIES + 1);
    } else if (error !== undefined) this.answer(evaluation, error, undefined);
    else if (ended === undefined) scheduler.nextTurn(() => this.evaluate(evaluation, parts));
    else if (view.writes.length === 0) this.answer(evaluation, undefined, ended.value);
    else {
      evaluation.reply = ended.value;
      const encoding = evaluation.encode(limits.maxCommandBytes);
      scheduler.nextTurn(() => this.encode(evaluation, encoding));
    }
  }

  private encode(evaluation: PartedEvaluation, encoding: Generator<void, BatchEncoder>): void {
    if (evaluation.isOver) return;
    let encoded: { readonly value: BatchEncoder } | undefined;
    let rows = 0;
    try {
      encoded = this.steps(encoding, () => (rows += ENCODED_ROWS));
    } catch (error) {
      this.drop(evaluation);
      this.end(evaluation, error as Error);
      return;
    }
    if (encoded === undefined) this.options.scheduler.nextTurn(() => this.encode(evaluation, encoding));
    else {
      evaluation.encoder = encoded.value;
      this.propose(evaluation);
    }
  }

  /** From the look at what may have changed to the proposal nothing awaits. */
  private propose(evaluation: PartedEvaluation): void {
    const { clock, sequencer } = this.options;
    const { view } = evaluation;
    if (evaluation.isOver) return;
    if (sequencer.isFull()) {
      this.roomless = evaluation;
      return;
    }
    // The keys may have come with timestamps that are ahead.
    if (view.floorTs !== ABSENT) clock.observe(view.floorTs);
    const opening = clock.opening();
    if (opening !== undefined) {
      opening.then(
        () => this.propose(evaluation),
        (error: Error) => {
          if (evaluation.isOver) return;
          this.drop(evaluation);
          this.end(evaluation, error);
        },
      );
      return;
    }
    const isProposed = sequencer.proposeWhole((commitTs, ordinal) => {
      if (evaluation.hasExpiredBy(commitTs)) return undefined;
      evaluation.held.proposed();
      return new PartedEntry(commitTs, ordinal, evaluation);
    });
    if (!isProposed) this.again(evaluation);
    else if (this.running === evaluation) this.leave(evaluation);
  }

  /** There may be room in the log. */
  room(): void {
    const { roomless } = this;
    this.roomless = undefined;
    if (roomless !== undefined) this.propose(roomless);
  }

  /** It has nothing to write: its answer waits like that of one that only reads. */
  private answer(evaluation: PartedEvaluation, error: Error | undefined, reply: unknown): void {
    const { sequencer, confirmer, waits, readTimestamp, clock } = this.options;
    const { operation, tries, view } = evaluation;
    const opening = clock.opening();
    if (opening !== undefined) {
      const goOn = (): void => {
        if (!evaluation.isOver) this.answer(evaluation, error, reply);
      };
      opening.then(goOn, (failure: Error) => {
        if (evaluation.isOver) return;
        this.drop(evaluation);
        this.end(evaluation, failure);
      });
      return;
    }
    const sources = view.dependencies as readonly Source[];
    const pending = new Pending(operation, tries, error, reply, sources);
    // No apply will look at what it has read.
    if (
      isStale(pending) ||
      this.options.gate.revision !== evaluation.revision ||
      evaluation.hasExpiredBy(readTimestamp())
    ) {
      this.again(evaluation);
      return;
    }
    // Before those who wait for the keys go on: they come after it.
    const { newest } = sequencer;
    if (newest === undefined) confirmer.confirm(operation, error, reply);
    else newest.pending.push(pending);
    this.drop(evaluation);
    waits.left(operation);
  }

  private again(evaluation: PartedEvaluation): void {
    this.drop(evaluation);
    this.options.onRepeated();
    this.options.waits.again(evaluation.operation, evaluation.tries + 1);
  }

  private end({ operation }: PartedEvaluation, error: Error): void {
    complete(operation, error, undefined);
    this.options.waits.left(operation);
  }

  /** Nothing of the evaluation counts any more. */
  private drop(evaluation: PartedEvaluation): void {
    evaluation.isOver = true;
    this.leave(evaluation);
    this.free(evaluation.held);
  }

  /** The next one may be evaluated. */
  private leave(evaluation: PartedEvaluation): void {
    if (this.running !== evaluation) return;
    this.running = undefined;
    this.roomless = undefined;
    this.isBusy = false;
    this.next();
  }

  private free(held: HeldKeys): void {
    this.held.delete(held);
    held.parked.release();
    const freed = this.freed.filter((one) => one.held === held);
    this.freed = this.freed.filter((one) => one.held !== held);
    for (const { resolve } of freed) resolve();
  }

  /**
   * An entry has its outcome, and the operations in it were told or are on their way again.
   * @returns the keys that it wrote, if it was applied and is one of these
   */
  settled(entry: TurnEntry): CommandView['writes'] {
    if (!(entry instanceof PartedEntry)) return [];
    const { evaluation } = entry;
    const isApplied = !entry.isAbandoned && !evaluation.unit.isConflicted;
    if (isApplied || entry.isAbandoned) this.options.waits.left(evaluation.operation);
    this.free(evaluation.held);
    return isApplied ? evaluation.view.writes : [];
  }

  private failWaiting(error: Error): void {
    const { waiting } = this;
    this.waiting = [];
    for (const { operation } of waiting) {
      complete(operation, error, undefined);
      this.options.waits.left(operation);
    }
  }

  /** Leadership is over. What was proposed was settled before. */
  failAll(error: Error): void {
    const { running } = this;
    if (running !== undefined) {
      running.isOver = true;
      this.running = undefined;
      this.roomless = undefined;
      this.isBusy = false;
      this.end(running, error);
    }
    this.failWaiting(error);
    for (const held of this.held) {
      held.parked.failAll(error);
      this.free(held);
    }
  }
}
