/** Ranges that are cut, joined and carried to other groups all the time, by an operator who knows no mercy. */
import { AdminClient } from '../../src/adapter/grpc/index.ts';
import type { RouteView } from '../../src/cluster/index.ts';
import type { Nemesis } from '../types.ts';
import { Orders, ordersOf } from './orders.ts';

const CALL_TIMEOUT_MS = 2_000;
/** More routes than this are merged rather than cut. */
const MAX_ROUTES = 40;
const MAX_BATCH = 6;
const SLOTS = 16_384;

/** Storage key at which a slot of database 0 begins. */
const slotStart = (slot: number): Buffer => Buffer.from([0x72, 0, slot >>> 8, slot & 0xff]);
const FIRST = slotStart(0);
const END = Buffer.from([0x72, 1]);

class Shuffle extends Orders {
  protected async order(): Promise<string | undefined> {
    const running = this.cluster.nodes.filter((node) => this.cluster.isRunning(node));
    if (running.length === 0) return undefined;
    const client = new AdminClient(this.cluster.adminAddress(running[this.random.int(running.length)]!));
    try {
      return await this.orderThrough(client);
    } finally {
      client.close();
    }
  }

  private async routes(client: AdminClient): Promise<RouteView[]> {
    const routes: RouteView[] = [];
    const request = { start: FIRST, end: END, limit: 0 };
    for await (const page of client.stream('ListRoutes', request, CALL_TIMEOUT_MS)) routes.push(...page.routes);
    return routes;
  }

  private async orderThrough(client: AdminClient): Promise<string> {
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

export const routeShuffle: Nemesis = ordersOf(
  'route-shuffle',
  'splits, merges and moves ranges all the time; needs --groups',
  (cluster, random) => new Shuffle(cluster, random),
);
