/** Ranges that are cut, joined and carried to other groups all the time, by an operator who knows no mercy. */
import { setTimeout as sleep } from 'node:timers/promises';
import { AdminClient } from '../../src/adapter/grpc/index.ts';
import type { RouteView } from '../../src/kv/index.ts';
import type { Random } from '../../src/platform/index.ts';
import type { Nemesis, TestCluster } from '../types.ts';

/** Between one order and the next. */
const GAP_MS = { least: 50, most: 400 };
const CALL_TIMEOUT_MS = 2_000;
/** More routes than this are merged rather than cut. */
const MAX_ROUTES = 40;
const MAX_BATCH = 6;
const SLOTS = 16_384;

/** Storage key at which a slot of database 0 begins. */
const slotStart = (slot: number): Buffer => Buffer.from([0x72, 0, slot >>> 8, slot & 0xff]);
const FIRST = slotStart(0);
const END = Buffer.from([0x72, 1]);

/** Gives orders until it is stopped, and counts how they were taken. */
class Shuffle {
  private readonly cluster: TestCluster;
  private readonly random: Random;
  private readonly counts = new Map<string, number>();
  private readonly over = new AbortController();
  private readonly loop: Promise<void>;

  constructor(cluster: TestCluster, random: Random) {
    this.cluster = cluster;
    this.random = random;
    this.loop = this.run();
  }

  async stop(): Promise<unknown> {
    this.over.abort();
    await this.loop;
    return Object.fromEntries([...this.counts].sort());
  }

  private async run(): Promise<void> {
    const { signal } = this.over;
    while (!signal.aborted) {
      const gapMs = GAP_MS.least + this.random.next() * (GAP_MS.most - GAP_MS.least);
      await sleep(gapMs, undefined, { signal }).catch(() => undefined);
      const running = this.cluster.nodes.filter((node) => this.cluster.isRunning(node));
      if (signal.aborted || running.length === 0) continue;
      const client = new AdminClient(this.cluster.adminAddress(running[this.random.int(running.length)]!));
      try {
        this.count(await this.order(client));
      } catch (error) {
        this.count(`refused: ${(error as { code?: string }).code ?? 'no answer'}`);
      } finally {
        client.close();
      }
    }
  }

  private count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  private async routes(client: AdminClient): Promise<RouteView[]> {
    const routes: RouteView[] = [];
    const request = { start: FIRST, end: END, limit: 0 };
    for await (const page of client.stream('ListRoutes', request, CALL_TIMEOUT_MS)) routes.push(...page.routes);
    return routes;
  }

  private async order(client: AdminClient): Promise<string> {
    const { random } = this;
    const routes = await this.routes(client);
    const draw = random.next();
    if (draw < 0.4) {
      const { groups } = await client.call('ListGroups', {}, CALL_TIMEOUT_MS);
      const { start } = routes[random.int(routes.length)]!;
      const toGroup = groups[random.int(groups.length)]!.id;
      await client.call('Move', { key: Buffer.compare(start, FIRST) < 0 ? FIRST : start, toGroup }, CALL_TIMEOUT_MS);
      return 'moves';
    }
    if (draw < 0.6 || routes.length > MAX_ROUTES) {
      await client.call('Merge', { boundary: routes[random.int(routes.length)]!.start }, CALL_TIMEOUT_MS);
      return 'merges';
    }
    if (draw < 0.9) {
      await client.call('Split', { key: slotStart(random.int(SLOTS)) }, CALL_TIMEOUT_MS);
      return 'splits';
    }
    const keys = Array.from({ length: 1 + random.int(MAX_BATCH) }, () => slotStart(random.int(SLOTS)));
    await client.call('BatchSplit', { keys, batchId: random.bytes(16) }, CALL_TIMEOUT_MS);
    return 'batches';
  }
}

const shuffles = new WeakMap<TestCluster, Shuffle>();

export const routeShuffle: Nemesis = {
  name: 'route-shuffle',
  description: 'splits, merges and moves ranges all the time; needs --groups',
  async inject(cluster, random) {
    shuffles.set(cluster, new Shuffle(cluster, random));
    return 'begun';
  },
  async heal(cluster) {
    const shuffle = shuffles.get(cluster);
    shuffles.delete(cluster);
    return shuffle?.stop();
  },
};
