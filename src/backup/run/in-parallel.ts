/** Work on each of several things, a few at a time; the first failure ends it. */

/**
 * Settles when nothing is under way any more.
 * @throws what the first piece of work threw
 */
export async function forEachOf<Item>(
  items: readonly Item[],
  parallel: number,
  work: (item: Item, at: number) => Promise<void>,
): Promise<void> {
  const queue = items.entries();
  let isFailed = false;
  const take = async (): Promise<void> => {
    for (const [at, item] of queue) {
      if (isFailed) return;
      try {
        await work(item, at);
      } catch (error) {
        isFailed = true;
        throw error;
      }
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: parallel }, take));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}
