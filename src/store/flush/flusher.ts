/**
 * The way of applied units to disk: they collect in one generation, which is frozen, written as one synced batch with the state
 * that it leads to, and dropped. At most one batch is under way. Where the threshold of collection is close behind the present, a generation collects
 * for longer, and a frozen one waits until it has come by: what was overwritten by then is never written. A disk that is full keeps the batch waiting:
 * nothing of it is lost, because it is still in memory and in the log; it is written when there is room, to a database that was opened anew, since
 * LevelDB does not say how much of a failed write lies in its files. What the node's log does not hold yet is not written either: entries are applied
 * when a quorum has them, also before this node's own disk does.
 */
import {
  assert,
  type Cancel,
  type Clock,
  type HlcTimestamp,
  isOutOfSpace,
  type LogIndex,
  type Millis,
  NEVER,
  nextTurn,
  physicalMs,
  type Scheduler,
} from '../../platform/index.ts';
import type { GroupStoreOptions, StoreLimits } from '../contract/index.ts';
import type { BatchMutex, Level } from '../level/index.ts';
import { StoreClosedError, StoreFailedError, type SystemState } from '../rows/index.ts';
import { Generation, type KnownKey, type SeenFrom } from './apply-buffer.ts';
import { flushGeneration } from './flush.ts';
import { Slices } from './slices.ts';

/** What it costs to tell the cache of a key that was flushed, see `Slices`. */
const TOLD_COST = 512;
/** What is held back may fill so much of the buffer, and the newest rows of what collects meanwhile so much of a batch. */
const HELD_SHARE = 2 / 3;
const HELD_ROW_SHARE = 3 / 4;
/** A batch may come to so many times its usual size where the threshold has not come by: what was overwritten is part of it then. */
const UNPASSED_SHARE = 2;
/** What one generation may be of what a crash applies again, as a share of a batch. */
const APPLIED_SHARE = 3 / 2;
/** Between looks whether a full disk has room again. */
const SPACE_LOOK_MS: Millis = 500;

/** A generation that collects no more, and what its batch leads to. */
interface Frozen {
  readonly generation: Generation;
  readonly state: SystemState;
  readonly index: LogIndex;
}

/** What flushing needs of the store. */
export interface FlushHost {
  level(): Level;
  applied(): LogIndex;
  /** What a batch leads to that holds everything applied now. */
  state(): SystemState;
  /** Nobody reads below it, nor counts. */
  readableFrom(): HlcTimestamp;
  threshold(): HlcTimestamp;
  /** The largest timestamp applied. */
  maxCommitTs(): HlcTimestamp;
  /** What must be kept for scans under way, when nobody else reads below `readableFrom`. */
  seenFrom(readableFrom: HlcTimestamp): SeenFrom;
  /** Versions of so many bytes were overwritten and need not be written. */
  leftOut(bytes: number): void;
  /** A generation collects no more; what has to be part of it joins it now. */
  freezing(generation: Generation): void;
  /** A generation is on disk, with this key of it. */
  flushed(generation: Generation, known: KnownKey): void;
  /** Closes the database and opens it again from what is really on disk. */
  reopen(): Promise<void>;
}

export interface FlusherOptions extends Pick<GroupStoreOptions, 'location' | 'hasSpace' | 'mayLeaveOut'> {
  readonly limits: StoreLimits;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly mutex: BatchMutex;
}

/** See the top of the file. */
export class Flusher {
  private readonly options: FlusherOptions;
  private readonly host: FlushHost;
  /** Collects units. */
  active = new Generation();
  /** Waits to be written, or is being written; undefined when nothing does. */
  flushing: Generation | undefined;
  private frozen: Frozen | undefined;
  private isWriting = false;
  /** How many generations are on disk. */
  flushes = 0;
  private cancelGather: Cancel | undefined;
  /** What collects has been collected for `gatherMs`. */
  private hasGathered = false;
  private cancelHold: Cancel | undefined;
  /** The write of what is frozen; undefined when none is waiting. */
  private nextRelease: Promise<void> | undefined;
  /** Everything up to here survives a loss of power. */
  durable: LogIndex;
  /** The flush that takes what is applied now; undefined when none is waiting. */
  private nextFlush: Promise<void> | undefined;
  private cancelTimer: Cancel | undefined;
  /** Up to where the node's log holds what is applied; endless for a store without a log. */
  private logged: LogIndex = Number.POSITIVE_INFINITY;
  /** Set while what is frozen waits for the log. */
  private logWait: { readonly index: LogIndex; readonly wake: () => void } | undefined;
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

