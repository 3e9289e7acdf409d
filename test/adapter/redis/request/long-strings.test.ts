/**
 * Strings in chunks, and sketches, where they are not evaluated on one leader's store: over several groups, in transactions, and on replicas. Whole
 * nodes on simulated machines answer what one evaluation after the other over keys in memory does.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { KEYSPACES } from '../../../../src/adapter/redis/keys/index.ts';
import type { Reply } from '../../../../src/adapter/redis/protocol/index.ts';
import type { SimRedis } from '../../../sim/cluster/sim-redis.ts';
import { SimulatedNodes } from '../../../support/simulated-nodes.ts';
import { Evaluator } from '../commands/evaluate.ts';

const GROUPS = 3;
const CATCH_UP_MS = 3_000;

type Command = readonly string[];

/** Integers and statuses as clients are told them. */
function told(reply: Reply): unknown {
  if (Array.isArray(reply)) return reply.map(told);
  if (Buffer.isBuffer(reply)) return reply.toString('latin1');
  if (typeof reply === 'bigint') return Number(reply);
  return typeof reply === 'object' && reply !== null && 'text' in reply ? reply.text : reply;
}

class Bench {
  readonly cluster = new SimulatedNodes(3, GROUPS, 7);
  readonly model = new Evaluator();
  /** Keys of three groups. */
  keys!: readonly [string, string, string];
  client!: SimRedis;
  /** READONLY, on a node that leads none of the first two keys' groups. */
  reader!: SimRedis;
  private readerAt = 0;

  async start(): Promise<void> {
    const { cluster } = this;
    cluster.start();
    await cluster.ready();
    const { kv } = cluster.running(1);
    const storageKey = (key: string): Buffer => KEYSPACES[0]!.storageKey(Buffer.from(key));
    const byGroup = new Map<number, string>();
    for (let at = 0; byGroup.size < GROUPS; at++) byGroup.set(kv.groupOf(storageKey(`k${at}`)), `k${at}`);
    const [a, b, c] = [...byGroup.values()];
    this.keys = [a!, b!, c!];
    const leads = (id: number, key: string): boolean => {
      const node = cluster.running(id).kv;
      return node.servesLocally(node.groupOf(storageKey(key)));
    };
    this.readerAt = cluster.nodes.find(({ id }) => !leads(id, a!) && !leads(id, b!))!.id;
    this.client = await cluster.run(cluster.node(1).connect());
    this.reader = await cluster.run(cluster.node(this.readerAt).connect());
    await this.ask(this.reader, ['readonly']);
  }

  ask(client: SimRedis, command: Command): Promise<unknown> {
    return this.cluster.run(client.command(command));
  }

  private expected([name, ...args]: Command): unknown {
    return told(this.model.run(name!, ...args));
  }

  /** Runs commands on both sides. */
  async play(...commands: readonly Command[]): Promise<void> {
    for (const command of commands) {
      assert.deepEqual(await this.ask(this.client, command), this.expected(command), command.slice(0, 3).join(' '));
    }
  }

  /** Runs commands on both sides, here in one transaction. */
  async playTogether(...commands: readonly Command[]): Promise<void> {
    const replies = await this.cluster.run(this.client.transaction(commands));
    assert.deepEqual(
      replies,
      commands.map((command) => [null, this.expected(command)]),
    );
  }

  /** Asks the replicas of the reader's node. */
  async look(...commands: readonly Command[]): Promise<void> {
    for (const command of commands) {
      const served = this.served();
      assert.deepEqual(await this.ask(this.reader, command), this.expected(command), command.join(' '));
      assert.ok(this.served() > served, `a replica answers ${command.join(' ')}`);
    }
  }

  rest(): Promise<void> {
    return this.cluster.simulation.runFor(CATCH_UP_MS);
  }

  private served(): number {
    return this.cluster.running(this.readerAt).reads.stats().served;
  }
}

const elements = (from: number, count: number): string[] =>
  Array.from({ length: count }, (_, nth) => `element:${from + nth}`);

