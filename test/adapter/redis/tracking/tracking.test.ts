/** Keys that clients keep over several nodes on simulated machines, whose links are slow, break and are cut. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KEYSPACES } from '../../../../src/adapter/redis/keys/index.ts';
import { Tracking, type TrackingClient } from '../../../../src/adapter/redis/tracking/index.ts';
import { WINDOW_BYTES } from '../../../../src/adapter/redis/tracking/watcher.ts';
import { hlcTimestamp, nodeId, SeededRandom } from '../../../../src/platform/index.ts';
import { NodeStage, type StagedParts } from '../node-stage.ts';

/** A client that remembers what it was told; `everything` for all. */
class Client implements TrackingClient {
  readonly id: number;
  isBroadcast = false;
  isQuiet: boolean;
  readonly told: string[] = [];

  constructor(id: number, isQuiet = false) {
    this.id = id;
    this.isQuiet = isQuiet;
  }

  invalidate(keys: readonly string[]): void {
    this.told.push(...keys);
  }

  forgetAll(): void {
    this.told.push('everything');
  }

  /** What it was told since it was asked last. */
  news(): string[] {
    return this.told.splice(0);
  }
}

const row = (key: string): Buffer => KEYSPACES[0]!.storageKey(Buffer.from(key));

class Stage extends NodeStage<Tracking> {
  private lastTs = 0n;

  static started(count: number, seed?: number): Promise<Stage> {
    return new Stage(count, seed).started();
  }

  protected override make({ scheduler, ...options }: StagedParts): Tracking {
    return new Tracking(scheduler, options);
  }

  /** A client of a node begins to keep keys. @returns how long that took */
  async join(id: number, client: Client): Promise<number> {
    this.at(id).joined(client);
    const tookMs = await this.settled(this.at(id).watching());
    client.news();
    return tookMs;
  }

  /** A node that leads applies an entry with a key. @param writers of it */
  change(id: number, key: string, ...writers: readonly number[]): void {
    const tracking = this.at(id);
    const ts = hlcTimestamp(++this.lastTs);
    tracking.changed(row(key), false, ts);
    if (!tracking.areWanted) return;
    const rows = new Map([[row(key).toString('latin1'), key]]);
    for (const writer of writers) tracking.wrote(writer, { ts, rows });
  }
}

