/** Errors of moves. */
import type { SpanRefusal } from '../../distribution/index.ts';
import { type ErrorDisposition, type GroupId, KvorumError } from '../../platform/index.ts';

/** A group's table of spans refuses a step of a move; nothing changed. */
export class MoveRefusedError extends KvorumError {
  readonly code = 'MOVE_REFUSED';
  readonly disposition: ErrorDisposition = 'final';
  readonly reason: SpanRefusal;

  constructor(group: GroupId, step: string, reason: SpanRefusal) {
    super(`group ${group} refuses '${step}': ${reason}`);
    this.reason = reason;
  }
}

/** Some node does not understand yet what a move writes into the log. */
export class MoveNotYetError extends KvorumError {
  readonly code = 'FEATURE_INACTIVE';
  readonly disposition: ErrorDisposition = 'wait';

  constructor(job: number) {
    super(`move ${job} waits until the feature 'ranges.move' is active; see which nodes lack it, and upgrade them`);
  }
}
