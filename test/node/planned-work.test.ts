/** Stops, drains and decommissions on whole simulated nodes. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DEFAULT_BALANCE_TIMES } from '../../src/cluster/balance/scheduler.ts';
import { AdminError } from '../../src/cluster/contract/admin-errors.ts';
import type { DrainAction } from '../../src/cluster/contract/admin-operations.ts';
import { OrderlyStop } from '../../src/node/orderly-stop.ts';
import { groupId, nodeId } from '../../src/platform/index.ts';
import { SimulatedNodes } from '../support/simulated-nodes.ts';

const GROUPS = [1, 2, 3].map(groupId);
const BALANCE = {
  load: { windowMs: 2_000, reportMs: 500 },
  rules: {
    ...DEFAULT_BALANCE_TIMES,
    tickMs: 100,
    intervalMs: { ...DEFAULT_BALANCE_TIMES.intervalMs, 'balance.leaders': 1_000 },
    groupRestMs: 500,
  },
};

async function started(nodes: number): Promise<SimulatedNodes> {
  const groups = GROUPS.map((id) => ({
    id,
    voters: [1, 2, 3],
    preferredLeader: id,
    ...(id === 1 ? {} : { ranges: [] }),
  }));
  const cluster = new SimulatedNodes(nodes, groups, 5, { balance: BALANCE });
  cluster.start();
  await cluster.ready();
  await cluster.known();
  await cluster.active('nodes.drain');
  return cluster;
}

const drain = (cluster: SimulatedNodes, id: number, action: DrainAction, asked = 1) =>
  cluster.run(cluster.running(asked).admin.drain({ nodeId: nodeId(id), action }, 10_000));

const progress = (cluster: SimulatedNodes, id: number, asked = 1) =>
  cluster.run(cluster.running(asked).admin.drainProgress(nodeId(id), 10_000));

/** As whoever waits for it: says it, looks, and says it once more where that is due. */
async function isDone(cluster: SimulatedNodes, id: number, action: DrainAction): Promise<void> {
  let status = await drain(cluster, id, action);
  for (let nth = 0; ; nth++) {
    if (status.isCallDue) status = await drain(cluster, id, action);
    if (status.isDone) return;
    assert.ok(nth < 200, `${action} ${id}: not in time`);
    await cluster.simulation.runFor(500);
    status = await progress(cluster, id);
  }
}

const ledBy = (cluster: SimulatedNodes, id: number): number[] =>
  GROUPS.filter((group) => cluster.leaderOf(group) === id);
const votersOf = (cluster: SimulatedNodes, group: (typeof GROUPS)[number]): number[] =>
  [...cluster.node(cluster.leaderOf(group)!).raft(group)!.status().conf.voters].sort();

function orderlyStop(cluster: SimulatedNodes, id: number): OrderlyStop {
  const { kv, engine, clusterState, fitness } = cluster.running(id);
  const { clock, scheduler } = cluster.node(id).machine;
  return new OrderlyStop({
    self: nodeId(id),
    departures: kv.departures,
    groups: () => engine.groups(),
    clusterState,
    mayLead: (node) => fitness.mayLead(node),
    ...{ clock, scheduler },
    logger: { info: () => undefined },
  });
}

describe('a node that is drained', () => {
  test('leads nothing, gives its replicas to the one that has none, and comes back', async () => {
    const cluster = await started(4);
    await cluster.command(1, 'set', 'key', 'value');
    const victim = cluster.leaderOf(GROUPS[0]!)!;
    const asked = victim === 1 ? 2 : 1;
    const { replicasBefore, isDone: isDoneAtOnce } = await drain(cluster, victim, 'drain', asked);
    assert.deepEqual([replicasBefore, isDoneAtOnce], [3, false]);
    await isDone(cluster, victim, 'drain');
    assert.deepEqual(ledBy(cluster, victim), []);
    const left = [1, 2, 3, 4].filter((id) => id !== victim);
    for (const group of GROUPS) assert.deepEqual(votersOf(cluster, group), left);
    assert.equal(await cluster.command(victim, 'get', 'key'), 'value');
    const [view] = (await cluster.run(cluster.running(asked).admin.nodes(5_000))).filter(
      (node) => node.nodeId === victim,
    );
    assert.equal(view!.service, 'draining');
    const health = await cluster.run(cluster.running(asked).admin.health(5_000));
    assert.match(health.problems.map(({ message }) => message).join(), /it is draining: it leads 0 groups/);
    assert.equal((await drain(cluster, victim, 'undrain')).state, 'serving');
  });

  test('keeps replicas that nobody else has room for, and leads none of them for as long as it is drained', async () => {
    const cluster = await started(3);
    await isDone(cluster, 2, 'drain');
    assert.deepEqual(ledBy(cluster, 2), []);
    for (const group of GROUPS) assert.deepEqual(votersOf(cluster, group), [1, 2, 3]);
    // Also when it has forgotten that it was.
    cluster.node(2).crash(false);
    cluster.node(2).start();
    await cluster.ready();
    await cluster.until('it leads nothing', () => ledBy(cluster, 2).length === 0);
    await cluster.simulation.runFor(10_000);
    assert.deepEqual(ledBy(cluster, 2), [], 'balancing gives it nothing');
    await drain(cluster, 2, 'undrain');
    await cluster.until('it leads again', () => ledBy(cluster, 2).length > 0);
  });
});