describe('keys that clients keep over several nodes', () => {
  test('are told of by whatever node leads, once, to those who have read them', async () => {
    const stage = await Stage.started(3);
    const [one, two] = [new Client(1), new Client(2)];
    await stage.join(1, one);
    await stage.join(2, two);
    stage.at(1).remember(one, 'a', 0);
    stage.at(2).remember(two, 'a', 0);
    stage.at(2).remember(two, 'b', 0);
    stage.change(3, 'a');
    await stage.pass(20);
    assert.deepEqual([one.news(), two.news()], [['a'], ['a']]);
    stage.change(1, 'a');
    stage.change(1, 'b');
    await stage.pass(20);
    assert.deepEqual([one.news(), two.news()], [[], ['b']]);
    assert.deepEqual(stage.errors, []);
  });

  test('cost nothing while nobody keeps any', async () => {
    const stage = await Stage.started(2);
    assert.ok(!stage.at(1).isListening && !stage.at(2).isListening);
    const client = new Client(1);
    await stage.join(1, client);
    assert.ok(stage.at(1).isListening && stage.at(2).isListening);
    stage.at(1).left(client);
    await stage.pass(20);
    assert.ok(!stage.at(1).isListening && !stage.at(2).isListening);
  });

  test('are kept once every node tells of changes, and a node that does not answer is waited for until it counts as dead', async () => {
    const stage = await Stage.started(3);
    stage.crash(3);
    const tookMs = await stage.join(1, new Client(1));
    assert.ok(tookMs > 1_500 && tookMs < 5_000, String(tookMs));
  });

  test('are all given up when a stream begins to tell: what was read before that nobody has told of', async () => {
    const stage = await Stage.started(3);
    stage.crash(3);
    const client = new Client(1);
    await stage.join(1, client);
    await stage.boot(nodeId(3));
    stage.at(1).remember(client, 'a', 0);
    stage.change(3, 'a');
    await stage.pass(3_000);
    assert.deepEqual(client.news(), ['everything']);
    stage.at(1).remember(client, 'a', 0);
    stage.change(3, 'a');
    await stage.pass(20);
    assert.deepEqual(client.news(), ['a']);
  });

  test('are all given up when a node is told too late, and when it is told in time again', async () => {
    const stage = await Stage.started(2);
    const client = new Client(1);
    await stage.join(1, client);
    stage.at(1).remember(client, 'a', 0);
    // It is told all the time, of what was some time ago.
    stage.fabric.links.set(nodeId(2), nodeId(1), { minDelayMs: 20_000, maxDelayMs: 20_000 });
    stage.change(2, 'a');
    await stage.pass(3_600);
    assert.deepEqual(client.news(), ['everything'], 'a bound on how long it keeps what has changed');
    stage.fabric.links.set(nodeId(2), nodeId(1), { minDelayMs: 1, maxDelayMs: 1 });
    await stage.pass(30_000);
    assert.ok(client.news().includes('everything'));
    stage.at(1).remember(client, 'b', 0);
    stage.change(2, 'b');
    await stage.pass(20);
    assert.deepEqual(client.news(), ['b']);
  });

  test('are all given up when a node begins to lead', async () => {
    const stage = await Stage.started(2);
    const client = new Client(1);
    await stage.join(1, client);
    stage.at(1).remember(client, 'a', 0);
    stage.at(2).began();
    await stage.pass(20);
    assert.deepEqual(client.news(), ['everything']);
    assert.equal(stage.at(1).figures.keys, 0);
  });

  test('are all given up by who cannot keep up, and not by others', async () => {
    const stage = await Stage.started(3);
    const [slow, fast] = [new Client(1), new Client(2)];
    await stage.join(1, slow);
    await stage.join(2, fast);
    stage.at(1).remember(slow, 'last', 0);
    stage.at(2).remember(fast, 'last', 0);
    stage.fabric.links.set(nodeId(3), nodeId(1), { bytesPerMs: 2_000 });
    const long = 'x'.repeat(64 * 1024);
    for (let bytes = 0; bytes < WINDOW_BYTES * 2; bytes += long.length) {
      stage.change(3, `${long}${bytes}`);
      await stage.pass(5);
    }
    stage.change(3, 'last');
    await stage.pass(20);
    assert.deepEqual([slow.news(), fast.news()], [[], ['last']]);
    await stage.pass(5_000);
    assert.ok(slow.news().includes('everything'));
  });

  test('are not told of to the client that alone has changed them and does not want to hear', async () => {
    const stage = await Stage.started(2);
    const [quiet, other] = [new Client(1, true), new Client(2)];
    await stage.join(1, quiet);
    await stage.join(1, other);
    for (const writers of [[1], [1, 1], [1, 0], [2, 1], []]) {
      for (const leader of [1, 2]) {
        stage.at(1).remember(quiet, 'a', 0);
        stage.at(1).remember(other, 'a', 0);
        stage.change(leader, 'a', ...writers);
        await stage.pass(20);
        const isOwn = writers.length > 0 && writers.every((writer) => writer === 1);
        assert.deepEqual([quiet.news(), other.news()], [isOwn ? [] : ['a'], ['a']], `${leader}: ${writers}`);
      }
    }
  });

  test('have writers from the end of the turn on in which somebody wants it, so that of no entry only some are noted', async () => {
    const stage = await Stage.started(2);
    await stage.join(2, new Client(3));
    const tracking = stage.at(1);
    const quiet = new Client(1, true);
    tracking.joined(quiet);
    assert.equal(tracking.areWanted, false);
    await stage.simulation.runToEnd(Promise.resolve(tracking.watching()), 10_000);
    assert.ok(tracking.areWanted && stage.at(2).areWanted);
    tracking.left(quiet);
    await stage.pass(20);
    assert.ok(!tracking.areWanted && !stage.at(2).areWanted);
  });

  test('are forgotten, and told of, beyond the limit: those that were read first', async () => {
    const stage = await Stage.started(1);
    const client = new Client(1);
    await stage.join(1, client);
    stage.at(1).maxKeys = 3;
    for (const key of ['a', 'b', 'a', 'c', 'd', 'e']) stage.at(1).remember(client, key, 0);
    assert.deepEqual(client.news(), ['a', 'b']);
    assert.deepEqual(stage.at(1).figures, { clients: 1, keys: 3, items: 3, prefixes: 0 });
    stage.at(1).maxKeys = 0;
    for (let nth = 0; nth < 100; nth++) stage.at(1).remember(client, String(nth), 0);
    assert.equal(stage.at(1).figures.keys, 103);
  });

  test('by prefix are told of in one message a turn, without what the client has changed itself', async () => {
    const stage = await Stage.started(2);
    const [all, some] = [new Client(1, true), new Client(2)];
    for (const [client, prefix] of [
      [all, ''],
      [some, 'u:'],
    ] as const) {
      client.isBroadcast = true;
      stage.at(1).addPrefix(prefix, client);
      await stage.join(1, client);
    }
    stage.change(2, 'u:2', 0);
    stage.change(2, 'u:1', 1);
    stage.change(2, 'x', 0);
    await stage.pass(20);
    assert.deepEqual(
      [all.news(), some.news()],
      [
        ['u:2', 'x'],
        ['u:1', 'u:2'],
      ],
    );
    stage.at(1).removePrefix('u:', some);
    stage.change(1, 'u:3', 0);
    await stage.pass(20);
    assert.deepEqual([all.news(), some.news()], [['u:3'], []]);
    assert.equal(stage.at(1).figures.prefixes, 1);
  });

  for (let seed = 1; seed <= Number(process.env.KVORUM_TRACKING_RUNS ?? 5); seed++) {
    test(`are never kept after a change for longer than the bound, whatever breaks (seed ${seed})`, async () => {
      const stage = await Stage.started(3, seed);
      const random = new SeededRandom(seed);
      const client = new Client(1);
      await stage.join(1, client);
      /** Since when each key that the client keeps has another value. */
      const stale = new Map<string, number>();
      const kept = new Set<string>();
      const hear = (): void => {
        for (const told of client.news()) {
          if (told === 'everything') kept.clear();
          kept.delete(told);
        }
        for (const key of stale.keys()) if (!kept.has(key)) stale.delete(key);
        for (const [key, sinceMs] of stale) {
          assert.ok(stage.simulation.nowMs() - sinceMs < 3_700, `${key} is kept after a change`);
        }
      };
      const cutOff = new Set<number>();
      for (let step = 0; step < 150; step++) {
        const nth = random.int(6);
        const key = `k${nth}`;
        // Each key has one leader here. What cannot be reached is not read.
        const leader = 1 + (nth % 3);
        const dice = random.int(20);
        if (dice < 8 && !cutOff.has(leader)) {
          stage.at(1).remember(client, key, 0);
          kept.add(key);
          stale.delete(key);
        } else if (dice < 16) {
          stage.change(leader, key);
          if (kept.has(key) && !stale.has(key)) stale.set(key, stage.simulation.nowMs());
        } else if (dice === 16 && leader !== 1) {
          stage.fabric.setCut(nodeId(1), nodeId(leader), true);
          stage.fabric.setCut(nodeId(leader), nodeId(1), true);
          cutOff.add(leader);
        } else if (dice === 17) {
          stage.fabric.heal();
          cutOff.clear();
        } else if (dice === 18) stage.at(leader).began();
        await stage.pass(random.int(300));
        hear();
      }
      stage.fabric.heal();
      await stage.pass(4_000);
      hear();
      assert.deepEqual([...stale], []);
      assert.deepEqual(stage.errors, []);
    });
  }
});
