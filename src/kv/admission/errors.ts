/** Why a write is not taken on now. In each case nothing was proposed. */
import { type ErrorDisposition, KvorumError, type Millis } from '../../platform/index.ts';

/** People and programs that read a text come again no sooner. */
const LEAST_ADVISED_MS: Millis = 100;

const advised = (retryAfterMs: Millis): Millis => Math.max(LEAST_ADVISED_MS, Math.ceil(retryAfterMs));

/** The group takes no more writes at the moment: a disk is full, or what was written already has to be worked off first. */
export class WriteBackpressureError extends KvorumError {
  readonly code = 'WRITE_BACKPRESSURE';
  readonly disposition: ErrorDisposition = 'wait';
  /** Sooner it would be refused again. */
  readonly retryAfterMs: Millis;

  /** @param isWhole `reason` is the whole message, as another node said it */
  constructor(reason: string, retryAfterMs: Millis, isWhole = false) {
    const whole = `writes are held back: ${reason}; nothing was changed, try again in ${advised(retryAfterMs)} ms`;
    super(isWhole ? reason : whole);
    this.retryAfterMs = retryAfterMs;
  }
}

/** The key has so much history that the node has no room for more of it before the retention lets some go. */
export class KeyVersionPressureError extends KvorumError {
  readonly code = 'KEY_VERSION_PRESSURE';
  readonly disposition: ErrorDisposition = 'wait';
  readonly retryAfterMs: Millis;

  constructor(retryAfterMs: Millis) {
    super(
      'the key is overwritten faster than its history may be dropped; nothing was changed. ' +
        `Write it less often, shorten the retention, or try again in ${advised(retryAfterMs)} ms`,
    );
    this.retryAfterMs = retryAfterMs;
  }
}

/** What a write was refused for that could be proposed later. */
export type HeldBackError = WriteBackpressureError | KeyVersionPressureError;

/** True for an error that says how long to wait: it is for whoever wrote, and not asked again behind its back. */
export const isHeldBack = (error: unknown): error is HeldBackError =>
  error instanceof WriteBackpressureError || error instanceof KeyVersionPressureError;
