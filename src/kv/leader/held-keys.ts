/**
 * The keys that an operation which comes in parts has read and written, while others have their turns. Until the operation is proposed nobody else may
 * write one of them: then what it read in its first part is still so after the last, as if all of it had happened at that moment. From then
 * on, until it is applied, nobody may read or write what it writes: its writes are not in the overlay.
 */
import { Parked, type ParkedOptions } from './parked.ts';

const READ = 1;
const WRITTEN = 2;

/** What somebody else is about to do. */
export interface ForeignEffects {
  readonly writes: readonly { readonly name: string }[];
  readonly ranges: readonly unknown[];
  readonly readNames: readonly string[];
}

/** See the top of the file. */
export class HeldKeys {
  /** Those who wait until the keys are free. */
  readonly parked: Parked;
  private readonly uses = new Map<string, number>();
  private isProposed = false;

  constructor(options: ParkedOptions) {
    this.parked = new Parked(options);
  }

  /** @returns false when the operation has read the key before: it was the same */
  addRead(name: string): boolean {
    const use = this.uses.get(name) ?? 0;
    this.uses.set(name, use | READ);
    return (use & READ) === 0;
  }

  addWrite(name: string): void {
    this.uses.set(name, (this.uses.get(name) ?? 0) | WRITTEN);
  }

  /** The operation is in the log: what it has only read is free. */
  proposed(): void {
    this.isProposed = true;
  }

  /** Whether somebody else has to wait. A range is not compared with each key: it waits. */
  bars({ writes, ranges, readNames }: ForeignEffects): boolean {
    const { uses } = this;
    if (ranges.length > 0) return true;
    if (!this.isProposed) return writes.some(({ name }) => uses.has(name));
    const isWritten = (name: string): boolean => ((uses.get(name) ?? 0) & WRITTEN) !== 0;
    return writes.some(({ name }) => isWritten(name)) || readNames.some(isWritten);
  }
}
