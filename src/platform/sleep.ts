/** Waiting in asynchronous code, on whatever scheduler the caller was built with. */
import type { Scheduler } from './scheduler.ts';
import type { Millis } from './types.ts';

/**
 * Settles once `delayMs` have passed, or as soon as `signal` is aborted: who has one looks at it afterwards.
 * A delay of 0 lets other work of the event loop in.
 */
export function sleep(scheduler: Pick<Scheduler, 'after'>, delayMs: Millis, signal?: AbortSignal): Promise<void> {
  if (signal === undefined) return new Promise((resolve) => scheduler.after(delayMs, resolve));
  // An event of the past is not repeated.
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const wake = (): void => {
      signal.removeEventListener('abort', wake);
      cancel();
      resolve();
    };
    const cancel = scheduler.after(delayMs, wake);
    signal.addEventListener('abort', wake, { once: true });
  });
}

/** Settles in the next turn of the event loop: others have theirs first. */
export const nextTurn = (scheduler: Pick<Scheduler, 'nextTurn'>): Promise<void> =>
  new Promise((resolve) => scheduler.nextTurn(resolve));
