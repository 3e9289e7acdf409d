/**
 * Kills random nodes of a cluster under load and keeps a history of what clients were told. At the end the history decides:
 * what was acknowledged is there, what was refused is not, what is unknown may be either, and a counter that was
 * incremented n times with an answer gave n different answers.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { SeededRandom } from '../../src/platform/index.ts';
import type { ProcessNodes } from '../support/process-nodes.ts';

type Outcome = 'acknowledged' | 'refused' | 'unknown';

const CLIENTS_PER_NODE = 3;
const COUNTER = 'counter';
/** Between the start of a node and the next kill. */
const QUIET_MS = { min: 200, max: 900 } as const;
/** Between a kill and the start of the node. */
const DOWN_MS = { min: 0, max: 900 } as const;
const READ_BATCH = 500;

/** What all clients together were told. */
export class History {
  /** Keys that are written once, with their value. */
  readonly singles = new Map<string, { readonly value: string; readonly outcome: Outcome }>();
  /** Every client's own register: the last acknowledged value, and values of unknown outcome after it. */
  readonly registers = new Map<string, { acknowledged: number; unknown: number[]; refused: number[] }>();
  readonly counterReplies: number[] = [];
  counterUnknown = 0;
  readonly errors = new Map<string, number>();

  count(outcome: Outcome): number {
    return [...this.singles.values()].filter((single) => single.outcome === outcome).length;
  }
}

/** An error reply says what happened: UNKNOWN that nobody knows, anything else that nothing did. No reply says nothing. */
function outcomeOf(error: unknown, history: History): Outcome {
  const { name, message } = error as Error;
  const kind = name === 'ReplyError' ? message.split(' ')[0]! : 'no reply';
  history.errors.set(kind, (history.errors.get(kind) ?? 0) + 1);
  return name === 'ReplyError' && kind !== 'UNKNOWN' ? 'refused' : 'unknown';
}

class Writer {
  private readonly client: Redis;
  private readonly name: string;
  private readonly history: History;
  private serial = 0;

  constructor(client: Redis, name: string, history: History) {
    this.client = client;
    this.name = name;
    this.history = history;
    history.registers.set(`register:${name}`, { acknowledged: 0, unknown: [], refused: [] });
  }

  async run(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      this.serial++;
      const outcome = await this.step();
      if (outcome !== 'acknowledged') await delay(10);
    }
  }

  private step(): Promise<Outcome> {
    if (this.serial % 5 === 0) return this.increment();
    if (this.serial % 5 === 1) return this.writeRegister();
    return this.writeSingle();
  }

  private async writeSingle(): Promise<Outcome> {
    const key = `single:${this.name}:${this.serial}`;
    const value = `${key}=${'v'.repeat(this.serial % 200)}`;
    const outcome = await this.attempt(() => this.client.set(key, value));
    this.history.singles.set(key, { value, outcome });
    return outcome;
  }

  private async writeRegister(): Promise<Outcome> {
    const key = `register:${this.name}`;
    const register = this.history.registers.get(key)!;
    const outcome = await this.attempt(() => this.client.set(key, String(this.serial)));
    // An earlier write of unknown outcome stays possible for ever: it may be applied late.
    if (outcome === 'acknowledged') register.acknowledged = this.serial;
    else if (outcome === 'unknown') register.unknown.push(this.serial);
    else register.refused.push(this.serial);
    return outcome;
  }

  private async increment(): Promise<Outcome> {
    return this.attempt(
      async () => {
        this.history.counterReplies.push(await this.client.incr(COUNTER));
      },
      () => this.history.counterUnknown++,
    );
  }

  private async attempt(write: () => Promise<unknown>, onUnknown?: () => void): Promise<Outcome> {
    try {
      await write();
      return 'acknowledged';
    } catch (error) {
      const outcome = outcomeOf(error, this.history);
      if (outcome === 'unknown') onUnknown?.();
      return outcome;
    }
  }
}

const between = (random: SeededRandom, { min, max }: { min: number; max: number }): number =>
  min + random.int(max - min);

