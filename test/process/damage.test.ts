import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ProcessNodes } from '../support/process-nodes.ts';
import { until } from '../support/until.ts';

const KEYS = 400;
const MARK = 'a value that is easy to find';
const DAMAGED_MARK = 'A value that is easy to find';

/** Turns over the first letter of the first mark in the log. @returns the file */
function damage(folder: string): string {
  for (const name of readdirSync(folder).sort()) {
    const file = join(folder, name);
    const bytes = readFileSync(file);
    const at = bytes.indexOf(MARK);
    if (at < 0) continue;
    bytes.write(DAMAGED_MARK, at);
    writeFileSync(file, bytes);
    return file;
  }
  throw new assert.AssertionError({ message: `no file in ${folder} holds the mark` });
}

function repair(file: string): void {
  const bytes = readFileSync(file);
  bytes.write(MARK, bytes.indexOf(DAMAGED_MARK));
  writeFileSync(file, bytes);
}

async function fill(cluster: ProcessNodes): Promise<void> {
  const client = cluster.client(cluster.nodeIds[0]!);
  for (let key = 0; key < KEYS; key++) await client.set(`key:${key}`, `${MARK} ${key}`);
}

/** The node refuses to start and says why, while the other two go on. */
async function refusesToStart(cluster: ProcessNodes, nodeId: number, says: readonly string[]): Promise<void> {
  const linesBefore = cluster.log.length;
  cluster.revive(nodeId);
  const process = cluster.processes.process(nodeId)!;
  await until(`the end of node ${nodeId}`, () => process.exit !== undefined);
  const said = cluster.log.slice(linesBefore).filter((line) => line.startsWith(`n${nodeId} `));
  assert.equal(process.exit!.code, 1, said.join('\n'));
  for (const part of says) assert.ok(said.join('\n').includes(part), `${part} in: ${said.join('\n')}`);
  const other = cluster.client(cluster.nodeIds.find((id) => id !== nodeId)!);
  await until('the other nodes serve', () =>
    other.set('still', 'there').then(
      () => true,
      () => false,
    ),
  );
  assert.equal(await other.get(`key:${KEYS - 1}`), `${MARK} ${KEYS - 1}`);
}

test('a node with a damaged log or an incomplete store does not start, says what to do, and the others serve', async (t) => {
  const cluster = await ProcessNodes.start();
  try {
    const [first, second] = cluster.nodeIds as [number, number];
    await fill(cluster);
    const storeFolder = join(cluster.dataFolder(second), 'group-1');
    // What was flushed when the node stopped becomes a table when it starts again.
    await cluster.shutDown(second);
    cluster.revive(second);
    await cluster.ready();

    await cluster.shutDown(first);
    const file = damage(join(cluster.dataFolder(first), 'log'));
    await refusesToStart(cluster, first, [file, 'Restore the file from a copy', 'add it again as a new node']);

    repair(file);
    cluster.revive(first);
    await cluster.ready();
    await cluster.shutDown(second);
    const tables = readdirSync(storeFolder).filter((name) => name.endsWith('.ldb'));
    assert.ok(tables.length > 0, 'the store has no table');
    for (const table of tables) rmSync(join(storeFolder, table));
    await refusesToStart(cluster, second, [storeFolder, 'restore this replica from another one']);
  } catch (error) {
    t.diagnostic(cluster.log.slice(-40).join('\n'));
    throw error;
  } finally {
    await cluster.stop();
  }
});
