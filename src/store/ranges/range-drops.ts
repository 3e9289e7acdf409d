/**
 * Ranges that are being forgotten. A drop begins as a row of the unit that asked for it. In the background its live keys are
 * counted and taken off the counters, then, when all of the range is on disk, its rows go in bounded batches, and at last,
 * in one flush, what range deletes cover of it and the row of the drop itself. A restart goes on where the rows say. From
 * the unit on no read sees a key of the range, so that no answer depends on how far a replica has come.
 */
import type { HlcTimestamp, LogIndex } from '../../platform/index.ts';
import type { Level, LevelOperation } from '../level/index.ts';
import { CorruptStoreError, decodeKey, decodeVersion, encodeExpiryKey, keyBounds, RowKind } from '../rows/index.ts';

/** Rows removed in one batch: the mutex is held for a few milliseconds. */
const BATCH_ROWS = 1000;
/** LevelDB's own 16 KiB would end a page after four values of 4 KiB, and each batch is a synced write. */
const READ_AHEAD_BYTES = 2 * 1024 * 1024;
const FIXED_BYTES = 13;
const FLAG_COUNTED = 1;
const FLAG_HAS_END = 2;

/** A range whose keys are not there any more. */
export interface DroppedRange {
  readonly start: Buffer;
  /** Undefined is the end of the key space. */
  readonly end: Buffer | undefined;
}

/** A drop as it is stored. */
export interface RangeDrop extends DroppedRange {
  /** Newest commit of the store when the drop was applied: all that goes is at or below it. */
  readonly ts: HlcTimestamp;
  readonly rowKey: Buffer;
  /** True when the counters do not count the range any more. */
  readonly isCounted: boolean;
}

/** Row key of the `ordinal`-th drop of a unit. */
export function encodeDropKey(index: LogIndex, ordinal: number): Buffer {
  const row = Buffer.alloc(13);
  row[0] = RowKind.Drop;
  row.writeBigUInt64BE(BigInt(index), 1);
  row.writeUInt32BE(ordinal, 9);
  return row;
}

/** The value of a drop's row. */
export function encodeDrop({ start, end, ts, isCounted }: Omit<RangeDrop, 'rowKey'>): Buffer {
  const head = Buffer.alloc(FIXED_BYTES);
  head[0] = (isCounted ? FLAG_COUNTED : 0) | (end === undefined ? 0 : FLAG_HAS_END);
  head.writeBigUInt64BE(ts, 1);
  head.writeUInt32BE(start.length, 9);
  return Buffer.concat([head, start, end ?? Buffer.alloc(0)]);
}

/** @throws CorruptStoreError */
export function decodeDrop(rowKey: Buffer, row: Buffer, location: string): RangeDrop {
  const startBytes = row.length >= FIXED_BYTES ? row.readUInt32BE(9) : -1;
  const startsAt = FIXED_BYTES;
  const flags = row[0] ?? 0;
  if (startBytes < 0 || startsAt + startBytes > row.length || flags > (FLAG_COUNTED | FLAG_HAS_END)) {
    throw new CorruptStoreError(location, 'holds a damaged mark of a range that is being dropped');
  }
  return {
    start: Buffer.from(row.subarray(startsAt, startsAt + startBytes)),
    end: (flags & FLAG_HAS_END) === 0 ? undefined : Buffer.from(row.subarray(startsAt + startBytes)),
    ts: row.readBigUInt64BE(1) as HlcTimestamp,
    rowKey: Buffer.from(rowKey),
    isCounted: (flags & FLAG_COUNTED) !== 0,
  };
}

/** True when one of the ranges holds the key. */
export function isDropped(dropped: readonly DroppedRange[], key: Buffer): boolean {
  for (const { start, end } of dropped) {
    if (Buffer.compare(start, key) <= 0 && (end === undefined || Buffer.compare(key, end) < 0)) return true;
  }
  return false;
}

const overlap = (a: DroppedRange, b: DroppedRange): boolean =>
  (b.end === undefined || Buffer.compare(a.start, b.end) < 0) &&
  (a.end === undefined || Buffer.compare(b.start, a.end) < 0);

/** What dropping needs of the store. */
export interface DropHost {
  readonly location: string;
  level(): Level;
  /** Settles when the counters do not count the range, which is marked in its row. */
  count(drop: RangeDrop): Promise<void>;
  flush(): Promise<void>;
  /** Ends a pass of collection: what it has seen in the range must not be deleted when it comes back. */
  stopCollecting(): Promise<void>;
  write(build: () => LevelOperation[]): Promise<void>;
  /** Rows of so many bytes are on their way out of the files. */
  removed(bytes: number): void;
  /** Nothing of the range is left: clips the range deletes and removes the row of the drop, with the next flush. */
  finish(drop: RangeDrop): void;
  /** Dropping failed, so the store cannot go on. @returns why it is not usable */
  fail(error: unknown): Error;
}

