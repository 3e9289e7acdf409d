/**
 * Whole nodes on simulated machines, with keys of three groups, beside one evaluation after the other over keys in memory: what is answered by one leader, in
 * a transaction over groups and by replicas must be what the model answers.
 */
import assert from 'node:assert/strict';
import { KEYSPACES } from '../../../../src/adapter/redis/keys/index.ts';
import { NilArrayReply, type Reply, SetReply } from '../../../../src/adapter/redis/protocol/reply.ts';
import type { SimRedis } from '../../../sim/cluster/sim-redis.ts';
import { SimulatedNodes } from '../../../support/simulated-nodes.ts';
import { Evaluator } from '../commands/evaluate.ts';

const GROUPS = 3;
const CATCH_UP_MS = 3_000;
const MOST_LOOKS = 2;

type Command = readonly string[];

/** Integers and statuses as clients are told them. */
function told(reply: Reply): unknown {
  if (Array.isArray(reply)) return reply.map(told);
  if (Buffer.isBuffer(reply)) return reply.toString('latin1');
  if (typeof reply === 'bigint') return Number(reply);
  if (reply instanceof NilArrayReply) return null;
  if (reply instanceof SetReply) return reply.members.map(told);
  return typeof reply === 'object' && reply !== null && 'text' in reply ? reply.text : reply;
}

/** Commands that answer members of sets, in any order. */
const UNORDERED = new Set(['smembers', 'sinter', 'sunion', 'sdiff']);

const ordered = ([name]: Command, reply: unknown): unknown =>
  UNORDERED.has(name!) && Array.isArray(reply) ? reply.map(String).sort() : reply;

/** See above. */
export class GroupBench {
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

  async ask(client: SimRedis, command: Command): Promise<unknown> {
    return ordered(command, await this.cluster.run(client.command(command)));
  }

  private expected(command: Command): unknown {
    const [name, ...args] = command;
    return ordered(command, told(this.model.run(name!, ...args)));
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
    assert.ok(Array.isArray(replies));
    assert.deepEqual(
      replies.map(([error, reply], index) => [error, ordered(commands[index]!, reply)]),
      commands.map((command) => [null, this.expected(command)]),
    );
  }

  /** Asks as the reader what replicas do not answer, because the keys are in several groups. */
  async lookWidely(...commands: readonly Command[]): Promise<void> {
    for (const command of commands)
      assert.deepEqual(await this.ask(this.reader, command), this.expected(command), command.join(' '));
  }

  /** Asks the replicas of the reader's node. */
  async look(...commands: readonly Command[]): Promise<void> {
    for (const command of commands) {
      let isServed = false;
      // A replica that has not come to the session's moment yet passes the command on.
      for (let left = MOST_LOOKS; left > 0 && !isServed; left--) {
        const served = this.served();
        assert.deepEqual(await this.ask(this.reader, command), this.expected(command), command.join(' '));
        isServed = this.served() > served;
        if (!isServed) await this.rest();
      }
      assert.ok(isServed, `a replica answers ${command.join(' ')}`);
    }
  }

  rest(): Promise<void> {
    return this.cluster.simulation.runFor(CATCH_UP_MS);
  }

  private served(): number {
    return this.cluster.running(this.readerAt).reads.stats().served;
  }
}
