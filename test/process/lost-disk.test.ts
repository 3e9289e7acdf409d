/** Nodes that come back without their folder, or without their log, after everybody was restarted: with real processes. */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ProcessNodes } from '../support/process-nodes.ts';
import { until } from '../support/until.ts';

const KEYS = 5;

/** Node `behind` is killed before what counts is written; then all are down. */
async function stopped(behind: number): Promise<ProcessNodes> {
  const cluster = await ProcessNodes.start();
  const writer = cluster.nodeIds.find((id) => id !== behind)!;
  await cluster.client(writer).set('before', 'yes');
  await cluster.kill(behind);
  const client = cluster.client(writer);
  for (let key = 0; key < KEYS; key++) {
    await until(`key ${key} is acknowledged`, () =>
      client.set(`acked${key}`, 'yes').then(
        () => true,
        () => false,
      ),
    );
  }
  for (const id of cluster.nodeIds) if (id !== behind) await cluster.kill(id);
  return cluster;
}

async function ends(cluster: ProcessNodes, nodeId: number, code: number, says: RegExp): Promise<void> {
  const process = cluster.processes.process(nodeId)!;
  await until(`the end of node ${nodeId}`, () => process.exit !== undefined);
  const said = cluster.log.filter((line) => line.startsWith(`n${nodeId} `)).join('\n');
  assert.equal(process.exit!.code, code, said);
  assert.match(said, says);
}

async function hasEverything(cluster: ProcessNodes, nodeId: number): Promise<void> {
  const client = cluster.client(nodeId);
  const get = (key: string): Promise<string | null | undefined> => client.get(key).catch(() => undefined);
  await until(`node ${nodeId} serves`, async () => (await get('before')) !== undefined);
  assert.equal(await get('before'), 'yes');
  for (let key = 0; key < KEYS; key++) assert.equal(await get(`acked${key}`), 'yes', `key ${key} on node ${nodeId}`);
}

async function withCluster(behind: number, work: (cluster: ProcessNodes) => Promise<void>): Promise<void> {
  const cluster = await stopped(behind);
  try {
    await work(cluster);
  } catch (error) {
    console.error(cluster.log.slice(-40).join('\n'));
    throw error;
  } finally {
    await cluster.stop();
  }
}

test('a node whose disk died does not vote itself in beside one that was behind, and nothing is lost', async () => {
  await withCluster(2, async (cluster) => {
    renameSync(cluster.dataFolder(3), `${cluster.dataFolder(3)}.dead`);
    cluster.revive(3);
    cluster.revive(2);
    await ends(cluster, 3, 4, /node 3 comes with data folder .*raftadmin replace 3 3/);
    await assert.rejects(cluster.client(2).get('acked0'), 'node 2 knows nobody to ask');
    cluster.revive(1);
    for (const id of [1, 2]) await hasEverything(cluster, id);
  });
});

test('a node whose log was not mounted does not start, and nothing is lost', async () => {
  await withCluster(3, async (cluster) => {
    const log = join(cluster.dataFolder(1), 'log');
    renameSync(log, `${log}.elsewhere`);
    mkdirSync(log);
    cluster.revive(1);
    cluster.revive(3);
    await ends(cluster, 1, 1, /the write-ahead log in .* is gone.*Is its file system mounted\?/);
    cluster.revive(2);
    for (const id of [2, 3]) await hasEverything(cluster, id);
    renameSync(`${log}.elsewhere`, log);
    cluster.revive(1);
    await cluster.ready();
    await hasEverything(cluster, 1);
  });
});
