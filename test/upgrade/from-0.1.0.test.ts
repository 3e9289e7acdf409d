/** Release 0.1.0 beside this program: a cluster is upgraded node by node, and what it cannot read comes after its last node has gone. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { ReleasedProgram, root, skipWithoutHistory } from '../../jepsen/cluster/releases.ts';
import { type AdminCalls, AdminClient } from '../../src/adapter/grpc/index.ts';
import { type HlcTimestamp, hlcTimestamp, SeededRandom } from '../../src/platform/index.ts';
import type { GroupStore } from '../../src/store/contract/types.ts';
import type { openGroupStore } from '../../src/store/group/open.ts';
import type { SimulatedLevels } from '../../src/store/level/simulated-level.ts';
import type { MemoryDisk } from '../support/memory-disk.ts';
import { ProcessNodes } from '../support/process-nodes.ts';
import { until } from '../support/until.ts';

const NODES = [1, 2, 3];
const KEYS = 200;
/** Between two commands of a client that only keeps the cluster busy: the machine has nodes to start. */
const REST_MS = 25;
const LIBRARY =
  '#!lua name=after\nredis.register_function("size", function(keys) return redis.call("hlen", keys[1]) end)';
const ts = (value: number): HlcTimestamp => hlcTimestamp(BigInt(value));

/** Asks until there is an answer: a machine that is busy may time out, and all that is asked for may be done twice. */
async function answered<Reply>(what: string, ask: () => Promise<Reply>): Promise<Reply> {
  let answer: { readonly reply: Reply } | undefined;
  await until(what, async () => {
    const reply = await ask().catch(() => undefined);
    if (reply !== undefined) answer = { reply };
    return answer !== undefined;
  });
  return answer!.reply;
}

/** Asks until it is refused for this reason, and not because a busy machine has timed out. */
const refused = (what: string, reason: RegExp, ask: () => Promise<unknown>): Promise<void> =>
  until(what, async () => {
    const outcome = await ask().then(
      (reply) => new assert.AssertionError({ message: `${what}, and the answer was ${reply}` }),
      (error: Error) => error,
    );
    if (outcome instanceof assert.AssertionError) throw outcome;
    return reason.test(outcome.message);
  });

/** Clients that count, one command after the other, and never stop. */
class Load {
  private readonly answers: number[][];
  private readonly unknown: number[];
  private readonly running: Promise<void>[];
  private isOver = false;

  constructor(clients: readonly Redis[]) {
    this.answers = clients.map(() => []);
    this.unknown = clients.map(() => 0);
    this.running = clients.map((client, at) => this.run(client, at));
  }

  private async run(client: Redis, at: number): Promise<void> {
    while (!this.isOver) {
      await client.incr(`load:${at}`).then(
        (count) => this.answers[at]!.push(count),
        // No answer, or one that says nothing: it may have been counted.
        () => this.unknown[at]!++,
      );
      await delay(REST_MS);
    }
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await Promise.all(this.running);
  }

  /** Every count that was answered was answered once, and none that was is lost. */
  async check(reader: Redis): Promise<void> {
    await this.stop();
    for (const [at, answers] of this.answers.entries()) {
      assert.ok(answers.length > 100, 'hardly anything was counted: the load shows nothing');
      assert.ok(
        answers.every((count, nth) => nth === 0 || count > answers[nth - 1]!),
        `client ${at} has counted back`,
      );
      const total = Number(await answered(`load:${at}`, () => reader.get(`load:${at}`)));
      assert.ok(total >= answers.at(-1)! && total <= answers.length + this.unknown[at]!, `load:${at} is ${total}`);
    }
  }
}

