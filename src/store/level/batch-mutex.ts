/** A mutex around the database: one user at a time, and none any more once a batch has failed or a row was damaged. */
import { CorruptStoreError, StoreFailedError } from '../rows/index.ts';

/** Runs the users of one database one after another. */
export class BatchMutex {
  private readonly location: string;
  private readonly onFailure: ((error: Error) => void) | undefined;
  /** The end of the queue. */
  private last: Promise<void> = Promise.resolve();
  /** Undefined while the store is usable; else why it is not. */
  unusable: Error | undefined;

  constructor(location: string, onFailure: ((error: Error) => void) | undefined) {
    this.location = location;
    this.onFailure = onFailure;
  }

  assertUsable(): void {
    if (this.unusable !== undefined) throw this.unusable;
  }

  /** Runs after all earlier users. */
  run(work: () => Promise<void>): Promise<void> {
    const done = this.last.then(() => {
      this.assertUsable();
      return work();
    });
    this.last = done.catch(() => {});
    return done;
  }

  /** Settles when every user that runs or waits now is through. */
  idle(): Promise<void> {
    return this.last;
  }

  /** Nothing may become durable any more. @returns why the store is not usable */
  fail(cause: unknown): Error {
    if (this.unusable === undefined) {
      this.unusable = cause instanceof CorruptStoreError ? cause : new StoreFailedError(this.location, cause);
      this.onFailure?.(this.unusable);
    }
    return this.unusable;
  }
}
