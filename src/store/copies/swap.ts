/**
 * Replaces the database under an open store. Whatever writes is stopped first; then, under the mutex, one database is exchanged for
 * the other. Where that does not succeed the store goes on with what it had: nothing in memory was touched. A swap never waits
 * for room on a disk, because its replica serves nobody meanwhile: it fails, and may be tried again with another copy.
 */

import type { Flusher } from '../flush/index.ts';
import type { BatchMutex, Level } from '../level/index.ts';
import type { LoadedStore } from '../load/index.ts';
import { StoreClosedError } from '../rows/index.ts';

/** What became of an exchange. */
export type Exchanged =
  | { readonly kind: 'installed'; readonly level: Level; readonly loaded: LoadedStore }
  /** The old database is closed. `putBack` makes it live again; may be called until it succeeds. */
  | { readonly kind: 'undone'; readonly error: unknown; readonly putBack: () => Promise<void> };

/** What a swap needs of the store. */
export interface SwapHost {
  readonly location: string;
  readonly mutex: BatchMutex;
  readonly flusher: Flusher;
  level(): Level;
  isClosed(): boolean;
  /** Settles when nothing writes any more, and everything that was applied is on disk. */
  quiet(): Promise<void>;
  /** Lets everything write again that `quiet` has stopped. */
  resume(): void;
  /** Takes over a database, and what was read from it. */
  adopt(level: Level, loaded: LoadedStore): void;
}

/** The swaps of one store, one at a time. */
export class StoreSwap {
  private readonly host: SwapHost;
  /** Settles when nothing is under way; undefined while that is so. */
  private running: Promise<void> | undefined;

  constructor(host: SwapHost) {
    this.host = host;
  }

  /** Nothing may begin to write that `SwapHost.quiet` has stopped. */
  get isUnderWay(): boolean {
    return this.running !== undefined;
  }

  async idle(): Promise<void> {
    await this.running;
  }

  /**
   * Settles when the store shows the other database. When it rejects the store goes on with its own, as soon as the disk has
   * room for it, or has failed as a whole.
   */
  run(exchange: (live: Level) => Promise<Exchanged>): Promise<void> {
    return new Promise((resolve, reject) => {
      const { mutex, flusher, location } = this.host;
      mutex.assertUsable();
      if (this.isUnderWay || this.host.isClosed()) throw new StoreClosedError(location);
      if (flusher.spaceProblem !== undefined) throw flusher.spaceProblem;
      // A full disk is told at once; then there is still something to be put in order.
      const done = this.swap(exchange, reject).then(resolve, reject);
      this.running = done.finally(() => {
        this.running = undefined;
      });
    });
  }

  private async swap(exchange: (live: Level) => Promise<Exchanged>, giveUp: (error: unknown) => void): Promise<void> {
    const { host } = this;
    const { mutex, flusher, location } = host;
    let isGivenUp = false;
    let isInstalled = false;
    flusher.onFull = (error) => {
      isGivenUp = true;
      giveUp(error);
    };
    try {
      await host.quiet();
      await mutex.run(async () => {
        if (isGivenUp) throw new StoreClosedError(location);
        mutex.unusable = new StoreClosedError(location);
        const exchanged = await exchange(host.level());
        if (exchanged.kind === 'undone') {
          await flusher.regain(exchanged.putBack);
          throw exchanged.error;
        }
        isInstalled = true;
        mutex.unusable = undefined;
        host.adopt(exchanged.level, exchanged.loaded);
      });
    } finally {
      flusher.onFull = undefined;
      if (!isInstalled) host.resume();
    }
  }
}
