/** Operations that wait for one thing to be over, and are then evaluated again in the order in which they came. */
import { BusyError } from '../../raftengine/index.ts';
import type { Operation } from '../contract/index.ts';

/** Operations that wait for one thing; more are refused. */
const MAX_PARKED = 100_000;

export interface ParkedOptions {
  /** Evaluates an operation that has waited. */
  readonly again: (operation: Operation<unknown>, tries: number) => void;
  /** Completes one that cannot wait. */
  readonly refuse: (operation: Operation<unknown>, error: Error) => void;
}

/** See the top of the file. */
export class Parked {
  private readonly options: ParkedOptions;
  private waiting: { readonly operation: Operation<unknown>; readonly tries: number }[] = [];

  constructor(options: ParkedOptions) {
    this.options = options;
  }

  /** @param what it waits for, for the one that is refused because too many do */
  add(operation: Operation<unknown>, tries: number, what: string): void {
    if (this.waiting.length < MAX_PARKED) this.waiting.push({ operation, tries });
    else this.options.refuse(operation, new BusyError(`too many operations wait for ${what}; try again later`));
  }

  /** It is over. */
  release(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const { operation, tries } of waiting) this.options.again(operation, tries);
  }

  /** Leadership is over. */
  failAll(error: Error): void {
    const { waiting } = this;
    this.waiting = [];
    for (const { operation } of waiting) this.options.refuse(operation, error);
  }
}
