/**
 * What an adapter sees of the key-value layer. Commands are synchronous functions over a `KeyView`; where they run, how
 * their effects are replicated and when their reply may leave is decided here, not in the adapter.
 */
import type { GroupId, HlcTimestamp, Millis, NodeId } from '../../platform/index.ts';
import type { LeaderUnavailableError } from './errors.ts';

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
   * When the key was deleted, if `get` has just said that it is absent: 0n when that is not known, as when it never was, when a range
   * was deleted, or when nobody asked for it.
   */
  deletedAt?(key: Buffer): HlcTimestamp;
  /** When the key was last written, in whatever way, if `get` has just said that it is absent; 0n when nothing is left of it. */
  writtenAt?(key: Buffer): HlcTimestamp;
  /** Writes a value; `expireTs` 0n means no expiry. Buffers must not be modified afterwards. */
  put(key: Buffer, value: Buffer, expireTs: HlcTimestamp): void;
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
  /** The keys that it may touch; asked when one of its source has to wait. */
  storageKeys?(): readonly Buffer[];
  /** Synchronous; may throw, which is then the outcome and leaves no effects. */
  evaluate(view: KeyView): Reply;
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
  /** Leave values empty where the store can save the work. */
  readonly keysOnly?: boolean;
  /** From the end to the start. Then the group must be able to serve the whole range, or it serves none of it. */
  readonly reverse?: boolean;
}

/** Milliseconds of a timestamp. */
export const physicalMs = (ts: HlcTimestamp): number => Number(ts >> 16n);

/** A page of a scan; `next` is where to go on (in reverse: the exclusive end to go on with), undefined at the end of the range. */
export interface ScanPage {
  readonly rows: readonly ScanRow[];
  readonly next: Buffer | undefined;
  /** What the page is a picture of; a group's leader always says it. */
  readonly readTs?: HlcTimestamp;
}

/** Leader-side end of a proxied request: decode, run, answer once with the protocol's own bytes or with an error. */
export type ForwardHandler = (
  payload: Buffer,
  answer: (error: Error | undefined, reply: Buffer | undefined) => void,
) => void;

/** A stretch of the key space that belongs to one group. */
export interface KeyStretch {
  readonly group: GroupId;
  /** Exclusive; undefined is the end of the key space. */
  readonly end: Buffer | undefined;
}

/** The key-value layer of one node, as adapters use it. */
export interface KvService {
  readonly nodeId: NodeId;
  /**
   * The group that a key belongs to, by the directory as this node knows it. The group itself decides: what it does not
   * own it refuses with `NotOwnerError`.
   */
  groupOf(key: Buffer): GroupId;
  /** The stretch of keys from `key` on that the directory gives to one group; `end` undefined is the end of the key space. */
  stretchAt(key: Buffer): KeyStretch;
  /** Rises with every version of the directory that this node learns of; 0 before the first. */
  readonly routesVersion: number;
  /** All groups that hold user data by the directory, ascending. */
  dataGroups(): readonly GroupId[];
  /** True when this node leads the group and serves. A hint: it may be over by the next turn, `submit` decides. */
  servesLocally(group: GroupId): boolean;
  /** What says that nobody was reached, and why when this node knows. @param what was in vain */
  unavailable(what: string): LeaderUnavailableError;
  /**
   * Evaluates an operation on the group's leader, which must be this node. Operations submitted in one event-loop turn are
   * evaluated in call order and share one entry. Completes with `NotLeaderError` (redirect: nothing was proposed) when
   * this node does not lead, with `OutcomeUnknownError` when it stopped leading before the outcome was known, with
   * `NotOwnerError` or `RangeBusyError` (nothing happened) when the group may not serve a key that it touches.
   */
  submit<Reply>(group: GroupId, operation: Operation<Reply>): void;
  /**
   * One page of live rows of a locally led group, consistent at one timestamp per page and linearizable. It ends where the
   * group's own keys end; `next` is then where somebody else goes on.
   * @throws NotLeaderError; NotOwnerError, RangeBusyError when the group may not serve `request.start`
   */
  scan(group: GroupId, request: ScanRequest): Promise<ScanPage>;
  /**
   * Number of keys of a counter class that a locally led group owns (expired ones count until they are purged; what a move
   * is bringing in or has taken away does not count). @throws NotLeaderError
   */
  countKeys(group: GroupId, counterClass: number): Promise<number>;
  /**
   * Runs `payload` with the handler registered under `service` on the group's leader, wherever it is: waits out elections,
   * follows redirects and retries only what was certainly not proposed, until `deadlineMs` (monotonic clock) passes.
   * Completes with the handler's bytes, `LeaderUnavailableError` (nothing happened) or `OutcomeUnknownError`.
   */
  forward(
    group: GroupId,
    service: string,
    payload: Buffer,
    deadlineMs: Millis,
    done: (error: Error | undefined, reply: Buffer | undefined) => void,
  ): void;
  /** Registers the leader-side handler of a service; once, at start. */
  onForward(service: string, handler: ForwardHandler): void;
  /** Keys that this node has deleted as a leader since it started, because they had expired. */
  readonly expiredKeys: number;
  /** The time of this node: its clock, as a timestamp. Groups that are led here may be ahead of it. */
  nowTs(): HlcTimestamp;
}
