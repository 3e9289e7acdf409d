/** Balancing by bytes on whole nodes, up to the membership that changes and the range that moves. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { BalancerTimes } from '../../src/cluster/balance/balancer.ts';
import { DEFAULT_BALANCE_TIMES } from '../../src/cluster/balance/scheduler.ts';
import { groupId } from '../../src/platform/index.ts';
import { SimulatedLevel } from '../../src/store/level/simulated-level.ts';
import { SimulatedNodes } from '../support/simulated-nodes.ts';

const TWO = groupId(2);
const THREE = groupId(3);
const TIMES: BalancerTimes = {
  load: { windowMs: 2_000, reportMs: 500 },
  rules: {
    ...DEFAULT_BALANCE_TIMES,
    tickMs: 100,
    intervalMs: { autosplit: 1_000, automerge: 1_000, 'balance.leaders': 1_000, 'balance.size': 1_000, drain: 500 },
    restMs: { autosplit: 0, automerge: 0, 'balance.leaders': 500, 'balance.size': 500, drain: 0 },
    groupRestMs: 1_000,
  },
};
/** What the database says that each of its rows takes: rules about gibibytes are tested with kilobytes. */
const ROW_BYTES = 2 ** 20;
const PAGE_ROWS = 1_000;

async function approximateBytes(this: SimulatedLevel, gte: Buffer, lt: Buffer): Promise<number> {
  const rows = this.iterator({ gte, lt });
  let count = 0;
  try {
    for (let page = await rows.nextv(PAGE_ROWS); page.length > 0; page = await rows.nextv(PAGE_ROWS))
      count += page.length;
  } finally {
    await rows.close();
  }
  return count * ROW_BYTES;
}

const HOT_KEYS = 2_000;

const key = (at: number): string => `key${at}`;

async function ready(cluster: SimulatedNodes): Promise<void> {
  cluster.start();
  await cluster.ready();
  await cluster.known();
  await cluster.until('the features are active', () =>
    cluster.nodes.every(({ process }) => (process?.node.clusterState()?.features.length ?? 0) >= 3),
  );
  // Leaders are another rule's.
  await set(cluster, 'balance.leaders', 'off');
}

const set = (cluster: SimulatedNodes, name: string, value: string): Promise<unknown> =>
  cluster.run(cluster.running(1).catalog.run({ kind: 'setSetting', name, value }));

async function write(cluster: SimulatedNodes, count: number): Promise<void> {
  for (let at = 0; at < count; at += 200) {
    const pairs = Array.from({ length: 200 }, (_, each) => [key(at + each), String(at + each)]).flat();
    await cluster.command(1, 'mset', ...pairs);
  }
}

async function assertAllThere(cluster: SimulatedNodes, asked: number, count: number): Promise<void> {
  for (let at = 0; at < count; at += 200) {
    const keys = Array.from({ length: 200 }, (_, each) => key(at + each));
    const values = await cluster.command(asked, 'mget', ...keys);
    assert.deepEqual(
      values,
      keys.map((_, each) => String(at + each)),
    );
  }
}

const reports = async (cluster: SimulatedNodes, duty: string, event: string): Promise<string[]> => {
  const { reports: all } = await cluster.run(cluster.running(1).admin.balance(5_000));
  return all.filter((report) => report.duty === duty && report.event === event).map(({ text }) => text);
};

const votersOf = (cluster: SimulatedNodes, group: typeof TWO): readonly number[] =>
  cluster
    .running(cluster.leaderOf(group) ?? 1)
    .host.get(group)
    ?.raft.status().conf.voters ?? [];

describe('balancing by bytes', () => {
  before(() => {
    Object.assign(SimulatedLevel.prototype, { approximateBytes });
  });

  test('says what it would do, and then gives a replica to the node that has none', async () => {
    const cluster = new SimulatedNodes(
      4,
      [
        { id: 1, voters: [1, 2, 3] },
        { id: 2, voters: [1, 2, 3], ranges: [{ slots: '0-8191' }] },
        { id: 3, voters: [1, 2, 3], ranges: [{ slots: '8192-16383' }] },
      ],
      21,
      { balance: TIMES },
    );
    await ready(cluster);
    await set(cluster, 'autosplit', 'off');
    await write(cluster, 4_000);
    let observed: string[] = [];
    for (let look = 0; look < 80 && observed.length === 0; look++) {
      await cluster.simulation.runFor(250);
      observed = await reports(cluster, 'balance.size', 'observed');
    }
    assert.match(observed[0] ?? '', /the replica of group [23] .* goes from node [123] to node 4/);
    assert.deepEqual(
      [votersOf(cluster, TWO), votersOf(cluster, THREE)],
      [
        [1, 2, 3],
        [1, 2, 3],
      ],
      'nothing was done',
    );

    await set(cluster, 'balance.size', 'on');
    await cluster.until('node 4 has a vote', () => [TWO, THREE].some((group) => votersOf(cluster, group).includes(4)));
    await cluster.until('and somebody has one less', () =>
      [TWO, THREE].every((group) => votersOf(cluster, group).length === 3),
    );
    let done: string[] = [];
    for (let look = 0; look < 40 && done.length === 0; look++) {
      await cluster.simulation.runFor(250);
      done = await reports(cluster, 'balance.size', 'done');
    }
    assert.equal(done.length, 1);
    await assertAllThere(cluster, 4, 4_000);
    await cluster.simulation.runFor(10_000);
    assert.equal((await reports(cluster, 'balance.size', 'begun')).length, 1, 'and then it rests');
  });

  test('cuts a hot range that is too large to move, and sends a part of it to another group', {
    timeout: 90_000,
  }, async () => {
    const cluster = new SimulatedNodes(
      3,
      [
        { id: 1, voters: [1, 2, 3] },
        { id: 2, voters: [1], ranges: [{ slots: '0-16383' }] },
        { id: 3, voters: [2] },
      ],
      22,
      { balance: TIMES },
    );
    await ready(cluster);
    await set(cluster, 'balance.size', 'on');
    let isOver = false;
    const routeCount = cluster.running(1).routes.current.size;
    const load = (async () => {
      const client = await cluster.node(1).connect();
      for (let round = 0; !isOver; round++) {
        const at = (round * 100) % HOT_KEYS;
        const pairs = Array.from({ length: 100 }, (_, each) => [key(at + each), String(at + each)]).flat();
        await client.command(['mset', ...pairs]);
        // Hot until it is cut, and then no busier than the test can bear.
        const paceMs = cluster.running(1).routes.current.size > routeCount ? 300 : 15;
        await new Promise<void>((resolve) => cluster.node(1).machine.scheduler.after(paceMs, resolve));
      }
      client.disconnect();
    })();
    await cluster.until('a part of the range is on its way to group 3', () => {
      const led = cluster.nodes.flatMap(({ process }) => [...(process?.node.catalogLeader.state?.jobs.values() ?? [])]);
      return led.some(({ src, dst }) => src === TWO && dst === THREE);
    });
    isOver = true;
    await cluster.run(load);
    assert.ok((await reports(cluster, 'autosplit', 'done')).length > 0);
    assert.match((await reports(cluster, 'balance.size', 'begun'))[0] ?? '', /goes from group 2 to group 3/);
    await assertAllThere(cluster, 3, HOT_KEYS);
  });
});
