/**
 * What an adapter sees of the data plane of its node. Where operations run, how their effects are replicated and when their reply may
 * leave is decided here, not in the adapter.
 */
import type { GroupId, HlcTimestamp, Millis, NodeId } from '../../platform/index.ts';
import type { ChangeListener } from './changes.ts';
import type { LeaderUnavailableError } from './errors.ts';
import type { LiveValue, Operation, ScanPage, ScanRequest } from './view.ts';

/** An answer's bytes: in one piece, or in parts that follow each other where putting them together would copy much. */
export type AnswerBytes = Buffer | readonly Buffer[];

/** An answer in one piece. */
export const wholeAnswer = (answer: AnswerBytes): Buffer => (Buffer.isBuffer(answer) ? answer : Buffer.concat(answer));

/** Leader-side end of a proxied request: decode, run, answer once with the protocol's own bytes or with an error. */
export type ForwardHandler = (
  payload: Buffer,
  answer: (error: Error | undefined, reply: AnswerBytes | undefined) => void,
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
  /** Where ranges of the directory begin strictly between two keys, ascending: also those that belong to the same group as the one before. */
  bordersBetween(start: Buffer, end: Buffer): Buffer[];
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
   * Values of keys at one moment, at once and without a command: what was acknowledged before the call is in them.
   * @returns undefined where it takes a command to find out: this node does not lead the group under a lease, the group may not serve a key, a transaction
   * holds one, a value expires
   */
  readNow(group: GroupId, keys: readonly Buffer[]): readonly (LiveValue | undefined)[] | undefined;
  /**
   * Ends the wait of an operation that was submitted here: it completes with `WaitEndedError` at once when it waits for keys, before it is evaluated
   * again when it waits for something else, and with its outcome when it is on its way.
   */
  endWait(group: GroupId, operation: Operation<unknown>): void;
  /** Keeps a waiting operation from being served, or lets it be served again. */
  suspendWait(group: GroupId, operation: Operation<unknown>, isSuspended: boolean): void;
  /** Hears of nodes whose connection was lost. */
  onPeerLost(listener: (node: NodeId) => void): void;
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
   * @param workUntilMs of what may take its leader long: once it has been sent, its answer is waited for until then, for as long as the leader that was asked
   * leads on; left out: until the deadline
   */
  forward(
    group: GroupId,
    service: string,
    payload: Buffer,
    deadlineMs: Millis,
    done: (error: Error | undefined, reply: Buffer | undefined) => void,
    workUntilMs?: Millis,
  ): void;
  /** Registers the leader-side handler of a service; once, at start. */
  onForward(service: string, handler: ForwardHandler): void;
  /** The one who wants to know what is changed where this node leads; once, at start. */
  onChanges(listener: ChangeListener): void;
  /** Keys that this node has deleted as a leader since it started, because they had expired. */
  readonly expiredKeys: number;
  /** The time of this node: its clock, as a timestamp. Groups that are led here may be ahead of it. */
  nowTs(): HlcTimestamp;
}
