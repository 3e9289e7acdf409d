/** Balancing on whole nodes: simulated machines, the real composition, short windows. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BalancerTimes } from '../../../src/cluster/balance/balancer.ts';
import { DEFAULT_BALANCE_TIMES } from '../../../src/cluster/balance/scheduler.ts';
import type { GroupsSetting } from '../../../src/config/index.ts';
import { groupId } from '../../../src/platform/index.ts';
import { SimulatedNodes } from '../../support/simulated-nodes.ts';

const WINDOW_MS = 2_000;
const TIMES: BalancerTimes = {
  load: { windowMs: WINDOW_MS, reportMs: 500 },
  rules: {
    ...DEFAULT_BALANCE_TIMES,
    tickMs: 100,
    intervalMs: { autosplit: 1_000, automerge: 1_000, 'balance.leaders': 1_000, 'balance.size': 1_000, drain: 500 },
    restMs: { autosplit: 0, automerge: 0, 'balance.leaders': 500, 'balance.size': 500, drain: 0 },
    groupRestMs: 1_000,
  },
};

/** Three whole nodes that balance in seconds instead of minutes. */
class BalancedNodes extends SimulatedNodes {
  constructor(groups: GroupsSetting, seed = 11) {
    super(3, groups, seed, { balance: TIMES });
    this.start();
  }

  /** Every node is ready and reports load. */
  override async ready(): Promise<void> {
    await this.until('everybody is there and the features are active', () =>
      this.nodes.every(
        ({ process }) =>
          process?.node.readiness().ready === true && (process.node.clusterState()?.features.length ?? 0) >= 3,
      ),
    );
  }

  balance(id: number) {
    return this.run(this.running(id).admin.balance(3_000));
  }

  set(name: string, value: string) {
    return this.run(this.running(1).catalog.run({ kind: 'setSetting', name, value }));
  }
}

const ALL_SLOTS = [{ slots: '0-16383' }];

/** Writes of ten thousand keys, a hundred a command, as fast as they are answered; a leader that hands over may refuse some. */
async function write(cluster: BalancedNodes, rounds: number): Promise<void> {
  const client = await cluster.nodes[0]!.connect();
  for (let round = 0; round < rounds; round++) {
    const args = ['mset'];
    for (let at = 0; at < 100; at++) args.push(`key${(round * 7919 + at * 101) % 10_000}`, 'v');
    await client.command(args).catch((error: Error) => assert.match(error.message, /^TRYAGAIN /));
    await new Promise<void>((resolve) => cluster.nodes[0]!.machine.scheduler.after(15, resolve));
  }
  client.disconnect();
}

describe('balancing on whole nodes', () => {
  test('cuts a range that is hot for three windows, by itself, and says why', async () => {
    const cluster = new BalancedNodes([{ id: 1 }, { id: 2, ranges: ALL_SLOTS }]);
    await cluster.ready();
    const before = cluster.running(1).routes.current.size;
    const load = write(cluster, 1_000);
    await cluster.until('the hot range is cut', () => cluster.running(1).routes.current.size > before);
    const view = await cluster.balance(3);
    const done = view.reports.find(({ duty, event }) => duty === 'autosplit' && event === 'begun');
    assert.match(done?.text ?? '', /hot for 3 windows/);
    assert.ok(view.windowCount >= 3 && view.completeGroups >= 1);
    await Promise.race([cluster.simulation.runFor(1), load]);
  });

  test('only says so where it observes', async () => {
    const cluster = new BalancedNodes([{ id: 1 }, { id: 2, ranges: ALL_SLOTS }], 12);
    await cluster.ready();
    await cluster.set('autosplit', 'observe');
    const { version } = cluster.running(1).routes.current;
    write(cluster, 1_000).catch(() => undefined);
    let observed = false;
    for (let look = 0; look < 60 && !observed; look++) {
      await cluster.simulation.runFor(250);
      observed = (await cluster.balance(1)).reports.some(
        ({ event, duty }) => event === 'observed' && duty === 'autosplit',
      );
    }
    assert.ok(observed, 'it said what it would do');
    assert.equal(cluster.running(1).routes.current.version, version, 'and did nothing');
  });

  test('leaves leaders where a fresh cluster puts them', async () => {
    const cluster = new BalancedNodes(5);
    await cluster.ready();
    const leaders = (): (number | undefined)[] => [1, 2, 3, 4, 5, 6].map((id) => cluster.leaderOf(groupId(id)));
    const before = leaders();
    await cluster.simulation.runFor(15_000);
    assert.deepEqual(
      [before, leaders()],
      [
        [1, 2, 3, 1, 2, 3],
        [1, 2, 3, 1, 2, 3],
      ],
    );
    const { duties, reports } = await cluster.balance(2);
    assert.match(duties.find(({ duty }) => duty === 'balance.leaders')?.said ?? '', /even/);
    assert.deepEqual(
      reports.filter(({ event }) => event === 'begun'),
      [],
    );
  });

  test('brings leaders back to a node that was away', async () => {
    const cluster = new BalancedNodes(5);
    await cluster.ready();
    cluster.nodes[1]!.crash(true);
    await cluster.until('others lead', () => [2, 5].every((id) => (cluster.leaderOf(groupId(id)) ?? 2) !== 2));
    cluster.nodes[1]!.start();
    await cluster.until('node 2 leads what it should', () => [2, 5].every((id) => cluster.leaderOf(groupId(id)) === 2));
    const told = await cluster.balance(1);
    assert.ok(told.reports.some(({ duty, event }) => duty === 'balance.leaders' && event === 'done'));
  });
});
