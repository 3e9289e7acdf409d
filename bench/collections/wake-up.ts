/** How long it takes until a command that waits for a list has what another client has pushed, beside how long a SET takes. */
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';

/** Until the command of a client that has been sent certainly waits: several times what a command takes. */
const WAITING_MS = 20;

/** Milliseconds, one value a call. */
export interface WakeUps {
  readonly setMs: readonly number[];
  readonly wakeMs: readonly number[];
}

/**
 * @param ports where the one that waits, and the one that pushes, are connected
 * @param times how often each is tried
 */
export async function measureWakeUps([waiting, pushing]: readonly [number, number], times: number): Promise<WakeUps> {
  const [waiter, pusher] = [new Redis(waiting, '127.0.0.1'), new Redis(pushing, '127.0.0.1')];
  const [setMs, wakeMs]: [number[], number[]] = [[], []];
  try {
    await Promise.all([waiter.ping(), pusher.ping()]);
    for (let nth = 0; nth < times; nth++) {
      const setAtMs = performance.now();
      await pusher.set('wake:set', 'x');
      setMs.push(performance.now() - setAtMs);
      const woken = waiter.blpop('wake', 0).then(() => performance.now());
      await delay(WAITING_MS);
      const pushedAtMs = performance.now();
      const pushed = pusher.lpush('wake', 'x');
      wakeMs.push((await woken) - pushedAtMs);
      await pushed;
    }
  } finally {
    waiter.disconnect();
    pusher.disconnect();
  }
  return { setMs, wakeMs };
}
