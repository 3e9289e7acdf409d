import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { connectOnce } from '../support/process-nodes.ts';
import { skipWithout } from '../support/programs.ts';
import { until } from '../support/until.ts';
import { sources } from '../tidy/source-tree.ts';
import { PageNodes } from './page-nodes.ts';
import { namedBlocks, stepsOf } from './runbooks.ts';

const NODES = 4;
/** An election under load on a machine that is busy with other tests. */
const LONGEST_PAUSE_MS = 15_000;
const BATCH = 500;
/** Between two writes of one client: the machine has more to do than to take writes. */
const PACE_MS = 50;

/** Writes that never stop; remembers each one that was acknowledged. */
class Load {
  readonly acknowledged: string[] = [];
  /** The longest time without an acknowledgement. */
  longestPauseMs = 0;
  private readonly clients: Redis[];
  private readonly loops: Promise<void>[];
  private isOver = false;
  private lastMs = performance.now();

  constructor(ports: readonly number[]) {
    this.clients = ports.map((port) => connectOnce(port));
    this.loops = this.clients.flatMap((client, at) =>
      [0, 1].map((each) => this.write(client, `load:${ports[at]}.${each}`)),
    );
  }

  private async write(client: Redis, name: string): Promise<void> {
    for (let serial = 0; !this.isOver; serial++) {
      const key = `${name}:${serial}`;
      try {
        await client.set(key, key);
        const nowMs = performance.now();
        this.longestPauseMs = Math.max(this.longestPauseMs, nowMs - this.lastMs);
        this.lastMs = nowMs;
        this.acknowledged.push(key);
      } catch {
        // The next one says how long it took.
      }
      await delay(PACE_MS);
    }
  }

  /** Settles when it goes on: a write was acknowledged that began after the call. */
  async flows(): Promise<void> {
    const count = this.acknowledged.length + 2 * this.clients.length;
    await until('the load goes on', () => this.acknowledged.length > count, LONGEST_PAUSE_MS);
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await Promise.all(this.loops);
    for (const client of this.clients) client.disconnect();
  }
}

describe('the runbooks, word for word', { skip: skipWithout('bash') }, () => {
  let nodes: PageNodes;
  const assertVoters = async (asked: number, ids: readonly number[]): Promise<void> => {
    const { groups } = await nodes.ask(asked, 'Members', { groups: [] });
    for (const group of groups) {
      assert.deepEqual(
        [group.problem, group.members.map((member) => [member.nodeId, member.suffrage])],
        ['', ids.map((id) => [id, 'voter'])],
      );
    }
  };
  /** Sizes are measured every few seconds. */
  const sized = (asked: number): Promise<void> =>
    until('every replica is shown with its size', async () => {
      const { nodes: all } = await nodes.ask(asked, 'Status', { groups: [] });
      return all.flatMap(({ replicas }) => replicas).every(({ storedBytes }) => storedBytes !== undefined);
    });
  /** Everything that was acknowledged, through each of these nodes. */
  const assertNothingLost = async (load: Load, nodeIds: readonly number[]): Promise<void> => {
    for (const nodeId of nodeIds) {
      const client = nodes.client(nodeId);
      const missing: string[] = [];
      for (let at = 0; at < load.acknowledged.length; at += BATCH) {
        const keys = load.acknowledged.slice(at, at + BATCH);
        const values = await client.mget(keys);
        missing.push(...keys.filter((key, index) => values[index] !== key));
      }
      assert.deepEqual(missing, [], `node ${nodeId} has lost acknowledged writes`);
    }
  };

  before(async () => {
    nodes = await PageNodes.open({ count: NODES });
  });
  after(() => nodes.stop());

  test('lead from one node to three, and from a dead node to its successor, while clients write', async () => {
    const { shell, ready, listening } = nodes;
    await shell.run('grow, before', ready);
    const load = new Load([nodes.redisPort(1)]);
    try {
      await load.flows();
      await shell.run('grow', listening);
      await load.flows();
      await assertVoters(1, [1, 2, 3]);
      await Promise.all([1, 2, 3].map(ready));
      await shell.run('grow, restart', ready);
      await load.flows();
      await assertVoters(1, [1, 2, 3]);
    } finally {
      await load.stop();
    }
    const more = new Load([nodes.redisPort(1), nodes.redisPort(2)]);
    try {
      await more.flows();
      await shell.end(3, 'SIGKILL');
      await more.flows();
      await shell.run('replace', listening);
      await more.flows();
      await assertVoters(2, [1, 2, 4]);
      await ready(4);
      await shell.run('replace, restart', ready);
      await more.flows();
      await assertVoters(4, [1, 2, 4]);
      await sized(4);
    } finally {
      await more.stop();
    }
    for (const each of [load, more]) await assertNothingLost(each, [1, 2, 4]);
    assert.ok(more.longestPauseMs < LONGEST_PAUSE_MS, `the load stood still for ${Math.round(more.longestPauseMs)} ms`);
  });

  test('are run by a test, each block of each page', () => {
    const tests = sources.filter(({ path }) => path.startsWith('test/cmd/')).map(({ text }) => text);
    const alone = namedBlocks().filter(({ name }) => !tests.some((text) => text.includes(`'${name}'`)));
    assert.deepEqual(alone, []);
  });

  test('are read as steps: servers on their own, everything between them together', () => {
    const block = 'export A=1\nkvorum server --node-id 2 \\\n  --join\nraftadmin members\nraftadmin health\n';
    assert.deepEqual(
      stepsOf(block).map(({ text, nodeId }) => [text.trim().replace(/ +/g, ' '), nodeId]),
      [
        ['export A=1', undefined],
        ['kvorum server --node-id 2 --join', 2],
        ['raftadmin members\nraftadmin health', undefined],
      ],
    );
  });
});
