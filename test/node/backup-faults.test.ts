/** Backups of simulated nodes that die while they make them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BackupPlace, SimulatedObjects, verifyBackup } from '../../src/backup/index.ts';
import type { BackupsView } from '../../src/cluster/index.ts';
import { groupId, SeededRandom, SystemScheduler } from '../../src/platform/index.ts';
import { WrappingKeys } from '../../src/security/index.ts';
import { SimulatedNodes } from '../support/simulated-nodes.ts';

const KEYS = WrappingKeys.parse('07'.repeat(32), 'the test');
const ANSWER_MS = 20_000;
const PATIENCE_MS = 120_000;

/** Three nodes and the place where their backups go. */
class Stage {
  readonly store = new SimulatedObjects(new SystemScheduler(), new SeededRandom(2));
  readonly cluster: SimulatedNodes;

  constructor(seed: number) {
    const work = { lookMs: 1_000, leaseMs: 4_000 };
    const parts = { work, backups: { open: async () => this.store, key: async () => KEYS } };
    this.cluster = new SimulatedNodes(3, 2, seed, parts, { patienceMs: PATIENCE_MS });
  }

  async begin(): Promise<void> {
    const { cluster } = this;
    cluster.start();
    await cluster.ready();
    await cluster.known();
    await cluster.active('backups');
    for (let at = 0; at < 30; at++) assert.equal(await cluster.command(1, 'set', `key:${at}`, `value ${at}`), 'OK');
  }

  create(node: number): Promise<{ readonly id: string }> {
    return this.cluster.run(this.cluster.running(node).admin.createBackup('s3://backups', ANSWER_MS));
  }

  view(node: number): Promise<BackupsView> {
    return this.cluster.run(this.cluster.running(node).admin.backups(ANSWER_MS));
  }

  /** Lets time pass until a backup is made. */
  async made(id: string, node: number): Promise<void> {
    for (let looks = 0; ; looks++) {
      const { last, failed, running } = await this.view(node);
      if (last?.id === id) return;
      assert.notEqual(failed?.id, id, failed?.problem);
      assert.ok(looks < 200, `not made: ${JSON.stringify(running)}`);
      await this.cluster.simulation.runFor(1_000);
    }
  }

  async assertSound(id: string): Promise<void> {
    const place = await BackupPlace.read(this.store, KEYS, new SeededRandom(3));
    const { problems } = await verifyBackup({ place, backup: await place.readable(id) });
    assert.deepEqual(problems, []);
  }
}

describe('a backup', () => {
  test('is made by another node when its maker dies in the middle', async () => {
    const stage = new Stage(11);
    await stage.begin();
    const { cluster, store } = stage;
    let puts = 0;
    store.fault = (operation, name) => {
      // The maker is gone when something was stored, and before there is a manifest.
      if (operation === 'put' && name.startsWith('objects/') && ++puts === 4) cluster.node(1).crash(true);
      return undefined;
    };
    const { id } = await stage.create(1);
    await cluster.until('the maker died', () => puts >= 4);
    store.fault = () => undefined;
    await stage.made(id, 2);
    await stage.assertSound(id);
    assert.ok(![...store.objects.keys()].some((name) => name.startsWith('pending/')));
  });

  test('is made when the leader of a group dies while it stores its copy', async () => {
    const stage = new Stage(12);
    await stage.begin();
    const { cluster, store } = stage;
    // Of those who lead, one that does not make the backup.
    const led = [2, 3].map((group) => cluster.leaderOf(groupId(group))!);
    const maker = [1, 2, 3].find((id) => id !== led[0])!;
    let isDead = false;
    store.fault = (operation, name) => {
      if (operation === 'put' && name.startsWith('objects/') && !isDead) {
        isDead = true;
        cluster.node(led[0]!).crash(true);
      }
      return undefined;
    };
    const { id } = await stage.create(maker);
    await cluster.until('the leader died', () => isDead);
    await stage.made(id, maker);
    await stage.assertSound(id);
  });
});