describe('strings in chunks over several groups', () => {
  const bench = new Bench();
  before(async () => {
    await bench.start();
    const [a, b, c] = bench.keys;
    await bench.play(
      ['set', a, 'a'.repeat(6_000)],
      ['append', a, 'end'],
      ['setrange', b, '9000', 'behind a gap'],
      ['setbit', c, '100000', '1'],
      ['setbit', c, '7', '1'],
    );
  });

  test('are joined, compared and combined', async () => {
    const [a, b, c] = bench.keys;
    await bench.play(
      ['mget', a, b, c],
      ['bitop', 'xor', 'combined', a, b, c],
      ['get', 'combined'],
      ['bitop', 'and', b, a, b],
      ['strlen', b],
      ['copy', a, c, 'replace'],
      ['rename', a, b],
      ['append', b, 'renamed'],
      ['mget', a, b, c],
      ['exists', a, b, c],
    );
  });

  test('are changed in one transaction', async () => {
    const [a, b, c] = bench.keys;
    await bench.play(['set', a, 'x'.repeat(5_000)], ['append', a, 'y'], ['set', b, 'z'.repeat(70_000)]);
    await bench.playTogether(
      ['setrange', a, '100', 'within'],
      ['append', b, 'more'],
      ['setbit', c, '50000', '1'],
      ['getrange', a, '90', '110'],
      ['bitcount', c],
      ['bitfield', b, 'set', 'u8', '#69999', '1', 'get', 'u8', '#69999'],
      ['strlen', b],
    );
    await bench.playTogether(['append', a, '!'], ['getrange', a, '-5', '-1']);
    await bench.play(['mget', a, b, c]);
  });

  test('are read on replicas', async () => {
    const [a, b] = bench.keys;
    await bench.play(['setrange', a, '4500', 'for the replicas'], ['setbit', b, '80', '1']);
    await bench.rest();
    await bench.look(
      ['get', a],
      ['strlen', a],
      ['getrange', a, '4490', '4520'],
      ['getbit', b, '80'],
      ['bitcount', b, '5', '20000'],
      ['bitpos', b, '0', '600'],
      ['bitfield_ro', b, 'get', 'u16', '#600'],
    );
  });
});

describe('sketches over several groups', () => {
  const bench = new Bench();
  before(async () => {
    await bench.start();
    const [a, b, c] = bench.keys;
    for (let from = 0; from < 4_000; from += 1_000) await bench.play(['pfadd', a, ...elements(from, 1_000)]);
    await bench.play(['pfadd', b, ...elements(3_000, 500)], ['pfadd', c, 'one', 'two', 'three']);
  });

  test('are counted together and merged', async () => {
    const [a, b, c] = bench.keys;
    await bench.play(
      ['pfcount', a, b, c, 'none'],
      ['pfmerge', 'merged', b, c],
      ['get', 'merged'],
      ['pfmerge', c, a, b],
      ['pfcount', c],
      ['get', c],
      ['pfadd', c, 'one more'],
      ['get', c],
    );
  });

  test('are counted and changed in one transaction', async () => {
    const [a, b, c] = bench.keys;
    await bench.playTogether(
      ['pfadd', a, 'in a transaction'],
      ['pfcount', a],
      ['pfcount', a, b],
      ['pfmerge', b, c],
      ['pfcount', b],
    );
    await bench.play(['get', a], ['get', b]);
  });

  test('are counted on replicas, which note nothing', async () => {
    const [a, b] = bench.keys;
    await bench.play(['pfadd', a, 'for the replicas'], ['pfadd', b, 'for them too']);
    const stale = await bench.ask(bench.client, ['get', a]);
    await bench.rest();
    await bench.look(['pfcount', a], ['pfcount', b]);
    assert.equal(await bench.ask(bench.client, ['get', a]), stale);
    const noted = bench.model.run('get', a);
    await bench.ask(bench.client, ['pfcount', a]);
    assert.equal(await bench.ask(bench.client, ['get', a]), noted);
  });
});
