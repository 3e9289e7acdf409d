/** Operations that wait for room in flight or for a timestamp: those to be evaluated again go before those that never were. */
import type { Operation } from '../contract/index.ts';

/** When operations may leave the queue, and what becomes of them then. */
export interface QueueExits {
  /** Whether one that was evaluated before may be evaluated again. */
  mayRetry(): boolean;
  /** Whether the oldest of the others may be evaluated. */
  mayStart(): boolean;
  evaluate(operation: Operation<unknown>, tries: number): void;
}

/** What else the queue needs. */
export interface QueueOptions extends QueueExits {
  /** Completes one that has waited in vain. */
  refuse(operation: Operation<unknown>, error: Error): void;
}

/** See the top of the file. */
export class OperationQueue {
  private readonly exits: QueueOptions;
  /** Never evaluated, in call order, the oldest at `head`. */
  private waiting: Operation<unknown>[] = [];
  private head = 0;
  private retries: { readonly operation: Operation<unknown>; readonly tries: number }[] = [];
  /** How many of each source wait, of those that have one. */
  private readonly ofSource = new Map<object, number>();
  private isDraining = false;

  constructor(exits: QueueOptions) {
    this.exits = exits;
  }

  /** Operations that were never evaluated. */
  get waitingCount(): number {
    return this.waiting.length - this.head;
  }

  get size(): number {
    return this.waitingCount + this.retries.length;
  }

  add(operation: Operation<unknown>): void {
    this.waiting.push(operation);
    this.count(operation, 1);
  }

  /** Whether something waits that the source of an operation has asked for before. */
  holdsBefore({ source }: Operation<unknown>): boolean {
    return source !== undefined && this.ofSource.has(source);
  }

  private count({ source }: Operation<unknown>, change: 1 | -1): void {
    if (source === undefined) return;
    const count = (this.ofSource.get(source) ?? 0) + change;
    if (count > 0) this.ofSource.set(source, count);
    else this.ofSource.delete(source);
  }

  /** @param tries what the next evaluation counts as */
  addRetry(operation: Operation<unknown>, tries: number): void {
    this.retries.push({ operation, tries });
    this.count(operation, 1);
  }

  /** Evaluates what may be evaluated. What is added meanwhile waits for its place. */
  drain(): void {
    if (this.isDraining) return;
    this.isDraining = true;
    while (this.retries.length > 0 && this.exits.mayRetry()) {
      const { operation, tries } = this.retries.shift()!;
      this.count(operation, -1);
      this.exits.evaluate(operation, tries);
    }
    while (this.head < this.waiting.length && this.exits.mayStart()) {
      const operation = this.waiting[this.head++]!;
      this.count(operation, -1);
      this.exits.evaluate(operation, 1);
    }
    if (this.head === this.waiting.length) {
      this.waiting = [];
      this.head = 0;
    }
    this.isDraining = false;
  }

  /** Completes everything with `error`; what that adds stays. */
  refuseAll(error: Error): void {
    const { retries } = this;
    const waiting = this.waiting.slice(this.head);
    this.retries = [];
    this.waiting = [];
    this.head = 0;
    this.ofSource.clear();
    for (const { operation } of retries) this.exits.refuse(operation, error);
    for (const operation of waiting) this.exits.refuse(operation, error);
  }
}