describe('a replica that is being filled for a drain', () => {
  const learnersOf = (cluster: SimulatedNodes): number[] =>
    GROUPS.flatMap((group) => {
      const leader = cluster.leaderOf(group);
      return leader === undefined ? [] : [...cluster.node(leader).raft(group)!.status().conf.learners];
    });

  /** A new replica can never be filled: its node has just died, and nobody has noticed yet. */
  async function filling(): Promise<SimulatedNodes> {
    const cluster = await started(4);
    cluster.node(4).crash(false);
    await drain(cluster, 3, 'drain');
    await cluster.until('a replica is being filled', () => learnersOf(cluster).length > 0);
    return cluster;
  }

  test('is given up when nobody is drained any more', async () => {
    const cluster = await filling();
    await drain(cluster, 3, 'undrain');
    await cluster.until('the replica has gone', () => learnersOf(cluster).length === 0);
    const { reports } = await cluster.run(cluster.running(1).admin.balance(5_000));
    assert.match(reports.map(({ text }) => text).join('\n'), /node 3 is back in service; its new replica is given up/);
    for (const group of GROUPS) assert.deepEqual(votersOf(cluster, group), [1, 2, 3]);
  });

  test('is given up when its node is known to be gone, and another place is looked for', async () => {
    const cluster = await filling();
    await cluster.simulation.runFor(7_000);
    assert.deepEqual(learnersOf(cluster), []);
    cluster.node(4).start();
    await cluster.until('a replica has gone', () => GROUPS.some((group) => votersOf(cluster, group).includes(4)));
  });
});

describe('a decommission', () => {
  test('is refused while a group would be left with fewer replicas', async () => {
    const cluster = await started(3);
    await assert.rejects(drain(cluster, 2, 'decommission'), (error) => {
      assert.ok(error instanceof AdminError);
      assert.equal(error.code, 'NO_ROOM');
      return true;
    });
    assert.deepEqual(cluster.running(1).clusterState()?.withdrawals, []);
  });

  test('ends with the removal of the node, and not before its last replica has gone', async () => {
    const cluster = await started(4);
    let isOver = false;
    cluster.onViolation = (violation) => {
      // Nobody lets it in any more, as it should be.
      assert.match(violation.message, /node 3/);
      isOver = true;
    };
    cluster.node(3).isHeldDown = true;
    await isDone(cluster, 3, 'decommission');
    for (const group of GROUPS) assert.deepEqual(votersOf(cluster, group), [1, 2, 4]);
    await cluster.until('it ends', () => isOver);
    assert.equal((await progress(cluster, 3)).state, 'removed');
    await assert.rejects(drain(cluster, 3, 'undrain'), /is not in the cluster/);
  });
});

describe('a node that stops', () => {
  test('leaves no outcome unknown to those that have asked it, though it is gone at once', async () => {
    const cluster = await started(3);
    const victim = cluster.leaderOf(GROUPS[0]!)!;
    const other = victim === 1 ? 2 : 1;
    const client = await cluster.run(cluster.node(other).connect());
    const replies: unknown[] = [];
    let isOver = false;
    let under = 0;
    const ask = (): void => {
      if (isOver) return;
      under++;
      const key = `counter ${replies.length % 7}`;
      client.command(['incr', key]).then(
        (reply) => {
          under--;
          replies.push(reply);
          ask();
        },
        (error: Error) => {
          under--;
          replies.push(error.message);
        },
      );
    };
    for (let nth = 0; nth < 30; nth++) ask();
    await cluster.until('clients are at it', () => replies.length > 50);
    const stop = orderlyStop(cluster, victim);
    const { groups, left } = await cluster.run(stop.begin());
    assert.ok(groups >= 1 && left === 0);
    await cluster.run(stop.takeLeave());
    cluster.node(victim).crash(false);
    const before = replies.length;
    await cluster.until('clients go on', () => replies.length > before + 50);
    isOver = true;
    await cluster.until('all have their answer', () => under === 0);
    assert.deepEqual(
      replies.filter((reply) => typeof reply !== 'number'),
      [],
    );
  });

  test('hands nothing to one that stops too, and waits for nobody when all do', async () => {
    const cluster = await started(3);
    const atMs = cluster.simulation.nowMs();
    const stops = [1, 2, 3].map((id) => orderlyStop(cluster, id));
    const handed = await cluster.run(Promise.all(stops.map((stop) => stop.begin())));
    assert.deepEqual(
      handed.map(({ groups }) => groups),
      [0, 0, 0],
    );
    assert.ok(cluster.simulation.nowMs() - atMs < 500);
  });
});
