/** Changes of simulated nodes that are archived while nodes die, leaders change and ranges move: every version is there, in its order. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  BackupPlace,
  ChangeLog,
  changeWindows,
  planMoment,
  readableBackups,
  readChanges,
  SimulatedObjects,
} from '../../src/backup/index.ts';
import type { ArchiveView } from '../../src/cluster/index.ts';
import { groupId, type HlcTimestamp, SeededRandom, SystemScheduler } from '../../src/platform/index.ts';
import { WrappingKeys } from '../../src/security/index.ts';
import { inlineCompression } from '../../src/store/segments/compression.ts';
import { SimulatedNodes } from '../support/simulated-nodes.ts';

const KEYS = WrappingKeys.parse('07'.repeat(32), 'the test');
const PLACE = 's3://backups';
const ANSWER_MS = 20_000;
const PATIENCE_MS = 120_000;
const WRITTEN = 8;
const [TWO, THREE] = [groupId(2), groupId(3)];

/** Three nodes that archive, and clients whose acknowledged writes are known. */
class Stage {
  readonly store = new SimulatedObjects(new SystemScheduler(), new SeededRandom(2));
  readonly cluster: SimulatedNodes;
  readonly random: SeededRandom;
  /** Acknowledged values, by key, in their order. */
  readonly acknowledged = new Map<string, string[]>();
  private count = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    const work = { lookMs: 500, leaseMs: 4_000 };
    const parts = { work, backups: { open: async () => this.store, key: async () => KEYS } };
    this.cluster = new SimulatedNodes(3, 2, seed, parts, { patienceMs: PATIENCE_MS });
  }

  async begin(): Promise<void> {
    const { cluster } = this;
    cluster.start();
    await cluster.ready();
    await cluster.known();
    await cluster.active('backups.archive');
    const { admin } = cluster.running(1);
    for (const [name, value] of [
      ['backup.place', PLACE],
      ['backup.archiveEveryMs', '1000'],
    ] as const) {
      await cluster.run(admin.setSetting(name, value, ANSWER_MS));
    }
    await this.archived('a moment can be restored', ({ sinceMs }) => sinceMs > 0);
  }

  async view(): Promise<ArchiveView | undefined> {
    const node = [1, 2, 3].find((id) => this.isUp(id))!;
    const asked = this.cluster.running(node).admin.backups(ANSWER_MS);
    return this.cluster.run(
      asked.then(
        ({ archive }) => archive,
        () => undefined,
      ),
    );
  }

  /** Lets time pass until the archive is as it is wanted. */
  async archived(what: string, isSo: (view: ArchiveView) => boolean): Promise<ArchiveView> {
    for (let looks = 0; ; looks++) {
      const view = await this.view();
      if (view !== undefined && isSo(view)) return view;
      assert.ok(looks < 300, `${what}: ${JSON.stringify(view)}`);
      await this.cluster.simulation.runFor(200);
    }
  }

  isUp(id: number): boolean {
    return !this.down.has(id);
  }

  readonly down = new Set<number>();

  crash(id: number): void {
    if (this.down.size > 0) return;
    this.down.add(id);
    this.cluster.node(id).crash(true);
  }

  async restart(): Promise<void> {
    for (const id of this.down) this.cluster.node(id).start();
    this.down.clear();
    await this.cluster.ready();
  }

  /** Writes some keys, each through a node that is up; what is not answered may have happened. */
  async write(count: number): Promise<void> {
    for (let at = 0; at < count; at++) {
      const key = `key:${this.random.int(WRITTEN)}`;
      const value = `v${++this.count}`;
      const node = [1, 2, 3].filter((id) => this.isUp(id))[this.random.int(3 - this.down.size)]!;
      const answer = await this.cluster.command(node, 'set', key, value).catch(() => undefined);
      if (answer !== 'OK') continue;
      const values = this.acknowledged.get(key);
      if (values === undefined) this.acknowledged.set(key, [value]);
      else values.push(value);
    }
  }

  /** All versions behind the first backup, by key: timestamps and values. */
  async versions(): Promise<Map<string, { readonly commitTs: HlcTimestamp; readonly value: string }[]>> {
    const place = await BackupPlace.read(this.store, KEYS, this.random);
    const backups = await readableBackups(place);
    const windows = await changeWindows(new ChangeLog(place), backups);
    assert.equal(windows.length, 1, 'it never broke off');
    const plan = await planMoment(place, windows[0]!.to, windows[0]!.backups[0]!.id, String);
    const found = new Map<string, { commitTs: HlcTimestamp; value: string }[]>();
    for await (const page of readChanges(plan, { compression: inlineCompression })) {
      for (const { key, commitTs, value } of page) {
        const name = /key:\d+/.exec(key.toString('latin1'))?.[0];
        const text = /v\d+$/.exec(value?.toString('latin1') ?? '')?.[0];
        if (name === undefined || text === undefined) continue;
        const list = found.get(name) ?? [];
        found.set(name, list);
        // A range that was moved may bring a version twice.
        if (list.some((other) => other.commitTs === commitTs)) continue;
        assert.ok((list.at(-1)?.commitTs ?? 0n) < commitTs, `${name}: versions come in their order`);
        list.push({ commitTs, value: text });
      }
    }
    return found;
  }

  async assertAllArchived(): Promise<void> {
    const now = (await this.archived('it is asked', () => true)).untilMs;
    const steps = (await this.archived('a step is written', ({ untilMs }) => untilMs > now)).untilMs;
    await this.archived('another step is written', ({ untilMs }) => untilMs > steps);
    const found = await this.versions();
    const count = [...this.acknowledged.values()].reduce((sum, values) => sum + values.length, 0);
    assert.ok(count > 30, `${count} writes were acknowledged`);
    for (const [key, values] of this.acknowledged) {
      const archived = (found.get(key) ?? []).map(({ value }) => value);
      // Those that were not acknowledged may be between them.
      const known = archived.filter((value) => values.includes(value));
      assert.deepEqual(known, values, key);
    }
  }
}

describe('an archive of changes', () => {
  test('has every version when nodes die and leaders change at any time', async () => {
    const stage = new Stage(21);
    await stage.begin();
    for (let round = 0; round < 6; round++) {
      await stage.write(6);
      const { node } = (await stage.view()) ?? {};
      // Whoever archives, or the leader of a group.
      const victim = round % 2 === 0 ? node : stage.cluster.leaderOf(round % 4 === 1 ? TWO : THREE);
      if (victim !== undefined) stage.crash(victim);
      await stage.write(4);
      await stage.restart();
    }
    await stage.assertAllArchived();
  });

  test('has every version when ranges go from group to group', async () => {
    const stage = new Stage(22);
    await stage.begin();
    const { cluster } = stage;
    const slot = Buffer.from([2]);
    for (let round = 0; round < 4; round++) {
      await stage.write(8);
      const to = round % 2 === 0 ? THREE : TWO;
      await cluster.run(cluster.running(1).admin.move({ key: slot }, to, undefined, ANSWER_MS));
      const isThere = (): boolean => [1, 2, 3].every((id) => cluster.running(id).kv.groupOf(slot) === to);
      for (let writes = 0; writes < 60 && !isThere(); writes++) await stage.write(1);
      await cluster.until('the range was moved', isThere);
    }
    await stage.assertAllArchived();
  });
});