describe('release 0.1.0', { skip: skipWithoutHistory }, () => {
  let released: ReleasedProgram;
  before(() => {
    released = new ReleasedProgram('0.1.0');
  });
  after(() => released.remove());

  test('is replaced node by node under load, with a way back until features are switched on', {
    timeout: 240_000,
  }, async () => {
    const isReplaced = new Set<number>();
    // New nodes prove themselves, which old ones cannot.
    const secretFile = released.path('cluster-secret');
    writeFileSync(secretFile, `${'s'.repeat(32)}\n`);
    const settings = { 'grpc.secretFile': secretFile, 'grpc.secretOptional': true };
    const cluster = await ProcessNodes.start(settings, (nodeId) =>
      isReplaced.has(nodeId) ? undefined : released.script,
    );
    const load = new Load(NODES.map((nodeId) => cluster.client(nodeId)));
    try {
      const clients = NODES.map((nodeId) => cluster.client(nodeId));
      const expected = new Map<string, string>();
      const writeAll = async (value: string): Promise<void> => {
        for (let key = 0; key < KEYS; key++) {
          const name = `key:${key}`;
          const client = clients[key % clients.length]!;
          assert.equal(await answered(name, () => client.set(name, `${value} ${key}`)), 'OK');
          expected.set(name, `${value} ${key}`);
        }
        // Long strings stay whole, for the old replicas.
        await answered('a long string', () => clients[0]!.setrange('long', 100_000, value));
      };
      const readAll = async (): Promise<void> => {
        const names = [...expected.keys()];
        for (const client of clients) {
          assert.deepEqual(await answered('all strings', () => client.mget(names)), [...expected.values()]);
          await answered('READONLY', () => client.readonly());
          for (const [name, value] of expected) assert.equal(await answered(name, () => client.get(name)), value);
          await answered('READWRITE', () => client.call('READWRITE'));
        }
      };
      /** Starts a node with the other program. */
      const exchange = async (nodeId: number): Promise<void> => {
        await cluster.shutDown(nodeId);
        if (!isReplaced.delete(nodeId)) isReplaced.add(nodeId);
        cluster.revive(nodeId);
        await cluster.ready();
        await until(`a client of node ${nodeId} is back`, () =>
          clients[nodeId - 1]!.ping().then(
            (pong) => pong === 'PONG',
            () => false,
          ),
        );
      };
      const admin = async <Name extends keyof AdminCalls>(
        name: Name,
        request: AdminCalls[Name][0],
      ): Promise<AdminCalls[Name][1]> => {
        const client = new AdminClient(`127.0.0.1:${cluster.grpcPort(2)}`);
        try {
          return await answered(name, () => client.call(name, request, 5_000));
        } finally {
          client.close();
        }
      };
      await writeAll('all old');
      await admin('SetSetting', { name: 'features.auto', value: 'off' });
      for (const nodeId of NODES) {
        await refused('0.1.0 has no hashes', /unknown command/, () =>
          clients[nodeId - 1]!.hset('hash', 'field', 'old'),
        );
        await exchange(nodeId);
        if (isReplaced.size < NODES.length) {
          // Whoever leads the group of a key, an old program or a new one.
          for (let key = 0; key < 20; key++) {
            await refused(
              'a hash is too early',
              /^ERR 'hset' cannot be used: not every node of the cluster runs a program yet that knows it \((node 2, )?node 3\)$/,
              () => clients[nodeId - 1]!.hset(`hash:${key}`, 'field', 'too early'),
            );
          }
        }
        if (isReplaced.size < NODES.length) {
          await refused('a library is too early', /^ERR 'function\|load' cannot be used: not every node/, () =>
            clients[nodeId - 1]!.call('FUNCTION', 'LOAD', LIBRARY),
          );
        }
        await writeAll(`${isReplaced.size} replaced`);
        await readAll();
      }
      // All of them can do it by now, and still it is not done before somebody says so: this way back is open too.
      await refused('hashes are held back', /^ERR 'hset' cannot be used/, () =>
        clients[0]!.hset('hash', 'field', 'held back'),
      );
      await exchange(3);
      await writeAll('one gone back');
      await exchange(3);
      await readAll();
      const off = (await admin('ListFeatures', {})).features.filter(({ isActive }) => !isActive);
      assert.ok(off.some(({ name }) => name === 'redis.collections'));
      for (const { name } of off) await admin('ActivateFeature', { name });
      await answered('a library', () => clients[0]!.call('FUNCTION', 'LOAD', 'REPLACE', LIBRARY));
      for (const [index, client] of clients.entries()) {
        await answered('a hash', () => client.hset('hash', `field ${index}`, 'new'));
        const many = Array.from({ length: 500 }, (_, nth) => [`field ${nth}`, `${nth}`]).flat();
        await answered('a large hash', () => client.hset(`large ${index}`, ...many));
        assert.equal(await answered('its size', () => client.hlen(`large ${index}`)), 500);
      }
      for (const client of clients) {
        assert.equal(await answered('the hash', () => client.hlen('hash')), 3);
        assert.equal(await answered('its function', () => client.call('FCALL', 'size', 1, 'hash')), 3);
        for (const index of clients.keys())
          assert.equal(await answered('a field', () => client.hget(`large ${index}`, 'field 499')), '499');
      }
      await readAll();
      await load.check(clients[1]!);
      // Too late: the old program is refused, by the name of what it lacks: a feature, or a form of the folder once its log has begun a new segment.
      await cluster.shutDown(1);
      isReplaced.delete(1);
      cluster.revive(1);
      await until('the old program hears what it lacks', () =>
        cluster.log.some(
          (line) =>
            line.startsWith('n1 ') &&
            /NODE_LACKS_FEATURE.*redis\.collections|has a record of format 2, which this version of kvorum does not know/.test(
              line,
            ),
        ),
      );
    } catch (error) {
      console.error(cluster.log.slice(-40).join('\n'));
      throw error;
    } finally {
      await load.stop();
      await cluster.stop();
    }
  });

  test('keeps the same digest as this program, whatever each of them has collected', async () => {
    const random = new SeededRandom(7);
    const stores = [await openStore((path) => released.url(path)), await openStore((path) => `file://${root}${path}`)];
    let at = 100;
    for (let step = 0; step < 400; step++) {
      at += 2 + random.int(5);
      const changes = Array.from({ length: 1 + random.int(4) }, () => ({
        key: Buffer.from(`key ${random.int(12)}${random.int(3) === 0 ? ' and more' : ''}`),
        dice: random.int(10),
        bytes: 1 + random.int(60),
        expireTs: random.int(4) === 0 ? at + 1 + random.int(50) : 0,
      }));
      const threshold = random.int(15) === 0 ? at - random.int(40) : 0;
      for (const store of stores) {
        const writer = store.write();
        for (const { key, dice, bytes, expireTs } of changes) {
          if (dice === 0) writer.deleteRange(Buffer.from('key 3'), Buffer.from('key 5'), ts(at - 1));
          else if (dice <= 2) writer.delete(key, ts(at));
          else writer.put(key, Buffer.alloc(bytes, dice), ts(at), ts(expireTs));
        }
        if (threshold > store.gcThreshold) store.setGcThreshold(writer, ts(threshold));
        writer.commit(store.appliedIndex + 1);
        if (random.int(6) === 0) await store.collectGarbage(random.int(1000));
      }
      if (step % 20 === 0) {
        const [old, present] = await Promise.all(stores.map((store) => store.digest()));
        assert.equal(present, old, `after ${step} entries`);
      }
    }
    for (const store of stores) await store.close();
  });
});

/** An empty store of one of the two programs. */
async function openStore(url: (path: string) => string): Promise<GroupStore> {
  const group = (await import(url('src/store/group/open.ts'))) as { openGroupStore: typeof openGroupStore };
  const level = (await import(url('src/store/level/simulated-level.ts'))) as {
    SimulatedLevels: typeof SimulatedLevels;
  };
  const disk = (await import(url('test/support/memory-disk.ts'))) as { MemoryDisk: typeof MemoryDisk };
  const levels = new level.SimulatedLevels();
  return group.openGroupStore({
    location: 'store',
    openLevel: levels.openLevel,
    folders: levels,
    disk: new disk.MemoryDisk(),
    limits: { inlineBytes: 24, flushBytes: 2048, flushIntervalMs: 3 },
  });
}