/**
 * Kills one random node a round, and starts it again, while clients of all nodes write.
 * @returns what the clients were told
 */
export async function runKillRounds(
  cluster: ProcessNodes,
  random: SeededRandom,
  rounds: number,
  onRound?: (round: number, nodeId: number) => void,
): Promise<History> {
  const history = new History();
  let over = false;
  const writers = cluster.nodeIds.flatMap((nodeId) =>
    Array.from(
      { length: CLIENTS_PER_NODE },
      (_, index) => new Writer(cluster.client(nodeId), `${nodeId}.${index}`, history),
    ),
  );
  const running = writers.map((writer) => writer.run(() => over));
  try {
    for (let round = 1; round <= rounds; round++) {
      await delay(between(random, QUIET_MS));
      const victim = cluster.nodeIds[random.int(cluster.nodeIds.length)]!;
      onRound?.(round, victim);
      await cluster.kill(victim);
      await delay(between(random, DOWN_MS));
      cluster.revive(victim);
      // A majority must stay alive for the load to mean anything, so a round waits for the node to be back.
      await cluster.ready();
    }
    await delay(QUIET_MS.min);
  } finally {
    over = true;
    await Promise.all(running);
  }
  return history;
}

async function readAll(client: Redis, keys: readonly string[]): Promise<(string | null)[]> {
  const values: (string | null)[] = [];
  for (let at = 0; at < keys.length; at += READ_BATCH) {
    // One by one, but in one go: the keys are of several groups.
    const replies = await client.pipeline(keys.slice(at, at + READ_BATCH).map((key) => ['get', key])).exec();
    for (const [error, value] of replies ?? []) {
      if (error !== null) throw error;
      values.push(value as string | null);
    }
  }
  return values;
}

/** Reads everything through one node and holds it against the history. */
export async function checkThrough(client: Redis, history: History, where: string): Promise<void> {
  const keys = [...history.singles.keys()];
  const values = await readAll(client, keys);
  const wrong: string[] = [];
  keys.forEach((key, index) => {
    const { value, outcome } = history.singles.get(key)!;
    const found = values[index];
    const right =
      outcome === 'acknowledged' ? found === value : found === null || (outcome === 'unknown' && found === value);
    if (!right) wrong.push(`${key} was ${outcome}, read ${JSON.stringify(found)}`);
  });
  assert.deepEqual(wrong.slice(0, 10), [], `${where}: ${wrong.length} of ${keys.length} single writes are wrong`);

  for (const [key, { acknowledged, unknown, refused }] of history.registers) {
    const found = Number((await client.get(key)) ?? 0);
    const possible = found === acknowledged || unknown.includes(found);
    assert.ok(
      possible && !refused.includes(found),
      `${where}: ${key} is ${found}, last acknowledged was ${acknowledged}`,
    );
  }

  const counter = Number((await client.get(COUNTER)) ?? 0);
  const { counterReplies, counterUnknown } = history;
  assert.equal(new Set(counterReplies).size, counterReplies.length, `${where}: two increments gave the same answer`);
  assert.ok(
    counter >= counterReplies.length && counter <= counterReplies.length + counterUnknown,
    `${where}: the counter is ${counter} after ${counterReplies.length} acknowledged and ${counterUnknown} unknown increments`,
  );
  assert.ok(
    counterReplies.every((reply) => reply <= counter),
    `${where}: an increment answered more than the counter is`,
  );
}

/** Through every node, and then again with every node as the leader, whose own copy is what it answers from. */
export async function checkEverywhere(cluster: ProcessNodes, history: History): Promise<void> {
  await cluster.ready();
  for (const nodeId of cluster.nodeIds) await checkThrough(cluster.client(nodeId), history, `through node ${nodeId}`);
  for (const nodeId of cluster.nodeIds) {
    await cluster.makeLead(nodeId);
    await checkThrough(cluster.client(nodeId), history, `with node ${nodeId} as the leader`);
  }
}
