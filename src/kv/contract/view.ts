/** Commands are synchronous functions over a `KeyView`: what they see, what they answer, and pages of rows. */
import type { HlcTimestamp } from '../../platform/index.ts';
import type { AwaitedKeys, WaitState } from './waiting.ts';

/** A live value: neither deleted nor expired at the view's timestamp. */
export interface LiveValue {
  readonly value: Buffer;
  /** When it expires; 0n is never. */
  readonly expireTs: HlcTimestamp;
  readonly commitTs: HlcTimestamp;
}

/**
 * The state that one command reads and writes. Reads see the command's own writes, then those of commands before it that
 * are still on their way through Raft, then applied state. A command may be run again from the start (conflict at apply),
 * so it must not have side effects outside the view.
 */
export interface KeyView {
  /** Timestamp that reads are made at, that TTLs are judged against, and that writes are committed at. */
  readonly ts: HlcTimestamp;
  /** The key's live value, or undefined. The buffer must not be modified. */
  get(key: Buffer): LiveValue | undefined;
  /**
   * Says that these keys are about to be read. Where values are brought from afar before the evaluation, those that are still missing then
   * come together instead of one by one; elsewhere there is nothing to do, and the method is not there. Keys that are asked for
   * here and not read count for nothing: no transaction depends on them.
   */
  prefetch?(keys: readonly Buffer[]): void;
  /**
   * True when another group has the key: reading it would refuse the command as a whole, whatever it makes of the error. Left out: every key may be
   * read.
   */
  isElsewhere?(key: Buffer): boolean;
  /**
   * Says that the command is about to compute for as long as reading so many rows takes, a microsecond each. One that only reads is stopped here when that is
   * more than a turn has time for, and goes on where it holds nobody up; there, and where nobody counts, the method is not there.
   */
  works?(rows: number): void;
  /** True where all rows of an object come with its head: nobody has to say which of them will be read. */
  readonly hasWholeObjects?: boolean;
  /**
   * When the key was deleted, if `get` has just said that it is absent; where a range was deleted, when the version was written that the range
   * hides, so that a key that was not there is as it was. 0n when that is not known, as when it never was, or when nobody asked for it.
   */
  deletedAt?(key: Buffer): HlcTimestamp;
  /** When the key was last written, in whatever way, if `get` has just said that it is absent; 0n when nothing is left of it. */
  writtenAt?(key: Buffer): HlcTimestamp;
  /**
   * Says that what the command is about to write under this key is shown to clients with its timestamp as its version, so that no other
   * command may write the key at the same one. Left out: no two commands write at one timestamp.
   */
  keepVersion?(key: Buffer): void;
  /** Writes a value; `expireTs` 0n means no expiry. Buffers must not be modified afterwards. */
  put(key: Buffer, value: Buffer, expireTs: HlcTimestamp): void;
  /**
   * As `put` of a value in two parts, `head` a few bytes that many values have in common: nothing is copied before the write is on its way. Left out:
   * whoever has the two joins them, and puts the whole.
   */
  putJoined?(key: Buffer, head: Buffer, rest: Buffer, expireTs: HlcTimestamp): void;
  delete(key: Buffer): void;
  /** Deletes every key in `[start, end)` that exists at `ts`. */
  deleteRange(start: Buffer, end: Buffer): void;
}

/** One command on its way: evaluated once or more, completed exactly once. */
export interface Operation<Reply> {
  /**
   * Who asks without waiting for the answer before: operations of one source that share a key are evaluated in their order, also when
   * one of them has to wait. Left out: it is not in order with any other.
   */
  readonly source?: object;
  /** Its place among those of its source, rising. */
  readonly order?: number;
  /** The keys that it may touch; asked when one of its source has to wait, or when it reads so much that its objects are read beforehand. */
  storageKeys?(): readonly Buffer[];
  /**
   * How many things it names: keys, elements, values. Each may cost some rows, whatever the bounds of an evaluation; asked once it has touched many.
   * Left out: as many as `storageKeys`.
   */
  namedCount?(): number;
  /**
   * False: it writes nothing whatever it reads, and may be evaluated over values that were read beforehand. Anything else: one that touches
   * too many rows beside what it names is refused with `EvaluationTooLongError`.
   */
  readonly isWrite?: boolean;
  /** It writes, and is run in another way when it is refused because it touches too many rows: so it is refused as early as one that only reads is stopped. */
  readonly hasOtherWay?: boolean;
  /** It only reads, and a part of an object that it can find its way to: when it reads much, it says beforehand which rows that will be. */
  readonly readsPart?: boolean;
  /** True: no number of rows bounds its evaluation, only time. */
  readonly takesAnyTime?: boolean;
  /**
   * It may be evaluated in parts, which is done when it names so much that no turn has time for it: `evaluateInParts` is called instead of `evaluate`,
   * and others have their turns in between. What it has read and written meanwhile nobody else may write.
   */
  readonly mayComeInParts?: boolean;
  /** Does the same as `evaluate`, and stops wherever others may have their turn. The view's time stands still from the first part to the last. */
  evaluateInParts?(view: KeyView): Generator<void, Reply>;
  /** Of an operation that may answer `AwaitedKeys`. */
  readonly wait?: WaitState;
  /**
   * It has written, and its outcome comes with an entry: what only another evaluation needs may be put where it takes less, until there is one. Left
   * out: it keeps what it has.
   */
  putAway?(): void;
  /** Synchronous; may throw, which is then the outcome and leaves no effects. */
  evaluate(view: KeyView): Reply | AwaitedKeys;
  /** Called once: with the reply when everything it depends on is durable and applied, or with the error. */
  complete(error: Error | undefined, reply: Reply | undefined): void;
}

/** One row of a scan. */
export interface ScanRow extends LiveValue {
  readonly key: Buffer;
}

export interface ScanRequest {
  /** Inclusive. */
  readonly start: Buffer;
  /** Exclusive. */
  readonly end: Buffer;
  readonly limit: number;
  /** The page ends when its keys and values reach this, with the row that does; left out: when the store's own bound is reached. */
  readonly maxBytes?: number;
  /** Leave values empty where the store can save the work. */
  readonly keysOnly?: boolean;
  /** Leave out rows that lie behind heads. Asked of a group that is led here; it does not travel to other nodes. */
  readonly headsOnly?: boolean;
  /** From the end to the start. Then the group must be able to serve the whole range, or it serves none of it. */
  readonly reverse?: boolean;
}

/** A page of a scan; `next` is where to go on (in reverse: the exclusive end to go on with), undefined at the end of the range. */
export interface ScanPage {
  readonly rows: readonly ScanRow[];
  readonly next: Buffer | undefined;
  /** What the page is a picture of; a group's leader always says it. */
  readonly readTs?: HlcTimestamp;
}
