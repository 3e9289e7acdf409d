/** Operators who give orders all the time, from one fault to the calm after it. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../src/platform/index.ts';
import type { Nemesis, TestCluster } from '../types.ts';

/** Between one order and the next. */
const GAP_MS = { least: 50, most: 400 };

/** Gives orders until it is stopped, and counts how they were taken. */
export abstract class Orders {
  protected readonly cluster: TestCluster;
  protected readonly random: Random;
  private readonly counts = new Map<string, number>();
  private readonly over = new AbortController();
  private loop: Promise<void> = Promise.resolve();

  constructor(cluster: TestCluster, random: Random) {
    this.cluster = cluster;
    this.random = random;
  }

  /** Gives one order. @returns what it counts as; undefined when there was nobody to give it to */
  protected abstract order(): Promise<string | undefined>;

  /** Puts right what must not outlast the orders. @throws when that does not work out in calm */
  protected async repair(): Promise<void> {}

  begin(): void {
    this.loop = this.run();
  }

  /** @returns how many orders were taken in which way */
  async stop(): Promise<unknown> {
    this.over.abort();
    await this.loop;
    await this.repair();
    return Object.fromEntries([...this.counts].sort());
  }

  private async run(): Promise<void> {
    const { signal } = this.over;
    while (!signal.aborted) {
      const gapMs = GAP_MS.least + this.random.next() * (GAP_MS.most - GAP_MS.least);
      await sleep(gapMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        this.count(await this.order());
      } catch (error) {
        this.count(`refused: ${(error as { code?: string }).code ?? 'no answer'}`);
      }
    }
  }

  protected count(what: string | undefined): void {
    if (what !== undefined) this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }
}

/** A fault that lasts from its injection until it is healed. */
export function ordersOf(
  name: string,
  description: string,
  make: (cluster: TestCluster, random: Random) => Orders,
): Nemesis {
  const given = new WeakMap<TestCluster, Orders>();
  return {
    name,
    description,
    async inject(cluster, random) {
      const orders = make(cluster, random);
      given.set(cluster, orders);
      orders.begin();
      return 'begun';
    },
    async heal(cluster) {
      const orders = given.get(cluster);
      given.delete(cluster);
      return orders?.stop();
    },
  };
}
