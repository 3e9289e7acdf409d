/**
 * The runbooks that take longer than a merge has time for, word for word: `npm run test:runbooks`. Each starts the nodes that its page
 * speaks of, writes what can be counted, breaks what its page is about, runs the page, and counts.
 */
import assert from 'node:assert/strict';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { skipWithout } from '../support/programs.ts';
import { until } from '../support/until.ts';
import { PageNodes, type PageNodesOptions } from './page-nodes.ts';

const PRELOAD = new URL('../../jepsen/cluster/preload.ts', import.meta.url).href;
const KEYS = 500;

/** One runbook with its nodes. */
class Case {
  readonly nodes: PageNodes;

  constructor(nodes: PageNodes) {
    this.nodes = nodes;
  }

  /** Runs blocks; nodes that they start need only listen. */
  run(part: string): Promise<void> {
    return this.nodes.shell.run(part, this.nodes.listening);
  }

  /** Runs blocks whose nodes are a cluster only together. */
  found(part: string, nodeIds: readonly number[]): Promise<void> {
    return this.nodes.found(part, nodeIds);
  }

  /** Writes keys through a node, each until it is acknowledged. */
  async write(nodeId: number, name: string): Promise<void> {
    const client = this.nodes.client(nodeId);
    for (let key = 0; key < KEYS; key++) {
      await until(`${name}:${key} is acknowledged`, () =>
        client.set(`${name}:${key}`, `${name} ${key}`).then(
          () => true,
          () => false,
        ),
      );
    }
  }

  /** Everything that was written under a name is there, through each of these nodes. */
  async assertHas(nodeIds: readonly number[], name: string): Promise<void> {
    const keys = Array.from({ length: KEYS }, (_, key) => `${name}:${key}`);
    for (const nodeId of nodeIds) {
      const client = this.nodes.client(nodeId);
      let values: (string | null)[] | undefined;
      await until(`node ${nodeId} answers`, async () => {
        values = await client.mget(keys).catch(() => undefined);
        return values !== undefined;
      });
      assert.deepEqual(
        values,
        keys.map((_, key) => `${name} ${key}`),
        `through node ${nodeId}`,
      );
    }
  }

  async assertVoters(asked: number, nodeIds: readonly number[]): Promise<void> {
    const { groups } = await this.nodes.ask(asked, 'Members', { groups: [] });
    for (const { problem, members } of groups) {
      assert.deepEqual(
        [problem, members.map(({ nodeId, suffrage }) => [nodeId, suffrage])],
        ['', nodeIds.map((nodeId) => [nodeId, 'voter'])],
      );
    }
  }

  kill(nodeId: number): Promise<void> {
    return this.nodes.shell.end(nodeId, 'SIGKILL');
  }

  /** What the commands of the page have printed so far. */
  get said(): string {
    return this.nodes.shell.transcript.join('\n');
  }
}

async function withNodes(options: PageNodesOptions, work: (runbook: Case) => Promise<void>): Promise<void> {
  const nodes = await PageNodes.open(options);
  const runbook = new Case(nodes);
  try {
    await work(runbook);
  } catch (error) {
    console.error(runbook.said.slice(-20_000));
    throw error;
  } finally {
    await nodes.stop();
  }
}

const THREE = [1, 2, 3];

async function lostQuorum(): Promise<void> {
  await withNodes({ count: 5 }, async (runbook) => {
    await runbook.found('three nodes', THREE);
    await runbook.write(1, 'before');
    await Promise.all([runbook.kill(2), runbook.kill(3)]);
    await assert.rejects(runbook.nodes.client(1).set('a', '1'));
    await runbook.run('lost quorum');
    await runbook.assertVoters(1, [1, 4, 5]);
    await Promise.all([1, 4, 5].map(runbook.nodes.ready));
    await runbook.assertHas([1, 4, 5], 'before');
    await runbook.kill(1);
    await runbook.write(4, 'after');
  });
}

async function clockOff(): Promise<void> {
  const control = (folder: string): string => join(folder, 'clock-of-node-3');
  let folder = '';
  const set = (clockOffsetMs: number): void => {
    writeFileSync(`${control(folder)}.new`, JSON.stringify({ clockOffsetMs, diskFault: null }));
    renameSync(`${control(folder)}.new`, control(folder));
  };
  const environmentOf = (nodeId: number): Record<string, string> =>
    nodeId === 3 ? { NODE_OPTIONS: `--import=${PRELOAD}`, KVORUM_FAULT_CONTROL: control(folder) } : {};
  await withNodes({ count: 3, environmentOf }, async (runbook) => {
    folder = runbook.nodes.folder;
    set(0);
    // What sets the clock of that machine.
    const right = JSON.stringify({ clockOffsetMs: 0, diskFault: null });
    runbook.nodes.shell.install('chronyc', `[ "$1" = makestep ] && echo '${right}' >'${control(folder)}'`);
    await runbook.found('three nodes', THREE);
    set(60_000);
    const isOff = async (): Promise<boolean> => {
      const { nodes } = await runbook.nodes.ask(1, 'Status', { groups: [] });
      return nodes.find(({ nodeId }) => nodeId === 3)?.isClockOff === true;
    };
    await until('the node is known to be off', isOff);
    await runbook.run('clock off');
    assert.match(runbook.said, /node 3.*its clock is/);
    await until('the node is right again', async () => !(await isOff()));
    const before = runbook.nodes.shell.transcript.length;
    await runbook.run('clock off, after');
    assert.doesNotMatch(runbook.nodes.shell.transcript.slice(before).join('\n'), /its clock is/);
    await runbook.write(3, 'after');
  });
}

/** Declares them. */
function heavyRunbooks(): void {
  describe('runbooks that take longer, word for word', { skip: skipWithout('bash') }, () => {
    test('a lost quorum', lostQuorum);
    test('a clock that is off', clockOff);
  });
}

heavyRunbooks();
