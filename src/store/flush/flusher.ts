/**
 * The way of applied units to disk: they collect in one generation, which is frozen, written as one synced batch with the state
 * that it leads to, and dropped. At most one batch is under way. A disk that is full keeps the batch waiting: nothing of it
 * is lost, because it is still in memory and in the log; it is written when there is room, to a database that was opened anew,
 * since LevelDB does not say how much of a failed write lies in its files.
 */
import { type Cancel, isOutOfSpace, type LogIndex, type Millis, type Scheduler } from '../../platform/index.ts';
import type { GroupStoreOptions, StoreLimits } from '../contract/index.ts';
import type { BatchMutex, Level } from '../level/index.ts';
import { StoreClosedError, StoreFailedError, type SystemState } from '../rows/index.ts';
import { type BufferedVersion, Generation } from './apply-buffer.ts';
import { flushGeneration } from './flush.ts';

/** Keys told to the cache before the event loop gets its turn. */
const KEYS_PER_TURN = 2000;
/** Between looks whether a full disk has room again. */
const SPACE_LOOK_MS: Millis = 500;

/** What flushing needs of the store. */
export interface FlushHost {
  level(): Level;
  applied(): LogIndex;
  /** What a batch leads to that holds everything applied now. */
  state(): SystemState;
  /** A version is on disk. */
  flushed(name: string, newest: BufferedVersion): void;
  /** Closes the database and opens it again from what is really on disk. */
  reopen(): Promise<void>;
}

export interface FlusherOptions extends Pick<GroupStoreOptions, 'location' | 'hasSpace'> {
  readonly limits: StoreLimits;
  readonly scheduler: Scheduler;
  readonly mutex: BatchMutex;
}

/** See the top of the file. */
export class Flusher {
  private readonly options: FlusherOptions;
  private readonly host: FlushHost;
  /** Collects units. */
  active = new Generation();
  /** Is being written; undefined when nothing is. */
  flushing: Generation | undefined;
  /** Everything up to here survives a loss of power. */
  durable: LogIndex;
  /** The flush that takes what is applied now; undefined when none is waiting. */
  private nextFlush: Promise<void> | undefined;
  private cancelTimer: Cancel | undefined;
  /** Set while the disk is full. */
  private spaceWait: { readonly wake: () => void } | undefined;
  /** Why the disk is taken for full; undefined while it is not. */
  spaceProblem: unknown;
  /** Told as soon as something waits for room on the disk, and why. */
  onFull: ((problem: unknown) => void) | undefined;
  /** Settles when the database is open again, or is known to stay closed; undefined when it is open. */
  private reopening: PromiseWithResolvers<void> | undefined;
  private isStopped = false;

  constructor(options: FlusherOptions, durable: LogIndex, host: FlushHost) {
    this.options = options;
    this.durable = durable;
    this.host = host;
  }

  /** Applied and not yet durable. */
  get bufferedBytes(): number {
    return this.active.bytes + (this.flushing?.bytes ?? 0);
  }

  /** True while a batch waits for room on the disk. */
  get isOutOfSpace(): boolean {
    return this.spaceProblem !== undefined;
  }

  /** Something was applied: it is flushed when there is enough of it, or soon. */
  schedule(): void {
    const { limits, scheduler } = this.options;
    if (this.active.bytes >= limits.flushBytes) this.inBackground();
    else if (this.cancelTimer === undefined && this.nextFlush === undefined) {
      this.cancelTimer = scheduler.after(limits.flushIntervalMs, () => {
        this.cancelTimer = undefined;
        this.inBackground();
      });
    }
  }

  private inBackground(): void {
    // The failure is kept in the mutex and was reported through `onFailure`.
    this.start().catch(() => {});
  }

  /** See `GroupStore.pressure`. */
  pressure(): Promise<void> | undefined {
    if (this.reopening !== undefined) return this.reopening.promise;
    return this.bufferedBytes < this.options.limits.bufferBytes ? undefined : this.relieve();
  }

  private async relieve(): Promise<void> {
    const { limits, mutex } = this.options;
    while (this.bufferedBytes >= limits.bufferBytes) {
      if (this.flushing !== undefined && this.active.bytes < limits.bufferBytes) await mutex.idle();
      else await this.start();
      mutex.assertUsable();
    }
  }

  /** Makes everything applied so far durable. */
  async flush(): Promise<void> {
    this.options.mutex.assertUsable();
    if (this.durable === this.host.applied() && this.active.isEmpty && this.flushing === undefined) return;
    await this.start();
  }

