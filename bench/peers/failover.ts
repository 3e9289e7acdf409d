/** How long nobody can write after the leader was killed. The same probe serves every replicated peer. */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { FAILOVER_TIMEOUT_MS } from './peer.ts';

/** A surviving node as the probe sees it. Both settle when the write was acknowledged and throw when it was not. */
export interface Survivor {
  /** A write of the load. At most `WRITERS_PER_SURVIVOR` overlap. */
  write(): Promise<void>;
  /** A write that does not wait behind any other, however many hang: on a connection of its own where the protocol answers in order. */
  probe(): Promise<void>;
}

/** A load, but one that leaves the processors to the election. */
export const WRITERS_PER_SURVIVOR = 10;
const RETRY_PAUSE_MS = 2;
/** Load before the kill. */
const LEAD_IN_MS = 1000;
/** Resolution of the result. Writers that were caught by the kill may hang until their timeout, so new writes are sent beside them. */
const PROBE_INTERVAL_MS = 20;

/**
 * @param killLeader ends the leader at once
 * @returns milliseconds from the kill until every survivor had acknowledged a write that was sent after it
 */
export async function measureFailover(
  survivors: readonly Survivor[],
  killLeader: () => Promise<void>,
): Promise<number> {
  let killedMs = Number.POSITIVE_INFINITY;
  let running = true;
  const recoveredMs = new Map<Survivor, number>();
  const attempt = async (survivor: Survivor, write: () => Promise<void>): Promise<void> => {
    const sentMs = performance.now();
    await write();
    if (sentMs >= killedMs && !recoveredMs.has(survivor)) recoveredMs.set(survivor, performance.now());
  };
  const writer = async (survivor: Survivor): Promise<void> => {
    while (running) await attempt(survivor, () => survivor.write()).catch(() => delay(RETRY_PAUSE_MS));
  };
  for (const survivor of survivors) {
    // Never rejects; ends when `running` does.
    for (let count = 0; count < WRITERS_PER_SURVIVOR; count++) void writer(survivor);
  }
  await delay(LEAD_IN_MS);
  const killed = killLeader();
  killedMs = performance.now();
  const deadlineMs = killedMs + FAILOVER_TIMEOUT_MS;
  while (recoveredMs.size < survivors.length && performance.now() < deadlineMs) {
    for (const survivor of survivors) {
      if (!recoveredMs.has(survivor)) attempt(survivor, () => survivor.probe()).catch(() => {});
    }
    await delay(PROBE_INTERVAL_MS);
  }
  running = false;
  await killed;
  return recoveredMs.size < survivors.length ? FAILOVER_TIMEOUT_MS : Math.max(...recoveredMs.values()) - killedMs;
}
