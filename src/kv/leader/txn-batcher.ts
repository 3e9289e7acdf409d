/**
 * What transactions ask of a group's log, in batches: everything that came while an entry of theirs was on its way goes into
 * one more. What an entry costs (a frame and an acknowledgement a follower, a write of the log, the unit of the store) is
 * then shared by many transactions, and grows with the load no further than the time between two commits allows.
 *
 * The parts of an entry are applied one after the other against the state before it, so no two of them may touch one key.
 */
import type { HlcTimestamp, Scheduler } from '../../platform/index.ts';
import { BusyError } from '../../raftengine/index.ts';
import { type EntryResult, nameOf, type TxnAnswer } from '../apply/index.ts';
import { encodeTogether } from '../entry/index.ts';

/** Entries on their way before others are batched. */
const MAX_INFLIGHT = 1;
/** Parts of one entry: what one turn of the event loop may well spend on. */
const MAX_PARTS = 512;
/** Bytes after which an entry is closed. */
const MAX_BYTES = 1024 * 1024;
/** Parts that may wait; more are refused with BusyError. */
const MAX_WAITING = 20_000;

/** What one transaction wants to have in the log. */
export interface TxnPart {
  /** Every key whose versions or rows it may read or change; undefined when that is not known, and it goes alone. */
  readonly keys: readonly Buffer[] | undefined;
  /** About how long it will be. */
  readonly bytes: number;
  /** False for what may wait until there is room in the log. */
  readonly isUrgent: boolean;
  /** @param ts the entry's own timestamp */
  build(ts: HlcTimestamp): Buffer;
}

export interface TxnBatcherOptions {
  readonly scheduler: Scheduler;
  readonly propose: (build: (ts: HlcTimestamp) => Buffer, isUrgent: boolean) => Promise<EntryResult>;
}

interface Waiting {
  readonly part: TxnPart;
  readonly resolve: (answer: TxnAnswer) => void;
  readonly reject: (error: Error) => void;
}

/** See the top of the file. */
export class TxnBatcher {
  private readonly options: TxnBatcherOptions;
  /** In call order. */
  private waiting: Waiting[] = [];
  private inflight = 0;
  private isFlushScheduled = false;

  constructor(options: TxnBatcherOptions) {
    this.options = options;
  }

  /**
   * Has a part proposed behind everything that was evaluated before.
   * @throws NotLeaderError, BusyError: nothing happened; OutcomeUnknownError
   */
  add(part: TxnPart): Promise<TxnAnswer> {
    if (this.waiting.length >= MAX_WAITING && !part.isUrgent) {
      return Promise.reject(new BusyError('too many transactions wait for the group; try again later'));
    }
    return new Promise((resolve, reject) => {
      this.waiting.push({ part, resolve, reject });
      this.scheduleFlush();
    });
  }

  private scheduleFlush(): void {
    if (this.isFlushScheduled || this.inflight >= MAX_INFLIGHT || this.waiting.length === 0) return;
    this.isFlushScheduled = true;
    this.options.scheduler.endOfTurn(() => {
      this.isFlushScheduled = false;
      if (this.inflight >= MAX_INFLIGHT || this.waiting.length === 0) return;
      this.send(this.take());
      this.scheduleFlush();
    });
  }

  /** As many of those that wait as go into one entry, in order. */
  private take(): Waiting[] {
    const { waiting } = this;
    const touched = new Set<string>();
    let bytes = 0;
    let count = 0;
    for (; count < waiting.length && count < MAX_PARTS && bytes < MAX_BYTES; count++) {
      const { part } = waiting[count]!;
      if (part.keys === undefined) break;
      const names = part.keys.map(nameOf);
      if (names.some((name) => touched.has(name))) break;
      for (const name of names) touched.add(name);
      bytes += part.bytes;
    }
    const taken = Math.max(1, count);
    this.waiting = waiting.slice(taken);
    return waiting.slice(0, taken);
  }

  private send(batch: readonly Waiting[]): void {
    this.inflight++;
    const isUrgent = batch.some(({ part }) => part.isUrgent);
    const only = batch.length === 1 ? batch[0] : undefined;
    const build = (ts: HlcTimestamp): Buffer =>
      only === undefined ? encodeTogether(batch.map(({ part }) => part.build(ts))) : only.part.build(ts);
    this.options.propose(build, isUrgent).then(
      (result) => {
        this.inflight--;
        this.scheduleFlush();
        const answer = result as TxnAnswer;
        if (answer.kind !== 'together') only!.resolve(answer);
        else for (const [at, { resolve }] of batch.entries()) resolve(answer.answers[at]!);
      },
      (error: Error) => {
        this.inflight--;
        this.scheduleFlush();
        for (const { reject } of batch) reject(error);
      },
    );
  }
}