interface Waiting {
  readonly drop: RangeDrop;
  readonly done: PromiseWithResolvers<void>;
}

/** The drops of one store, carried out one after another. */
export class RangeDrops {
  private readonly host: DropHost;
  /** Oldest first. */
  private waiting: Waiting[] = [];
  /** The ranges of `waiting`; replaced as a whole, so that a reader may keep it. */
  ranges: readonly RangeDrop[] = [];
  private running: Promise<void> | undefined;
  private isStopping = false;

  constructor(host: DropHost, drops: readonly RangeDrop[]) {
    this.host = host;
    for (const drop of drops) this.add(drop);
  }

  get isEmpty(): boolean {
    return this.ranges.length === 0;
  }

  covers(key: Buffer): boolean {
    return isDropped(this.ranges, key);
  }

  /** Takes up a drop; call `start` when its unit is complete. */
  add(drop: RangeDrop): void {
    const done = Promise.withResolvers<void>();
    // Whoever waits is told; that nobody does is no error.
    done.promise.catch(() => {});
    this.setWaiting([...this.waiting, { drop, done }]);
  }

  private setWaiting(waiting: Waiting[]): void {
    this.waiting = waiting;
    this.ranges = waiting.map(({ drop }) => drop);
  }

  /** Undefined when nothing of the range is being dropped; else settles when all of it is gone. */
  dropping(range: DroppedRange): Promise<void> | undefined {
    if (!this.ranges.some((drop) => overlap(drop, range))) return undefined;
    const gone = this.wait(range);
    // Some callers only ask whether there is something to wait for.
    gone.catch(() => {});
    return gone;
  }

  private async wait(range: DroppedRange): Promise<void> {
    for (;;) {
      const first = this.waiting.find(({ drop }) => overlap(drop, range));
      if (first === undefined) return;
      await first.done.promise;
    }
  }

  start(): void {
    if (this.waiting.length === 0 || this.isStopping) return;
    this.running ??= this.run().finally(() => {
      this.running = undefined;
      // A drop that came in between the last look and here.
      this.start();
    });
  }

  /** Lets go of the store after the batch that is under way. Reads and counts go on leaving the ranges out. */
  async pause(): Promise<void> {
    this.isStopping = true;
    await this.running;
  }

  /** Goes on after `pause`. */
  resume(): void {
    this.isStopping = false;
    this.start();
  }

  /** Gives up what is left; the next opening goes on. @param error told to those who wait */
  forget(error: Error): void {
    const { waiting } = this;
    this.setWaiting([]);
    for (const { done } of waiting) done.reject(error);
  }

  /** Takes over the drops of a store that was swapped in; whoever waits looks again. Call `resume` then. */
  reset(drops: readonly RangeDrop[]): void {
    const before = this.waiting;
    this.setWaiting([]);
    for (const drop of drops) this.add(drop);
    for (const { done } of before) done.resolve();
  }

  private async run(): Promise<void> {
    try {
      for (let first = this.waiting[0]; first !== undefined && !this.isStopping; first = this.waiting[0]) {
        await this.host.count(first.drop);
        // The count is durable before the first row goes, and all of the range is on disk.
        await this.host.flush();
        await this.host.stopCollecting();
        if (!(await this.remove(first.drop))) return;
        this.host.finish(first.drop);
        await this.host.flush();
        this.setWaiting(this.waiting.slice(1));
        first.done.resolve();
      }
    } catch (error) {
      this.forget(this.host.fail(error));
    }
  }

  /** @returns false when it was stopped before the end */
  private async remove({ start, end }: DroppedRange): Promise<boolean> {
    const { host } = this;
    const expiryOf = (rowKey: Buffer, row: Buffer): LevelOperation | undefined => {
      const { expireTs } = decodeVersion(row, host.location);
      if (expireTs === 0n) return undefined;
      return { type: 'del', key: encodeExpiryKey(expireTs, decodeKey(rowKey, 1, rowKey.length, host.location)) };
    };
    for (const kind of [RowKind.Latest, RowKind.Version, RowKind.Side, RowKind.ResidentSide]) {
      const isLatest = kind === RowKind.Latest;
      const iterator = host.level().iterator({ ...keyBounds(kind, start, end), highWaterMarkBytes: READ_AHEAD_BYTES });
      try {
        for (;;) {
          const page = await iterator.nextv(BATCH_ROWS);
          if (page.length === 0) break;
          if (this.isStopping) return false;
          await host.write(() => {
            const operations: LevelOperation[] = [];
            for (const [rowKey, row] of page) {
              operations.push({ type: 'del', key: rowKey });
              host.removed(rowKey.length + row.length);
              const expiry = isLatest ? expiryOf(rowKey, row) : undefined;
              if (expiry !== undefined) operations.push(expiry);
            }
            return operations;
          });
        }
      } finally {
        await iterator.close();
      }
    }
    return true;
  }
}
