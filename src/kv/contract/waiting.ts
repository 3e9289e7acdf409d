/**
 * Operations that wait for keys. One that finds nothing answers `AwaitedKeys` instead of a reply: the leader then keeps it, in the same step, and
 * evaluates it again whenever one of the keys was written, behind the whole operation that wrote it and in the same entry.
 */
import { type ErrorDisposition, KvorumError, type Millis } from '../../platform/index.ts';

/** How those who wait for one key in one queue are served. */
export interface WaitingLine {
  /** Those of one name and key stand in one line. */
  readonly name: string;
  /** True: when one gets nothing, those behind it would not either. False: everybody in the line is evaluated. */
  readonly takesTurns: boolean;
}

/** What an operation's evaluation answers when there is nothing to answer yet. */
export class AwaitedKeys {
  /** One of them at least will be written before there is something. All of them belong to the group. */
  readonly keys: readonly Buffer[];
  readonly line: WaitingLine;

  constructor(keys: readonly Buffer[], line: WaitingLine) {
    this.keys = keys;
    this.line = line;
  }
}

/** How an operation waits; of one that is not able to answer `AwaitedKeys` there is none. */
export interface WaitState {
  /** How long it had waited before it was submitted: who waits longest is served first. */
  readonly waitedMs: Millis;
  /**
   * It only tells somebody that there is something, who then comes for it. The others in its line are not served for a moment, so that it is still
   * there.
   */
  readonly isNotice: boolean;
  /** The key that has become ready, set by the leader for the time of an evaluation; undefined: any of them. */
  readyKey: Buffer | undefined;
  /** Keeps its place and is not served: nobody could be told. Changed through `KvService.suspendWait`. */
  isSuspended: boolean;
  /**
   * Called when it has begun to wait and that is certain: what it saw has come to pass, and the leader led when it looked. May be called several times.
   */
  begins?(): void;
  /** Not wanted any more: it is not evaluated again. Changed through `KvService.endWait`. */
  isEnded: boolean;
}

/** The operation waited and is not wanted any more: nothing happened. */
export class WaitEndedError extends KvorumError {
  readonly code = 'WAIT_ENDED';
  readonly disposition: ErrorDisposition = 'final';

  constructor() {
    super('the operation does not wait any more; nothing happened');
  }
}

/** The group has as many waiting operations as it keeps: nothing happened. */
export class TooManyWaitersError extends KvorumError {
  readonly code = 'TOO_MANY_WAITERS';
  readonly disposition: ErrorDisposition = 'final';

  constructor() {
    super('too many operations wait for keys of the group');
  }
}
