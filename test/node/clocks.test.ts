import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KEYSPACES } from '../../src/adapter/redis/keys/keyspace.ts';
import { acceptanceOf } from '../../src/cluster/admin/accepted-time.ts';
import { encodeLease } from '../../src/kv/entry/time-entries.ts';
import { type GroupId, groupId } from '../../src/platform/index.ts';
import { SimulatedNodes } from '../support/simulated-nodes.ts';

const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;
const ORACLE = groupId(1);
const SPACE = KEYSPACES[0]!;

/** Whole nodes on simulated machines whose clocks are set by the test. */
class ClockedNodes extends SimulatedNodes {
  constructor(seed: number, offsetsMs: readonly number[] = [0, 0, 0], groups = 3) {
    super(offsetsMs.length, groups, seed);
    for (const [at, offsetMs] of offsetsMs.entries()) this.node(at + 1).setClockOffset(offsetMs);
    this.start();
  }

  /** A key of each group that has some. */
  private readonly keys = new Map<GroupId, string>();

  override async ready(): Promise<void> {
    await super.ready();
    const { kv } = this.nodes.find(({ process }) => process !== undefined)!.process!.node;
    for (let at = 0; at < 1_000; at++) {
      const group = kv.groupOf(SPACE.storageKey(Buffer.from(`k${at}`)));
      if (!this.keys.has(group)) this.keys.set(group, `k${at}`);
    }
  }

  keyOf(group: GroupId): string {
    return this.keys.get(group)!;
  }

  /** The groups that hold keys. */
  dataGroups(): readonly GroupId[] {
    return [...this.keys.keys()].sort();
  }

  ledBy(id: number): GroupId[] {
    return [ORACLE, ...this.dataGroups()].filter((group) => this.leaderOf(group) === id);
  }

  async led(): Promise<void> {
    const all = [ORACLE, ...this.dataGroups()];
    await this.until('every group has a leader', () => all.every((group) => this.leaderOf(group) !== undefined));
  }

  /** By how much the time of each group leads the true time. */
  leadsMs(): number[] {
    const trueMs = this.simulation.nowMs() + 1_893_456_000_000;
    return [ORACLE, ...this.dataGroups()].map((group) =>
      Math.max(...this.nodes.map((node) => (node.process?.node.host.get(group)?.stateMachine.ceilingMs ?? 0) - trueMs)),
    );
  }

  /** Every key answers, transactions over groups too, from every node that is up. */
  async serves(): Promise<void> {
    const keys = this.dataGroups().map((group) => this.keyOf(group));
    for (const node of this.nodes) {
      if (!node.isUp) continue;
      for (const key of keys) assert.equal(await this.command(node.id, 'set', key, 'v'), 'OK');
      assert.equal(await this.command(node.id, 'mset', ...keys.flatMap((key) => [key, 'm'])), 'OK');
      assert.deepEqual(
        await this.command(node.id, 'mget', ...keys),
        keys.map(() => 'm'),
      );
    }
  }
}

/** The longest that the time of a healthy group leads the true time: two windows, and what clocks may be off. */
const HEALTHY_LEAD_MS = 2_500;

