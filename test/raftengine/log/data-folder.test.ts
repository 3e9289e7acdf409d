import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { nodeId, SeededRandom, SystemRandom } from '../../../src/platform/index.ts';
import { openDataFolder } from '../../../src/raftengine/founding/data-folder.ts';

describe('data folder', () => {
  let root = '';
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'kvorum-data-'));
  });
  after(() => rm(root, { recursive: true }));

  const open = (name: string, node = 1, clusterName = 'blue', joins = false) =>
    openDataFolder({
      folder: join(root, name),
      nodeId: nodeId(node),
      clusterName,
      random: new SystemRandom(),
      joins,
    });

  test('keeps the identity that it was made with', async () => {
    const first = await openDataFolder({
      folder: join(root, 'deep', 'er'),
      nodeId: nodeId(1),
      clusterName: 'blue',
      random: new SeededRandom(4),
      joins: false,
    });
    assert.match(first.identity.incarnation, /^[0-9a-f]{32}$/);
    await first.close();
    const second = await open(join('deep', 'er'));
    assert.deepEqual(second.identity, first.identity);
    await second.close();
  });

  test('remembers whether its node joined, whatever flag a later start has', async () => {
    const [joined, founded] = [await open('joined', 1, 'blue', true), await open('founded', 1, 'blue', false)];
    assert.deepEqual([joined.identity.joined, founded.identity.joined], [true, false]);
    await Promise.all([joined.close(), founded.close()]);
    const [again, asWell] = [await open('joined', 1, 'blue', false), await open('founded', 1, 'blue', true)];
    assert.deepEqual([again.identity.joined, asWell.identity.joined], [true, false]);
    await Promise.all([again.close(), asWell.close()]);
  });

  test('is refused to a second user while the first has it', async () => {
    const first = await open('shared');
    await assert.rejects(open('shared'), (error: Error & { code: string }) => {
      assert.equal(error.code, 'DATA_FOLDER_LOCKED');
      assert.ok(error.message.includes(join(root, 'shared')));
      assert.match(error.message, /another kvorum process/);
      return true;
    });
    await first.close();
    await (await open('shared')).close();
  });

  test('is refused to another node and to another cluster', async () => {
    await (await open('owned')).close();
    await assert.rejects(open('owned', 2), {
      code: 'DATA_FOLDER_MISMATCH',
      message: /belongs to node 1, not to node 2/,
    });
    await assert.rejects(open('owned', 1, 'green'), { code: 'DATA_FOLDER_MISMATCH', message: /cluster "blue"/ });
    await (await open('owned')).close();
  });

  test('is free again as soon as the process that had it was killed', async () => {
    const folder = join(root, 'killed');
    const holder = `
      import { openDataFolder } from ${JSON.stringify(import.meta.resolve('../../../src/raftengine/founding/data-folder.ts'))};
      import { SystemRandom } from ${JSON.stringify(import.meta.resolve('../../../src/platform/index.ts'))};
      await openDataFolder({ folder: ${JSON.stringify(folder)}, nodeId: 1, clusterName: 'blue', random: new SystemRandom(), joins: false });
      console.log('held');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', holder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    await assert.rejects(open('killed'), { code: 'DATA_FOLDER_LOCKED' });
    child.kill('SIGKILL');
    await once(child, 'exit');
    await (await open('killed')).close();
  });
});
