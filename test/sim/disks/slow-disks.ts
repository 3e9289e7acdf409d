/**
 * What a slow disk costs clients: three whole nodes in simulated time, where processing takes none and a sync takes exactly as long as
 * asked for. What is left is what waits for what.
 */
import { KEYSPACES } from '../../../src/adapter/redis/keys/index.ts';
import { type GroupId, groupId, type Millis } from '../../../src/platform/index.ts';
import { GOOD_LINK } from '../../../src/platform/simulated/index.ts';
import { SimulatedNodes } from '../../support/simulated-nodes.ts';
import { CLIENT_ROUND_TRIP_MS } from '../cluster/sim-connection.ts';

/** What a command takes on the network in the mean: from the client to the leader, from there to a follower, and back. */
export const ROUND_TRIP_MS: Millis = CLIENT_ROUND_TRIP_MS + GOOD_LINK.minDelayMs + GOOD_LINK.maxDelayMs;

const SETTLING_ROUNDS = 20;
const KEYS_OF_A_CLIENT = 1000;
const VALUE = 'x'.repeat(100);

export interface SlowDiskLoad {
  /** What a sync takes on every node. */
  readonly syncMs: Millis;
  /** What a sync takes instead on the node that leads the first group that clients write to. */
  readonly leaderSyncMs?: Millis;
  /** Each sends a SET when the last one is answered, to the leader of the group that it writes to. */
  readonly clients: number;
  /** Groups of data that clients are dealt out to; all of them share one log on each node. Left out: there is one group. */
  readonly groups?: number;
  /** Of each client, about. */
  readonly rounds: number;
  readonly seed: number;
}

export interface SlowDiskFigures {
  /** From one SET of a client to its next one, on average. */
  readonly roundMs: Millis;
  readonly p50Ms: Millis;
  readonly p99Ms: Millis;
}

/** Puts the load on a cluster of three. */
export async function measureSlowDisks(load: SlowDiskLoad): Promise<SlowDiskFigures> {
  const { syncMs, leaderSyncMs = syncMs, clients, groups = 0, rounds, seed } = load;
  const nodes = new SimulatedNodes(3, groups, seed, {}, { plan: { segmentBytes: 8 << 20, logCacheBytes: 8 << 20 } });
  const { simulation } = nodes;
  nodes.start();
  await nodes.ready();
  const groupOf = (client: number): GroupId => groupId(groups === 0 ? 1 : 2 + (client % groups));
  const first = nodes.leaderOf(groupOf(0));
  for (const { id, machine } of nodes.nodes) machine.disk.syncMs = id === first ? leaderSyncMs : syncMs;
  const tookMs: Millis[] = [];
  let isOver = false;
  const work = async (client: number): Promise<void> => {
    const group = groupOf(client);
    const tag = tagOf(nodes, group);
    const redis = await nodes.node(nodes.leaderOf(group)!).connect();
    for (let at = 0; !isOver; at++) {
      const startMs = simulation.nowMs();
      await redis.command(['SET', `{${tag}}${client}-${at % KEYS_OF_A_CLIENT}`, VALUE]);
      tookMs.push(simulation.nowMs() - startMs);
    }
    redis.disconnect();
  };
  const working = Promise.all(Array.from({ length: clients }, (_, client) => work(client)));
  const roundMs = syncMs + 1;
  await simulation.runFor(SETTLING_ROUNDS * roundMs);
  tookMs.length = 0;
  const lengthMs = rounds * roundMs;
  await simulation.runFor(lengthMs);
  const sorted = tookMs.toSorted((left, right) => left - right);
  isOver = true;
  await nodes.run(working);
  return {
    roundMs: (lengthMs * clients) / sorted.length,
    p50Ms: sorted[Math.floor(sorted.length * 0.5)]!,
    p99Ms: sorted[Math.floor(sorted.length * 0.99)]!,
  };
}

/** A hash tag whose keys are in a group. */
function tagOf(nodes: SimulatedNodes, group: GroupId): string {
  const { kv } = nodes.running(1);
  for (let at = 0; ; at++) {
    const tag = `t${at}`;
    if (kv.groupOf(KEYSPACES[0]!.storageKey(Buffer.from(`{${tag}}`))) === group) return tag;
  }
}