  /** A flush of everything that is applied when its turn comes; callers before that share it. */
  private start(): Promise<void> {
    this.nextFlush ??= this.options.mutex.run(() => {
      this.nextFlush = undefined;
      return this.flushNow();
    });
    return this.nextFlush;
  }

  private readonly nextTurn = (): Promise<void> => new Promise((resolve) => this.options.scheduler.nextTurn(resolve));

  private async flushNow(): Promise<void> {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    const index = this.host.applied();
    if (this.active.isEmpty && this.durable === index) return;
    const generation = this.active;
    // From here to the first await nothing may be applied: generation, state row and index belong together.
    const state = this.host.state();
    this.flushing = generation;
    this.active = new Generation();
    await this.write(() => flushGeneration(this.host.level(), generation, state, this.nextTurn));
    this.durable = index;
    let left = KEYS_PER_TURN;
    for (const [name, { newest }] of generation.keys) {
      this.host.flushed(name, newest);
      if (--left > 0) continue;
      left = KEYS_PER_TURN;
      await this.nextTurn();
    }
    this.flushing = undefined;
  }

  /**
   * Only while the mutex is held: runs an atomic write until it is on disk; a full disk is waited for.
   * @throws StoreFailedError, CorruptStoreError
   */
  async write(step: () => Promise<void>): Promise<void> {
    const { mutex } = this.options;
    for (;;) {
      try {
        return await step();
      } catch (error) {
        if (!isOutOfSpace(error)) throw mutex.fail(error);
        await this.waitForSpace(error);
      }
    }
  }

  /**
   * Only while the mutex is held: the database is closed, and is opened again as soon as the disk has room for it.
   * @param before brings its folder to its place; called until it succeeds
   * @throws StoreFailedError, CorruptStoreError
   */
  async regain(before: () => Promise<void>): Promise<void> {
    const problem = await this.reopen(before);
    if (problem !== undefined) await this.waitForSpace(problem, before);
  }

  /** Settles when the disk has room and the database is open again. */
  private async waitForSpace(problem: unknown, before?: () => Promise<void>): Promise<void> {
    const { mutex, location } = this.options;
    for (let last = problem; last !== undefined; last = await this.reopen(before)) {
      await this.untilSpace(last);
      if (!this.isStopped) continue;
      // Nothing is lost: what is not durable here is in the log.
      mutex.unusable = new StoreFailedError(location, last);
      this.endReopening();
      throw mutex.unusable;
    }
  }

  /**
   * Until it succeeds nothing is applied (`pressure`), and reads are told to come again.
   * @returns why the disk has no room for it
   */
  private async reopen(before: () => Promise<void> = async () => {}): Promise<unknown> {
    const { mutex, location } = this.options;
    this.reopening ??= Promise.withResolvers();
    mutex.unusable = new StoreClosedError(location);
    try {
      await before();
      await this.host.reopen();
      mutex.unusable = undefined;
    } catch (error) {
      if (isOutOfSpace(error)) return error;
      mutex.unusable = undefined;
      this.endReopening();
      throw mutex.fail(error);
    }
    this.endReopening();
    return undefined;
  }

  private endReopening(): void {
    this.reopening?.resolve();
    this.reopening = undefined;
  }

  private async untilSpace(problem: unknown): Promise<void> {
    const { hasSpace = async () => true, scheduler } = this.options;
    this.spaceProblem = problem;
    this.onFull?.(problem);
    do {
      await new Promise<void>((resolve) => {
        const cancel = scheduler.after(SPACE_LOOK_MS, resolve);
        this.spaceWait = {
          wake: () => {
            cancel();
            resolve();
          },
        };
        if (this.isStopped) this.spaceWait.wake();
      });
    } while (!this.isStopped && !(await hasSpace()));
    this.spaceWait = undefined;
    this.spaceProblem = undefined;
  }

  /** Forgets what is in memory: a copy was installed in its place. */
  reset(durable: LogIndex): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    this.active = new Generation();
    this.durable = durable;
  }

  /**
   * A batch that changes nothing: behind it, the last one that does cannot be taken for a write that was cut off.
   * @param key that no row has
   */
  async seal(key: Buffer): Promise<void> {
    if (this.durable === 0) return;
    const change = (): Promise<void> => this.host.level().batch([{ type: 'del', key }], { sync: true });
    await this.options.mutex.run(() => this.write(change));
  }

  /** The store closes: nothing starts by itself any more, and a full disk is not waited for. */
  stop(): void {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    this.isStopped = true;
    this.spaceWait?.wake();
  }
}
