/**
 * Exponential backoff: how long to wait before the same thing is tried again. The bound grows by a factor with each attempt, up to a
 * cap; jitter draws the wait from below it, so that those who failed together do not come back together. Who retries names
 * its own policy; chance is an argument, so that a simulation decides it.
 */
import { assertNever } from './assert.ts';
import type { Random } from './random.ts';
import type { Millis } from './types.ts';

/** How the bound grows. */
export interface BackoffBound {
  /** Bound of attempt 0. */
  readonly baseMs: Millis;
  /** The bound never exceeds it. */
  readonly capMs: Millis;
  /** By this much each attempt; usually 2. */
  readonly factor: number;
}

/**
 * Where below the bound a wait is drawn from, uniformly: `full` from 0, `equal` from half of the bound, `aboveBase` from the base (so
 * that no wait is shorter than that).
 */
export type Jitter = 'full' | 'equal' | 'aboveBase';

/** One policy; see the top of the file. */
export interface Backoff extends BackoffBound {
  readonly jitter: Jitter;
}

/** More doublings change nothing: every cap is far below. Keeps the power finite. */
const MAX_EXPONENT = 64;

/** The longest wait before an attempt, without jitter. @param attempt failures before, from 0 */
export function backoffBoundMs({ baseMs, capMs, factor }: BackoffBound, attempt: number): Millis {
  return Math.min(capMs, baseMs * factor ** Math.min(attempt, MAX_EXPONENT));
}

/** The wait before an attempt, drawn. @param attempt failures before, from 0 */
export function backoffMs(policy: Backoff, attempt: number, random: Random): Millis {
  const boundMs = backoffBoundMs(policy, attempt);
  const leastMs = leastOf(policy, boundMs);
  return leastMs + random.next() * (boundMs - leastMs);
}

function leastOf({ jitter, baseMs }: Backoff, boundMs: Millis): Millis {
  switch (jitter) {
    case 'full':
      return 0;
    case 'equal':
      return boundMs / 2;
    case 'aboveBase':
      return Math.min(baseMs, boundMs);
    default:
      return assertNever(jitter);
  }
}