describe('a wall clock that is wrong on one node', () => {
  for (const [seed, jumpMs] of [
    [9, 20_000],
    [9, HOUR_MS],
    [6, 10 * YEAR_MS],
    [9, -HOUR_MS],
    [6, -10 * YEAR_MS],
  ] as const) {
    test(`neither stops nor poisons a group that the node leads: ${jumpMs} ms while it runs, seed ${seed}`, async () => {
      const cluster = new ClockedNodes(seed);
      await cluster.ready();
      const [victim, group] = cluster
        .dataGroups()
        .map((each) => [cluster.leaderOf(each)!, each] as const)
        .find(([leader]) => leader !== 1)!;
      const key = cluster.keyOf(group);
      assert.equal(await cluster.command(1, 'set', `{${key}}ttl`, 'x', 'ex', '600'), 'OK');
      cluster.node(victim).setClockOffset(jumpMs);
      assert.equal(await cluster.command(1, 'set', key, 'at once'), 'OK');
      assert.equal(await cluster.command(1, 'get', `{${key}}ttl`), 'x');
      await cluster.until('it leads nothing any more', () => cluster.ledBy(victim).length === 0);
      await cluster.serves();
      for (const leadMs of cluster.leadsMs()) assert.ok(leadMs < HEALTHY_LEAD_MS, `${leadMs} ms ahead`);
      cluster.node(victim).setClockOffset(0);
      await cluster.simulation.runFor(2_000);
      await cluster.serves();
      cluster.node(victim).crash(false);
      await cluster.led();
      await cluster.serves();
      assert.equal(await cluster.command(1, 'get', `{${key}}ttl`), 'x');
    });
  }

  for (const seed of [6, 9]) {
    test(`does nothing to what spans groups when it is the oracle's: ten minutes ahead, seed ${seed}`, async () => {
      const cluster = new ClockedNodes(seed);
      await cluster.ready();
      const oracle = cluster.leaderOf(ORACLE)!;
      const keys = cluster.dataGroups().map((group) => cluster.keyOf(group));
      const asked = (oracle % 3) + 1;
      const all = keys.flatMap((key) => [key, '1']);
      cluster.node(oracle).setClockOffset(600_000);
      assert.equal(await cluster.command(asked, 'mset', ...all), 'OK');
      cluster.node(oracle).setClockOffset(0);
      cluster.node(oracle).crash(false);
      await cluster.led();
      await cluster.serves();
      cluster.node(oracle).start();
      await cluster.ready();
      await cluster.serves();
      for (const leadMs of cluster.leadsMs()) assert.ok(leadMs < HEALTHY_LEAD_MS, `${leadMs} ms ahead`);
    });
  }

  for (const wrongMs of [HOUR_MS, 12 * YEAR_MS, -HOUR_MS, -50 * YEAR_MS]) {
    test(`from the start is not what any group goes by: ${wrongMs} ms on the preferred leader of the catalog`, async () => {
      const cluster = new ClockedNodes(4, [wrongMs, 40, -60]);
      await cluster.ready();
      await cluster.until('it leads nothing', () => cluster.ledBy(1).length === 0);
      await cluster.serves();
      for (const leadMs of cluster.leadsMs()) assert.ok(Math.abs(leadMs) < HEALTHY_LEAD_MS, `${leadMs} ms ahead`);
    });
  }

  test('is told: by the node itself, by every other one, and as ready all the same', async () => {
    const cluster = new ClockedNodes(3);
    await cluster.ready();
    cluster.node(2).setClockOffset(-HOUR_MS);
    await cluster.simulation.runFor(1_000);
    assert.match(cluster.running(2).readiness().reason, /^ready, but its clock is (60 min|1 h) behind/);
    assert.equal(cluster.running(2).readiness().ready, true);
    for (const id of [1, 2, 3]) {
      const { problems } = await cluster.run(cluster.running(id).admin.health(10_000));
      assert.deepEqual(
        problems.map(({ severity, subject }) => [severity, subject]),
        [['warning', 'node 2']],
      );
      assert.match(problems[0]!.message, /its clock is (60 min|1 h) behind.*leaves leadership to them/);
    }
    const { nodes } = await cluster.run(cluster.running(1).admin.status([], 10_000));
    for (const { nodeId, clockOffsetMs, clockErrorMs } of nodes) {
      const wrongMs = Math.abs(clockOffsetMs - (nodeId === 2 ? -HOUR_MS : 0));
      assert.ok(wrongMs <= clockErrorMs + 2, `node ${nodeId} is ${clockOffsetMs} ms off, within ${clockErrorMs}`);
    }
  });

  test('does not come back to lead: it takes no leadership over, and stands for election after the others', async () => {
    const cluster = new ClockedNodes(3);
    await cluster.ready();
    cluster.node(3).setClockOffset(HOUR_MS);
    await cluster.until('it leads nothing any more', () => cluster.ledBy(3).length === 0);
    const transfers = cluster.dataGroups().map(async (group) => {
      const leader = cluster.node(cluster.leaderOf(group)!);
      await assert.rejects(leader.raft(group)!.transferLeadership(cluster.node(3).id), /did not finish/);
    });
    await cluster.run(Promise.all(transfers));
    for (const id of [1, 2]) {
      // Who lacks an entry that the wrong one has cannot be elected: both are to have all.
      await cluster.simulation.runFor(1_000);
      cluster.node(id).crash(false);
      await cluster.led();
      assert.deepEqual(cluster.ledBy(3), [], 'one right clock is left that may vote');
      cluster.node(id).start();
      await cluster.ready();
    }
  });

  test('leads where nobody else can, by the time of the others', async () => {
    const cluster = new ClockedNodes(3);
    await cluster.ready();
    await cluster.known();
    cluster.node(3).setClockOffset(HOUR_MS);
    const [group] = cluster.dataGroups();
    const raft = () => cluster.nodes.map((node) => node.raft(group!)!).find((one) => one.status().role === 'leader')!;
    await cluster.until('it leads nothing any more', () => cluster.ledBy(3).length === 0);
    for (const id of [1, 2]) {
      const admin = cluster.running(2).admin;
      if (cluster.leaderOf(group!) === id)
        await cluster.until('another leads', () => raft().status().role === 'leader');
      await cluster.run(admin.removeMember(group!, cluster.node(id).id, 30_000).catch(() => undefined));
    }
    await cluster.until('a leader', () => cluster.leaderOf(group!) !== undefined);
    const key = cluster.keyOf(group!);
    assert.equal(await cluster.command(1, 'set', key, 'v'), 'OK');
    for (const leadMs of cluster.leadsMs()) assert.ok(leadMs < HEALTHY_LEAD_MS, `${leadMs} ms ahead`);
  });
});

