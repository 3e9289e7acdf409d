import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type GroupId, groupId, hlcTimestamp } from '../../src/platform/index.ts';
import { SimulatedNodes } from '../support/simulated-nodes.ts';

/** Pins of a node that died are waited for, longer than a minute. */
const PATIENCE_MS = 150_000;
const RETENTION_MS = 1_000;
const NODES = [1, 2, 3];
const GROUPS = [1, 2, 3].map(groupId);

/** Three whole nodes on simulated machines that keep the past for a second. */
class ForgetfulNodes extends SimulatedNodes {
  constructor() {
    super(NODES.length, 2, 11, undefined, {
      plan: {
        retentionMs: RETENTION_MS,
        gc: { safepoint: { stepMs: 200, retryMs: 200, askMs: 500 }, collector: { periodMs: 500 }, lookMs: 200 },
      },
      patienceMs: PATIENCE_MS,
    });
    this.start();
  }

  store(id: number, group: GroupId) {
    return this.running(id).host.get(group)!.store;
  }

  /** The lowest threshold of any replica that is up. */
  lowest(up: readonly number[] = NODES): bigint {
    const all = up.flatMap((id) => GROUPS.map((group) => this.store(id, group).gcThreshold));
    return all.sort((one, other) => Number(one - other))[0]!;
  }
}

const EVERYTHING = { start: Buffer.of(1), end: Buffer.of(0xff) };

const above = (ts: bigint, ms: number): bigint => ts + (BigInt(ms) << 16n);

