/** How long nobody can write after the leader was killed. The same probe serves every replicated peer. */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { FAILOVER_TIMEOUT_MS } from './peers/peer.ts';

/** Sends one write through one node. @throws when it was refused, lost or is of unknown outcome */
export type WriteOnce = () => Promise<void>;

/** Writers on each survivor: a load, but one that leaves the processors to the election. */
const WRITERS_PER_SURVIVOR = 10;
const RETRY_PAUSE_MS = 2;
/** Load before the kill. */
const LEAD_IN_MS = 1000;

/**
 * @param survivors one function a surviving node that writes through it
 * @param killLeader ends the leader at once
 * @returns milliseconds from the kill until every survivor had answered a write that was sent after it
 */
export async function measureFailover(
  survivors: readonly WriteOnce[],
  killLeader: () => Promise<void>,
): Promise<number> {
  let killedMs = Number.POSITIVE_INFINITY;
  let running = true;
  const recoveredMs = new Map<number, number>();
  const writer = async (survivor: number): Promise<void> => {
    while (running) {
      const sentMs = performance.now();
      try {
        await survivors[survivor]!();
        if (sentMs >= killedMs && !recoveredMs.has(survivor)) recoveredMs.set(survivor, performance.now());
      } catch {
        await delay(RETRY_PAUSE_MS);
      }
    }
  };
  const writers = survivors.flatMap((_, survivor) =>
    Array.from({ length: WRITERS_PER_SURVIVOR }, () => writer(survivor)),
  );
  await delay(LEAD_IN_MS);
  const kill = killLeader();
  killedMs = performance.now();
  await kill;
  const deadlineMs = killedMs + FAILOVER_TIMEOUT_MS;
  while (recoveredMs.size < survivors.length && performance.now() < deadlineMs) await delay(RETRY_PAUSE_MS);
  running = false;
  await Promise.all(writers);
  return recoveredMs.size < survivors.length ? FAILOVER_TIMEOUT_MS : Math.max(...recoveredMs.values()) - killedMs;
}