describe('two nodes', () => {
  test('outvote a clock that jumps by what both have agreed on before', async () => {
    const cluster = new ClockedNodes(7, [0, 100]);
    await cluster.ready();
    await cluster.simulation.runFor(2_000);
    cluster.node(1).setClockOffset(HOUR_MS);
    await cluster.until('it leads nothing any more', () => cluster.ledBy(1).length === 0);
    await cluster.serves();
    for (const leadMs of cluster.leadsMs()) assert.ok(leadMs < HEALTHY_LEAD_MS, `${leadMs} ms ahead`);
  });

  test('that never agreed go by the earlier clock, and both serve', async () => {
    const cluster = new ClockedNodes(7, [0, HOUR_MS]);
    await cluster.ready();
    await cluster.serves();
    for (const leadMs of cluster.leadsMs()) assert.ok(leadMs < HEALTHY_LEAD_MS, `${leadMs} ms ahead`);
  });
});

describe('a single node', () => {
  test('serves whatever its clock does, ahead and back, while it runs and between two starts', async () => {
    const cluster = new ClockedNodes(8, [0]);
    await cluster.ready();
    for (const offsetMs of [HOUR_MS, 0, -HOUR_MS, 5 * YEAR_MS, 0]) {
      cluster.node(1).setClockOffset(offsetMs);
      // What a transaction was granted a moment before may be years old now.
      await cluster.simulation.runFor(300);
      await cluster.serves();
      cluster.node(1).crash(false);
      cluster.node(1).start();
      await cluster.ready();
      await cluster.serves();
    }
  });
});

describe('a group whose time leads every clock', () => {
  for (const aheadMs of [2 * HOUR_MS, 3 * YEAR_MS]) {
    test(`serves by itself, and together with the others once that is accepted: ${aheadMs} ms`, async () => {
      const cluster = new ClockedNodes(4);
      await cluster.ready();
      await cluster.simulation.runFor(2_000);
      const group = cluster.dataGroups().find((each) => each !== ORACLE)!;
      const key = cluster.keyOf(group);
      const leader = cluster.node(cluster.leaderOf(group)!);
      // What a clock that was wrong before there were comparisons has left in the log.
      const ceilingMs = leader.machine.clock.nowMs() + aheadMs;
      await cluster.run(
        new Promise<void>((resolve) => leader.raft(group)!.propose(encodeLease(ceilingMs), () => resolve())),
      );
      leader.crash(false);
      await cluster.led();
      leader.start();
      await cluster.ready();
      const all = cluster.dataGroups().flatMap((each) => [cluster.keyOf(each), 'm']);
      for (const id of [1, 2, 3]) assert.equal(await cluster.command(id, 'set', key, 'alone'), 'OK');
      await assert.rejects(cluster.command(1, 'mset', ...all));
      const asked = cluster.running(2).admin;
      const { problems } = await cluster.run(asked.health(10_000));
      assert.match(problems[0]!.message, /its time leads the clocks by (2 h|3 y|1095 d).*accept_time/);

      const acceptance = acceptanceOf(await cluster.run(asked.time(10_000)))!;
      assert.ok(Math.abs(acceptance.leadMs - aheadMs) < 60_000, `${acceptance.leadMs} ms`);
      await cluster.run(asked.setSetting('time.caughtUpAt', String(acceptance.caughtUpAtMs), 10_000));
      await cluster.until('all nodes have heard', () =>
        cluster.nodes.every(({ process }) => process!.node.clock.nowMs() > ceilingMs),
      );
      await cluster.serves();
      assert.equal(await cluster.command(3, 'set', `{${key}}ttl`, 'x', 'px', '60000'), 'OK');
      for (const node of cluster.nodes) {
        node.crash(true);
        await cluster.led();
        node.start();
        await cluster.ready();
        await cluster.serves();
      }
      assert.equal(await cluster.command(1, 'get', `{${key}}ttl`), 'x');
      await cluster.simulation.runFor(70_000);
      assert.equal(await cluster.command(1, 'get', `{${key}}ttl`), null, 'keys expire in their time');
      assert.equal(
        acceptanceOf(await cluster.run(cluster.running(2).admin.time(10_000))),
        undefined,
        'nothing is left to be accepted',
      );
    });
  }
});
