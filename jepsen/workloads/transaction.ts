/** MULTI/EXEC as workloads use it. */
import type { ChainableCommander, Redis } from 'ioredis';
import { NothingHappened } from '../client.ts';

/**
 * Runs the queued commands as one transaction.
 * @returns the replies
 * @throws NothingHappened when a watched key had changed
 */
export async function exec(transaction: ChainableCommander): Promise<unknown[]> {
  const replies = await transaction.exec();
  if (replies === null) throw new NothingHappened('a watched key changed');
  return replies.map(([error, reply]) => {
    if (error !== null) throw error;
    return reply;
  });
}

/**
 * Optimistic read-modify-write: watches, reads, lets `decide` queue writes, and commits.
 * @param decide queues commands on the transaction; returning false gives up without writing
 */
export async function optimistically(
  client: Redis,
  keys: readonly string[],
  decide: (values: (string | null)[], transaction: ChainableCommander) => boolean,
): Promise<boolean> {
  await client.watch(...keys);
  let queued = false;
  try {
    const values = await client.mget(...keys);
    const transaction = client.multi();
    queued = decide(values, transaction);
    if (!queued) return false;
    await exec(transaction);
    return true;
  } finally {
    // EXEC unwatches; without one the watch must not leak into the next operation.
    if (!queued && client.status === 'ready') await client.unwatch();
  }
}