  /** What is not on disk, oldest last. */
  get generations(): readonly Generation[] {
    return this.flushing === undefined ? [this.active] : [this.active, this.flushing];
  }

  /** Applied and not yet durable. */
  get bufferedBytes(): number {
    return this.active.bytes + (this.flushing?.bytes ?? 0);
  }

  /** Rows of versions that were overwritten and wait: the threshold may come by before they are written. */
  get bufferedHistoryBytes(): number {
    return this.active.historyBytes + (this.flushing?.historyBytes ?? 0);
  }

  /** What the buffer has of the cache's memory. */
  get lentBytes(): number {
    const { bufferBytes, lentBytes } = this.options.limits;
    return Math.min(lentBytes, Math.max(0, this.bufferedBytes - (bufferBytes - lentBytes)));
  }

  /** The largest rows of a batch that the threshold has passed. */
  private get batchBytes(): number {
    const { bufferBytes, lentBytes } = this.options.limits;
    return bufferBytes - lentBytes;
  }

  /** The largest rows of any batch. */
  private get mostRowBytes(): number {
    return this.batchBytes * UNPASSED_SHARE;
  }

  /** True when what collects must not collect more. */
  private get isFull(): boolean {
    return this.active.bytes >= this.options.limits.bufferBytes || this.active.rowBytes >= this.mostRowBytes;
  }

  /** True while a batch waits for room on the disk. */
  get isOutOfSpace(): boolean {
    return this.spaceProblem !== undefined;
  }

  /** True while the node's log holds everything that is applied. */
  get isLogged(): boolean {
    return this.host.applied() <= this.logged;
  }

  /** The node's log holds everything up to `index`: so far it may be made durable. */
  logStable(index: LogIndex): void {
    this.logged = index;
    if (this.logWait !== undefined && index >= this.logWait.index) this.logWait.wake();
  }

  /** Something was applied: it is flushed when there is enough of it, or soon. */
  schedule(): void {
    const { limits, scheduler } = this.options;
    if (this.isPassed()) this.release();
    if (this.active.bytes >= limits.flushBytes) this.due();
    else if (this.cancelTimer === undefined && this.nextFlush === undefined) {
      this.cancelTimer = scheduler.after(limits.flushIntervalMs, () => {
        this.cancelTimer = undefined;
        this.due();
      });
    }
  }

  /** Of a key of `active` that is written often, versions that nobody can ask for do not wait for the flush that leaves them out. */
  trim(known: KnownKey): void {
    const { host } = this;
    host.leftOut(this.active.trim(known, host.seenFrom(host.readableFrom())));
  }

  /** What collects has been collected for long enough to be written where nothing is gained by waiting. */
  private due(): void {
    const { limits, scheduler } = this.options;
    if (!this.isNear()) this.inBackground();
    else if (this.flushing !== undefined) {
      if (this.isLarge(1)) this.release();
    } else if (this.hasGathered || limits.gatherMs === 0 || this.isLarge(1 / 2)) {
      this.freeze();
      if (this.isPassed()) this.release();
      else this.cancelHold = scheduler.after(limits.holdMs, () => this.release());
    } else {
      this.cancelGather ??= scheduler.after(limits.gatherMs, () => {
        this.cancelGather = undefined;
        this.hasGathered = true;
        this.due();
      });
    }
  }

  /** What waits takes all that it may. @param share of the memory */
  private isLarge(share: number): boolean {
    if (this.bufferedBytes >= this.options.limits.bufferBytes * HELD_SHARE * share) return true;
    const { newestBytes, appliedBytes } = this.active;
    return newestBytes >= this.batchBytes * HELD_ROW_SHARE || appliedBytes >= this.batchBytes * APPLIED_SHARE;
  }

  /** Whether versions may be left out by a threshold that came after them. */
  private get mayLeaveOut(): boolean {
    return this.options.mayLeaveOut?.() !== false;
  }