describe('a cluster that lets go of the past', () => {
  test('does so everywhere alike: every group, every replica, with one answer to whoever asks for more', async () => {
    const cluster = new ForgetfulNodes();
    await cluster.ready();
    for (let round = 0; round < 30; round++) await cluster.command(1, 'SET', `key${round % 3}`, `value ${round}`);
    await cluster.until('every replica of every group has a threshold', () => cluster.lowest() > 0n);
    const status = await cluster.simulation.runToEnd(cluster.running(2).storagePressure.gc.status(5_000), PATIENCE_MS);
    assert.equal(status.isActive, true);
    assert.equal(status.isOverdue, false);
    assert.deepEqual(
      status.groups.map(({ group }) => group),
      GROUPS,
    );
    const gone = hlcTimestamp(status.notes.publishedTs - 1n);
    for (const id of NODES) {
      for (const group of GROUPS) {
        const store = cluster.store(id, group);
        assert.ok(store.gcThreshold > gone, `group ${group} on node ${id}`);
        await assert.rejects(cluster.simulation.runToEnd(store.get(Buffer.from('any'), gone), PATIENCE_MS), {
          code: 'SNAPSHOT_TOO_OLD',
        });
      }
    }
    const passed = () =>
      NODES.every((id) =>
        cluster
          .running(id)
          .storagePressure.gc.report()
          .stores.every(({ passedAtMs }) => passedAtMs > 0),
      );
    await cluster.until('every store was collected', passed);
    for (let key = 0; key < 3; key++) assert.equal(await cluster.command(2, 'GET', `key${key}`), `value ${27 + key}`);
  });

  test('waits for a group without a majority, and goes on by itself when that is back', async () => {
    const cluster = new ForgetfulNodes();
    await cluster.ready();
    await cluster.command(1, 'SET', 'key', 'value');
    await cluster.until('the first safepoint', () => cluster.lowest() > 0n);
    cluster.nodes[1]!.crash(false);
    cluster.nodes[2]!.crash(false);
    const before = cluster.lowest([1]);
    await cluster.simulation.runFor(5_000);
    assert.ok(cluster.lowest([1]) <= above(before, 2 * RETENTION_MS), 'nobody goes ahead alone');
    cluster.nodes[1]!.start();
    cluster.nodes[2]!.start();
    await cluster.ready();
    await cluster.command(1, 'SET', 'key', 'newer');
    await cluster.until('the safepoint goes on', () => cluster.lowest() > above(before, 3 * RETENTION_MS));
  });

  test('goes on when the node that did the rounds dies: another takes the unit when its lease has run out', async () => {
    const cluster = new ForgetfulNodes();
    await cluster.ready();
    await cluster.command(1, 'SET', 'key', 'value');
    await cluster.until('the first safepoint', () => cluster.lowest() > 0n);
    const others = [2, 3];
    cluster.nodes[0]!.crash(false);
    const before = cluster.lowest(others);
    await cluster.until('the others raise it', () => cluster.lowest(others) > above(before, 5_000));
  });

  test('keeps what is pinned, and what a backup reads is there as long as its pin is', async () => {
    const cluster = new ForgetfulNodes();
    await cluster.ready();
    await cluster.command(1, 'SET', 'key', 'value');
    const pinTs = cluster.running(3).kv.nowTs();
    const pin = cluster.running(3).storagePressure.gc.pins.pin(pinTs, 'backup');
    await cluster.simulation.runFor(8_000);
    assert.ok(NODES.every((id) => GROUPS.every((group) => cluster.store(id, group).gcThreshold <= pinTs)));
    const { notes } = await cluster.simulation.runToEnd(
      cluster.running(1).storagePressure.gc.status(5_000),
      PATIENCE_MS,
    );
    assert.ok(notes.holders.some(({ who, why }) => who === 'node 3' && why === 'backup'));
    pin.release();
    await cluster.until('it goes on', () => cluster.lowest() > pinTs);
  });

  test('keeps what an open transaction reads, for as long as it is open', async () => {
    const cluster = new ForgetfulNodes();
    await cluster.ready();
    await cluster.command(1, 'SET', 'key', 'value');
    const { transactions, storagePressure } = cluster.running(1);
    const deadlineMs = Number.POSITIVE_INFINITY;
    const open = await cluster.simulation.runToEnd(
      transactions.begin({ isolation: 'snapshot', deadlineMs }),
      PATIENCE_MS,
    );
    const held = storagePressure.pins.oldest();
    assert.equal(held?.purpose, 'transaction');
    await cluster.simulation.runFor(5_000);
    assert.ok(cluster.lowest() < held.ts);
    await cluster.simulation.runToEnd(Promise.resolve(open.rollback()), PATIENCE_MS);
    assert.equal(storagePressure.pins.oldest(), undefined);
    await cluster.until('it goes on', () => cluster.lowest() > held.ts);
  });

  test('keeps what a transaction that only reads is at, which finds there what was overwritten long ago', async () => {
    const cluster = new ForgetfulNodes();
    await cluster.ready();
    await cluster.command(1, 'SET', 'key', 'old');
    const { reads, storagePressure, kv } = cluster.running(2);
    const { simulation } = cluster;
    const deadlineMs = Number.POSITIVE_INFINITY;
    const snapshot = await simulation.runToEnd(
      reads.snapshot({ consistency: { kind: 'linearizable' }, isFixed: true, deadlineMs }),
      PATIENCE_MS,
    );
    assert.equal(storagePressure.pins.oldest()?.purpose, 'snapshot');
    for (let round = 0; round < 5; round++) {
      await cluster.command(1, 'SET', 'key', `new ${round}`);
      await simulation.runFor(1_000);
    }
    assert.ok(cluster.lowest() < snapshot.ts);
    const values: string[] = [];
    for (let start: Buffer | undefined = EVERYTHING.start; start !== undefined; ) {
      const asked = snapshot.scan({ ...EVERYTHING, start, limit: 100 }, deadlineMs);
      const page = await simulation.runToEnd(asked, PATIENCE_MS);
      for (const { value } of page.rows) values.push(value.toString('latin1'));
      start = page.next;
    }
    assert.ok(values.join().includes('old'), values.join());
    snapshot.release();
    assert.equal(storagePressure.pins.oldest(), undefined);
    await cluster.until('it goes on', () => cluster.lowest() > kv.nowTs() - above(0n, 3 * RETENTION_MS));
  });

  test('makes a round at once when an operator asks for one', async () => {
    const cluster = new ForgetfulNodes();
    await cluster.ready();
    await cluster.command(1, 'SET', 'key', 'value');
    await cluster.simulation.runFor(3_000);
    const result = await cluster.simulation.runToEnd(cluster.running(2).storagePressure.gc.runNow(5_000), PATIENCE_MS);
    assert.ok(result === 'done' || result === 'held', result);
  });
});
