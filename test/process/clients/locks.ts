/** redlock and rate-limiter-flexible, with a program on each node: a lock has one holder at a time, and nobody is let through once too often. */
import { createRequire } from 'node:module';
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { type Bed, Errors, repeatedly, type Workload } from './workload.ts';

/** A lock as the package, which has no types, gives it. */
interface Lock {
  /** Until when it is held, by this machine's clock. */
  readonly expiration: number;
  extend(ms: number): Promise<Lock>;
  unlock(): Promise<void>;
}
const Redlock = createRequire(import.meta.url)('redlock') as new (
  clients: readonly Redis[],
  options: { readonly retryCount: number; readonly retryDelay: number },
) => { lock(resource: string, ms: number): Promise<Lock> };

const NODES = [1, 2, 3] as const;
const LOCK_MS = 2_000;
/** Longest work under a lock, well below its life. */
const WORK_MS = 100;

function clientOf(bed: Bed, nodeId: number, errors: Errors): Redis {
  const client = new Redis(bed.port(nodeId), '127.0.0.1', { maxRetriesPerRequest: null, retryStrategy: () => 50 });
  client.on('error', (error) => errors.note(error));
  return client;
}

export const redlock: Workload = async (bed) => {
  const errors = new Errors();
  const complaints: string[] = [];
  const clients = NODES.map((nodeId) => clientOf(bed, nodeId, errors));
  let holder: { readonly nodeId: number; untilMs: number } | undefined;
  let times = 0;
  const contending = NODES.map((nodeId, at) => {
    const locks = new Redlock([clients[at]!], { retryCount: 20, retryDelay: 50 });
    return repeatedly(5, async () => {
      try {
        const lock = await locks.lock('locks:account', LOCK_MS);
        const nowMs = Date.now();
        // What comes late is worth nothing.
        if (nowMs >= lock.expiration) return;
        if (holder !== undefined && holder.untilMs > nowMs)
          complaints.push(
            `node ${nodeId} was given the lock that node ${holder.nodeId} has for ${holder.untilMs - nowMs} ms more`,
          );
        const own = { nodeId, untilMs: lock.expiration };
        holder = own;
        times++;
        await pause(Math.random() * WORK_MS);
        const extended = times % 5 === 0 ? await lock.extend(LOCK_MS) : lock;
        own.untilMs = extended.expiration;
        await pause(Math.random() * WORK_MS);
        if (holder === own) holder = undefined;
        await extended.unlock();
      } catch (error) {
        errors.note(error);
      }
    });
  });
  return {
    progress: () => `${times} times locked`,
    finish: async () => {
      for (const one of contending) await one.stop();
      for (const client of clients) client.disconnect();
      if (times === 0) complaints.push('nobody ever got the lock');
      return { summary: `${times} times locked (errors: ${errors.text})`, complaints };
    },
  };
};

const POINTS = 10;
const TRIES = 15;

export const rateLimiter: Workload = async (bed) => {
  const errors = new Errors();
  const complaints: string[] = [];
  const clients = NODES.map((nodeId) => clientOf(bed, nodeId, errors));
  const limiters = clients.map(
    (storeClient) => new RateLimiterRedis({ storeClient, keyPrefix: 'soak', points: POINTS, duration: 600 }),
  );
  let users = 0;
  let exact = 0;
  const asking = repeatedly(20, async (nth) => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: TRIES }, (_, at) => limiters[at % NODES.length]!.consume(`user-${nth}`)),
    );
    users++;
    const passed = outcomes.filter(({ status }) => status === 'fulfilled').length;
    const isSure = outcomes.every((one) => one.status === 'fulfilled' || one.reason instanceof RateLimiterRes);
    for (const one of outcomes)
      if (one.status === 'rejected' && !(one.reason instanceof RateLimiterRes)) errors.note(one.reason);
    if (passed > POINTS) complaints.push(`user-${nth} was let through ${passed} times of ${POINTS}`);
    if (isSure && passed === POINTS) exact++;
  });
  return {
    progress: () => `${users} users`,
    finish: async () => {
      await asking.stop();
      for (const client of clients) client.disconnect();
      return { summary: `${users} users, ${exact} let through ${POINTS} times (errors: ${errors.text})`, complaints };
    },
  };
};
