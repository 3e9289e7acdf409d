/** Ranges that are cut, joined and carried to other groups all the time, by an operator who knows no mercy. */
import { AdminClient } from '../../src/adapter/grpc/index.ts';
import type { RouteView } from '../../src/cluster/index.ts';
import type { Random } from '../../src/platform/index.ts';
import type { Nemesis, TestCluster } from '../types.ts';
import { Orders, ordersOf } from './orders.ts';

const CALL_TIMEOUT_MS = 2_000;
/** More routes than this are merged rather than cut. */
const MAX_ROUTES = 40;
const MAX_BATCH = 6;
const SLOTS = 16_384;

/** Storage key at which a slot of database 0 begins. */
const slotStart = (slot: number): Buffer => Buffer.from([0x72, 0, slot >>> 8, slot & 0xff]);

/** What is done to ranges. */
type RouteOrder = 'moves' | 'merges' | 'splits' | 'batches';

/** Of what kind orders are: shares that add up to 1. */
type OrderShares = Readonly<Partial<Record<RouteOrder, number>>>;

const EVERYTHING: OrderShares = { moves: 0.4, merges: 0.2, splits: 0.3, batches: 0.1 };

/** Where ranges are cut, and what is moved. */
interface Shuffled {
  readonly first: Buffer;
  readonly end: Buffer;
  cut(random: Random): Buffer;
}

/** Database 0 of Redis. */
const SLOTS_OF_REDIS: Shuffled = {
  first: slotStart(0),
  end: Buffer.from([0x72, 1]),
  cut: (random) => slotStart(random.int(SLOTS)),
};

/** Numbers of the first tables of a new cluster: they are spread over its groups. */
const FIRST_TABLES = [0x80_00_00, 0x40_00_00, 0xc0_00_00] as const;
/** A table and its first indexes. */
const INDEXES = 4;
const TOKENS = 2 ** 32;

/** The first tables of DynamoDB with their indexes, cut between any two tokens. */
const TABLES_OF_DYNAMODB: Shuffled = {
  first: Buffer.from([0x64, 1]),
  end: Buffer.from([0x65]),
  cut(random) {
    const key = Buffer.alloc(9, 0x64);
    key.writeUIntBE(FIRST_TABLES[random.int(FIRST_TABLES.length)]!, 1, 3);
    key[4] = random.int(INDEXES);
    key.writeUInt32BE(random.int(TOKENS), 5);
    return key;
  },
};

class Shuffle extends Orders {
  private readonly shuffled: Shuffled;
  private readonly shares: OrderShares;

  constructor(cluster: TestCluster, random: Random, shuffled: Shuffled, shares = EVERYTHING) {
    super(cluster, random);
    this.shuffled = shuffled;
    this.shares = shares;
  }

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
    const { first: start, end } = this.shuffled;
    const request = { start, end, limit: 0 };
    for await (const page of client.stream('ListRoutes', request, CALL_TIMEOUT_MS)) routes.push(...page.routes);
    return routes;
  }

  private draw(): RouteOrder {
    let draw = this.random.next();
    for (const [order, share] of Object.entries(this.shares) as [RouteOrder, number][]) {
      if (draw < share) return order;
      draw -= share;
    }
    return 'moves';
  }

  private async orderThrough(client: AdminClient): Promise<string> {
    const { random, shuffled } = this;
    const { first } = shuffled;
    const routes = await this.routes(client);
    const drawn = this.draw();
    const order = drawn !== 'moves' && routes.length > MAX_ROUTES ? 'merges' : drawn;
    const { start } = routes[random.int(routes.length)]!;
    switch (order) {
      case 'moves': {
        const { groups } = await client.call('ListGroups', {}, CALL_TIMEOUT_MS);
        const toGroup = groups[random.int(groups.length)]!.id;
        await client.call('Move', { key: Buffer.compare(start, first) < 0 ? first : start, toGroup }, CALL_TIMEOUT_MS);
        break;
      }
      case 'merges':
        await client.call('Merge', { boundary: start }, CALL_TIMEOUT_MS);
        break;
      case 'splits':
        await client.call('Split', { key: shuffled.cut(random) }, CALL_TIMEOUT_MS);
        break;
      case 'batches': {
        const keys = Array.from({ length: 1 + random.int(MAX_BATCH) }, () => shuffled.cut(random));
        await client.call('BatchSplit', { keys, batchId: random.bytes(16) }, CALL_TIMEOUT_MS);
        break;
      }
    }
    return order;
  }
}

export const routeShuffle: Nemesis = ordersOf(
  'route-shuffle',
  'splits, merges and moves ranges all the time; needs --groups',
  (cluster, random) => new Shuffle(cluster, random, SLOTS_OF_REDIS),
);

export const tableShuffle: Nemesis = ordersOf(
  'table-shuffle',
  'the same with ranges of the tables of DynamoDB',
  (cluster, random) => new Shuffle(cluster, random, TABLES_OF_DYNAMODB),
);

export const tableMoves: Nemesis = ordersOf(
  'table-moves',
  'carries ranges of the tables of DynamoDB from group to group, and cuts none',
  (cluster, random) => new Shuffle(cluster, random, TABLES_OF_DYNAMODB, { moves: 1 }),
);

export const tableSplits: Nemesis = ordersOf(
  'table-splits',
  'cuts and joins ranges of the tables of DynamoDB, and carries none to another group',
  (cluster, random) => new Shuffle(cluster, random, TABLES_OF_DYNAMODB, { splits: 0.5, batches: 0.2, merges: 0.3 }),
);
