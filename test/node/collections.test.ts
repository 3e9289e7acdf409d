/**
 * Collections through whole nodes on simulated machines: by any node, in transactions of one group and of several, by replicas, while
 * ranges move and leaders change. Every reply is compared with that of the same commands over keys in memory.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { KEYSPACES } from '../../src/adapter/redis/keys/keyspace.ts';
import { encodeReply } from '../../src/adapter/redis/protocol/reply-writer.ts';
import { type GroupId, groupId, SeededRandom } from '../../src/platform/index.ts';
import { Evaluator } from '../adapter/redis/commands/evaluate.ts';
import { ReplyParser, type SimRedis } from '../sim/cluster/sim-redis.ts';
import { SimulatedNodes } from '../support/simulated-nodes.ts';

const NODES = 3;
const GROUPS = 3;
const STEPS = 220;

type Command = readonly string[];

const storageKey = (key: string): Buffer => KEYSPACES[0]!.storageKey(Buffer.from(key));

/** Elements with some order of their own. */
const elements = (random: SeededRandom, count: number): string[] =>
  Array.from({ length: count }, () => `element ${random.int(400)}`);

/** One command that changes or reads keys of its type, `h`, `l`, `s` or `z` and a number; large ones among them. */
function drawCommand(random: SeededRandom, number: number): Command {
  const other = `${random.int(4)}`;
  const [h, l, s, z] = ['h', 'l', 's', 'z'].map((type) => `${type}${number}`) as [string, string, string, string];
  const many = random.int(3) === 0 ? 120 : 3;
  const all: readonly (() => Command)[] = [
    () => ['hset', h, ...elements(random, many).flatMap((field) => [field, `${random.int(1_000_000)}`])],
    () => ['hdel', h, ...elements(random, many)],
    () => ['hincrby', h, 'counter', '3'],
    () => ['hmget', h, ...elements(random, 4)],
    () => ['hgetall', h],
    () => ['rpush', l, ...elements(random, many)],
    () => ['lpush', l, ...elements(random, 3)],
    () => ['lpop', l, `${1 + random.int(many)}`],
    () => ['lrange', l, `${random.int(50)}`, '-1'],
    () => ['lmove', l, `l${other}`, 'left', 'right'],
    () => ['linsert', l, 'before', elements(random, 1)[0]!, 'inserted'],
    () => ['sadd', s, ...elements(random, many)],
    () => ['srem', s, ...elements(random, many)],
    () => ['smembers', s],
    () => ['smove', s, `s${other}`, elements(random, 1)[0]!],
    () => ['sinterstore', `s${number}`, `s${other}`, `s${random.int(4)}`],
    () => ['scard', s],
    () => ['zadd', z, ...elements(random, many).flatMap((member) => [`${random.int(1_000)}`, member])],
    () => ['zrem', z, ...elements(random, many)],
    () => ['zincrby', z, '5', elements(random, 1)[0]!],
    () => ['zrank', z, elements(random, 1)[0]!],
    () => ['zrange', z, '10', '60', 'withscores'],
    () => ['zrangebyscore', z, '200', '400'],
    () => ['zunionstore', `z${number}`, '2', `z${other}`, `z${random.int(4)}`],
    () => ['copy', h, `h${other}`, 'replace'],
    () => ['rename', `l${other}`, l],
    () => ['del', [h, l, s, z][random.int(4)]!],
    () => ['type', [h, l, s, z][random.int(4)]!],
    () => ['exists', h, l, s, z],
  ];
  return all[random.int(all.length)]!();
}

class Bench {
  readonly cluster = new SimulatedNodes(NODES, GROUPS, 21);
  readonly random = new SeededRandom(5);
  /** The same keys in memory. */
  private readonly model = new Evaluator();
  private readonly clients: SimRedis[] = [];

  async start(): Promise<void> {
    const { cluster } = this;
    cluster.start();
    await cluster.ready();
    for (const node of cluster.nodes) this.clients.push(await cluster.run(node.connect()));
  }

  get anyClient(): SimRedis {
    return this.clients[this.random.int(this.clients.length)]!;
  }

  /** What a command should answer. */
  expected(command: Command): unknown {
    try {
      const [name, ...args] = command;
      const parser = new ReplyParser();
      parser.push(encodeReply(this.model.run(name!, ...args), 2));
      return parser.next()!.reply;
    } catch (error) {
      return (error as Error).message;
    }
  }