  /** Whether the threshold will soon have passed what is applied now. */
  private isNear(): boolean {
    if (!this.mayLeaveOut) return false;
    const threshold = this.host.threshold();
    const behindMs = physicalMs(this.host.maxCommitTs()) - physicalMs(threshold);
    return threshold !== NEVER && behindMs <= this.options.limits.holdMs;
  }

  /** True when the threshold has come by all that waits. */
  private isPassed(): boolean {
    const { frozen } = this;
    return frozen !== undefined && !this.isWriting && this.host.readableFrom() >= frozen.state.maxCommitTs;
  }

  /** From here to the end of the call nothing may be applied: generation, state row and index belong together. */
  private freeze(): void {
    const generation = this.active;
    this.host.freezing(generation);
    this.frozen = { generation, state: this.host.state(), index: this.host.applied() };
    this.flushing = generation;
    this.collectAnew();
  }

  private collectAnew(): void {
    this.active = new Generation();
    this.hasGathered = false;
    this.cancelGather?.();
    this.cancelGather = undefined;
  }

  /** Writes what waits. */
  private release(): void {
    if (this.frozen === undefined || this.isWriting) return;
    this.nextRelease ??= this.options.mutex.run(() => {
      this.nextRelease = undefined;
      return this.writeFrozen();
    });
    this.nextRelease.catch(() => {});
  }

  private inBackground(): void {
    // The failure is kept in the mutex and was reported through `onFailure`.
    this.start().catch(() => {});
  }

  /** See `GroupStore.pressure`. */
  pressure(): Promise<void> | undefined {
    if (this.reopening !== undefined) return this.reopening.promise;
    if (this.bufferedBytes < this.options.limits.bufferBytes && !this.isFull) return undefined;
    return this.relieve();
  }

  private async relieve(): Promise<void> {
    const { limits, mutex } = this.options;
    while (this.bufferedBytes >= limits.bufferBytes || this.isFull) {
      if (this.isWriting && !this.isFull) await mutex.idle();
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

  /** Lets the event loop go on. */
  readonly nextTurn = (): Promise<void> => nextTurn(this.options.scheduler);

  private async flushNow(): Promise<void> {
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    await this.writeFrozen();
    if (this.active.isEmpty && this.durable === this.host.applied()) return;
    if (this.frozen === undefined) this.freeze();
    await this.writeFrozen();
  }

  /** Only while the mutex is held. */
  private async writeFrozen(): Promise<void> {
    this.cancelHold?.();
    this.cancelHold = undefined;
    const { frozen } = this;
    if (frozen === undefined) return;
    const { generation, state, index } = frozen;
    // Until it is gone: one that is released while it is told to the cache would release the next one too.
    this.isWriting = true;
    try {
      if (index > this.logged) await this.untilLogged(index);
      await this.write(async () => {
        let readableFrom = this.host.readableFrom();
        if (readableFrom > state.gcThreshold && !this.mayLeaveOut) readableFrom = state.gcThreshold;
        const slices = new Slices(this.options.clock, this.nextTurn);
        this.host.leftOut(await flushGeneration(this.host.level(), generation, state, readableFrom, slices));
      });
      this.durable = index;
      this.flushes++;
      const slices = new Slices(this.options.clock, this.nextTurn);
      for (const known of generation.list) {
        this.host.flushed(generation, known);
        if (slices.isOver(TOLD_COST)) await slices.next();
      }
      this.flushing = undefined;
      this.frozen = undefined;
    } finally {
      this.isWriting = false;
    }
    if (!this.active.isEmpty) this.schedule();
  }

  /** Settles when the node's log holds everything up to `index`. @throws StoreClosedError when the store closes before that */
  private async untilLogged(index: LogIndex): Promise<void> {
    const { mutex, location } = this.options;
    if (!this.isStopped) {
      await new Promise<void>((wake) => {
        this.logWait = { index, wake };
      });
      this.logWait = undefined;
    }
    if (index <= this.logged) return;
    // The log has failed: what is applied is in those of a quorum.
    mutex.unusable = new StoreClosedError(location);
    throw mutex.unusable;
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
    assert(this.frozen === undefined, 'a copy is installed when everything was written');
    this.collectAnew();
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
    this.cancelGather?.();
    this.cancelGather = undefined;
    this.cancelHold?.();
    this.cancelHold = undefined;
    this.isStopped = true;
    this.logWait?.wake();
    this.spaceWait?.wake();
  }
}
