/**
 * Operations that wait for room in flight, for a timestamp or for a turn of the program: those to be evaluated again go before those that never were. Of the
 * latter, those that only read stand in a line of their own where nothing that their source has asked for stands in the other: a pipeline of thousands of
 * writes keeps its own client waiting and nobody's read. Neither line lets the other wait for more than a turn, and none of a source passes one that it
 * has asked for before.
 */
import type { Operation } from '../contract/index.ts';

/** When operations may leave the queue, and what becomes of them then. */
export interface QueueExits {
  /** Whether one that was evaluated before may be evaluated again. */
  mayRetry(): boolean;
  /** Whether the oldest of the others may be evaluated. @param isPassing it only reads, and passes those that write */
  mayStart(isPassing: boolean): boolean;
  evaluate(operation: Operation<unknown>, tries: number): void;
}

/** What else the queue needs. */
export interface QueueOptions extends QueueExits {
  /** Completes one that has waited in vain. */
  refuse(operation: Operation<unknown>, error: Error): void;
}

/** Operations that were never evaluated, in call order. */
class Line {
  readonly isPassing: boolean;
  private operations: Operation<unknown>[] = [];
  /** Where the oldest is. */
  private head = 0;

  constructor(isPassing: boolean) {
    this.isPassing = isPassing;
  }

  get length(): number {
    return this.operations.length - this.head;
  }

  push(operation: Operation<unknown>): void {
    this.operations.push(operation);
  }

  /** There must be one. */
  get oldest(): Operation<unknown> {
    return this.operations[this.head]!;
  }

  /** Takes the oldest. */
  take(): Operation<unknown> {
    const operation = this.oldest;
    this.head++;
    if (this.head === this.operations.length) {
      this.operations = [];
      this.head = 0;
    }
    return operation;
  }

  /** Takes all. */
  empty(): Operation<unknown>[] {
    const operations = this.operations.slice(this.head);
    this.operations = [];
    this.head = 0;
    return operations;
  }
}

/** How many operations each source has somewhere, of those that have a source. */
class SourceCounts {
  private readonly counts = new Map<object, number>();

  has({ source }: Operation<unknown>): boolean {
    return source !== undefined && this.counts.has(source);
  }

  add({ source }: Operation<unknown>): void {
    if (source !== undefined) this.counts.set(source, (this.counts.get(source) ?? 0) + 1);
  }

  remove({ source }: Operation<unknown>): void {
    if (source === undefined) return;
    const count = this.counts.get(source)! - 1;
    if (count > 0) this.counts.set(source, count);
    else this.counts.delete(source);
  }

  clear(): void {
    this.counts.clear();
  }
}

/** See the top of the file. */
export class OperationQueue {
  private readonly exits: QueueOptions;
  private readonly passing = new Line(true);
  private readonly waiting = new Line(false);
  private retries: { readonly operation: Operation<unknown>; readonly tries: number }[] = [];
  /** How many of each source wait, of those that have one and do not pass. */
  private readonly ofSource = new SourceCounts();
  /** And of those that pass. */
  private readonly passingOf = new SourceCounts();
  /** Those that pass have just had a turn, and others were left. */
  private isOthersTurn = false;
  private isDraining = false;

  constructor(exits: QueueOptions) {
    this.exits = exits;
  }

  /** Operations that were never evaluated. */
  get waitingCount(): number {
    return this.passing.length + this.waiting.length;
  }

  /** Those of them that pass. */
  get passingCount(): number {
    return this.passing.length;
  }

  get size(): number {
    return this.waitingCount + this.retries.length;
  }

  /** @param isPassing it only reads, and `holdsBefore` does not hold */
  add(operation: Operation<unknown>, isPassing: boolean): void {
    (isPassing ? this.passing : this.waiting).push(operation);
    (isPassing ? this.passingOf : this.ofSource).add(operation);
  }

  /** Whether something waits that the source of an operation has asked for before, and that it may not pass. */
  holdsBefore(operation: Operation<unknown>): boolean {
    return this.ofSource.has(operation);
  }

  /** @param tries what the next evaluation counts as */
  addRetry(operation: Operation<unknown>, tries: number): void {
    this.retries.push({ operation, tries });
    this.ofSource.add(operation);
  }

  /** Evaluates what may be evaluated. What is added meanwhile waits for its place. */
  drain(): void {
    if (this.isDraining) return;
    this.isDraining = true;
    while (this.retries.length > 0 && this.exits.mayRetry()) {
      const { operation, tries } = this.retries.shift()!;
      this.ofSource.remove(operation);
      this.exits.evaluate(operation, tries);
    }
    const [first, second] = this.isOthersTurn ? [this.waiting, this.passing] : [this.passing, this.waiting];
    const hadTurn = this.drainLine(first);
    this.drainLine(second);
    // What was behind some of the second line.
    this.drainLine(first);
    if (hadTurn) this.isOthersTurn = first.isPassing && second.length > 0;
    this.isDraining = false;
  }

  /** @returns whether something of the line was evaluated */
  private drainLine(line: Line): boolean {
    let count = 0;
    for (; line.length > 0 && this.exits.mayStart(line.isPassing); count++) {
      // Those that pass go first then.
      if (!line.isPassing && this.passingOf.has(line.oldest)) break;
      const operation = line.take();
      (line.isPassing ? this.passingOf : this.ofSource).remove(operation);
      this.exits.evaluate(operation, 1);
    }
    return count > 0;
  }

  /** Completes everything with `error`; what that adds stays. */
  refuseAll(error: Error): void {
    const { retries } = this;
    const others = [...this.passing.empty(), ...this.waiting.empty()];
    this.retries = [];
    this.ofSource.clear();
    this.passingOf.clear();
    for (const { operation } of retries) this.exits.refuse(operation, error);
    for (const operation of others) this.exits.refuse(operation, error);
  }
}