  /** What it does answer. */
  async answered(client: SimRedis, command: Command): Promise<unknown> {
    return this.cluster.run(client.command(command)).catch((error: Error) => error.message);
  }

  async runOne(command: Command): Promise<void> {
    assert.deepEqual(
      await this.answered(this.anyClient, command),
      this.expected(command),
      command.slice(0, 4).join(' '),
    );
  }

  async runTransaction(commands: readonly Command[]): Promise<void> {
    const replies: [Error | null, unknown][] | null = await this.cluster.run(this.anyClient.transaction(commands));
    assert.ok(replies !== null);
    for (const [at, command] of commands.entries()) {
      const [failure, reply]: [Error | null, unknown] = replies[at]!;
      assert.deepEqual(failure?.message ?? reply, this.expected(command), `in MULTI: ${command.slice(0, 4).join(' ')}`);
    }
  }

  /** Everything, by a replica that does not lead. */
  async checkReplicas(): Promise<void> {
    const { cluster } = this;
    await cluster.simulation.runFor(4_000);
    for (const node of cluster.nodes) {
      const client = await cluster.run(node.connect());
      await cluster.run(client.command(['readonly']));
      for (let number = 0; number < 4; number++) {
        for (const command of [
          ['hgetall', `h${number}`],
          ['lrange', `l${number}`, '0', '-1'],
          ['smembers', `s${number}`],
          ['zrange', `z${number}`, '0', '-1', 'withscores'],
        ]) {
          assert.deepEqual(await this.answered(client, command), this.expected(command), `${node.id}: ${command}`);
        }
      }
      client.disconnect();
    }
  }

  /** Digests, which are equal on all replicas of a group at the same index. */
  async checkDigests(): Promise<void> {
    const { cluster } = this;
    for (let group = 1; group <= GROUPS; group++) {
      const hosted = cluster.nodes.map(({ process }) => process!.node.host.get(groupId(group))!);
      await cluster.until(
        'all replicas have applied the same',
        () => new Set(hosted.map(({ store }) => store.appliedIndex)).size === 1,
      );
      const digests = await cluster.run(Promise.all(hosted.map(({ store }) => store.digest())));
      if (new Set(hosted.map(({ store }) => store.appliedIndex)).size === 1) assert.equal(new Set(digests).size, 1);
    }
  }

  groupOf(key: string): GroupId {
    return this.cluster.running(1).kv.groupOf(storageKey(key));
  }
}

describe('collections', () => {
  const bench = new Bench();
  before(() => bench.start());

  test('are the same by every node, in transactions of one group and of several', async () => {
    const { random } = bench;
    for (let step = 0; step < STEPS; step++) {
      if (random.int(3) > 0) await bench.runOne(drawCommand(random, random.int(4)));
      else {
        const commands = Array.from({ length: 2 + random.int(4) }, () => drawCommand(random, random.int(4)));
        await bench.runTransaction(commands);
      }
    }
    await bench.checkReplicas();
    await bench.checkDigests();
  });

  test('go with their ranges as a whole, and are the same behind leaders that change', async () => {
    const { random, cluster } = bench;
    for (const key of ['h1', 'l2', 'z3']) {
      const from = bench.groupOf(key);
      const to = groupId((Number(from) % GROUPS) + 1);
      await cluster.run(cluster.running(1).admin.move({ key: storageKey(key) }, to, undefined, 60_000));
      for (let step = 0; step < 15 || bench.groupOf(key) !== to; step++) {
        assert.ok(step < 2_000, 'the range moves under the commands');
        await bench.runOne(drawCommand(random, random.int(4)));
      }
      for (let step = 0; step < 15; step++) await bench.runOne(drawCommand(random, random.int(4)));
      const group = bench.groupOf(key);
      const leader = cluster.leaderOf(group)!;
      cluster
        .running(leader)
        .engine.group(group)!
        .transferLeadership(cluster.node((leader % NODES) + 1).id)
        .catch(() => undefined);
      for (let step = 0; step < 15; step++) await bench.runOne(drawCommand(random, random.int(4)));
    }
    await bench.checkReplicas();
    await bench.checkDigests();
  });
});
