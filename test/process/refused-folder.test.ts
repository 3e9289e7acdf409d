/** Folders that a node must not start with: which exit code it ends with, what it says, and that it has written nothing there. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { freePortRange } from '../../bench/scratch.ts';
import { AdminClient } from '../../src/adapter/grpc/index.ts';
import { EXIT_CODES } from '../../src/config/index.ts';
import { connectOnce, temporaryFolder } from '../support/process-nodes.ts';
import { until } from '../support/until.ts';
import { Program } from './program.ts';

const CALL_MS = 10_000;
const hex = (byte: number): string => Buffer.alloc(32, byte).toString('hex');
const PRELOAD = new URL('../../jepsen/cluster/preload.ts', import.meta.url).href;
/** A program that knows no backups. */
const OLDER = [
  {
    file: 'src/distribution/catalog/features.ts',
    find: '  backups: { bit: 11,',
    replace: "  'of another time': { bit: 63,",
  },
];

/** What is in a folder: names and contents. @param but names of folders that are left out */
function contentsOf(folder: string, but: readonly string[] = []): Map<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
  const paths = files.map((file) => join(file.parentPath, file.name)).sort();
  const kept = paths.filter((path) => !but.some((name) => path.startsWith(join(folder, name))));
  return new Map(kept.map((path) => [path, createHash('sha256').update(readFileSync(path)).digest('hex')]));
}

describe('a node that is started with a folder that is not for it', () => {
  const folder = temporaryFolder();
  const data = join(folder, 'data');
  const keyFile = join(folder, 'key');
  const started: Program[] = [];
  let ports: readonly number[] = [];

  /** @param environment beside the path */
  const run = (nodeId: number, at: string, flags: readonly string[], environment?: NodeJS.ProcessEnv): Program => {
    const [redis, grpc, metrics] = ports;
    const own = [`--node-id=${nodeId}`, `--data-folder=${at}`, `--redis-port=${redis}`, '--groups=1'];
    const program = new Program(
      ['server', ...own, `--grpc-port=${grpc}`, `--metrics-port=${metrics}`, ...flags],
      environment,
    );
    started.push(program);
    return program;
  };
  const withKey = [`--encryption-key-file=${keyFile}`];

  /** It ends by itself, with what it says, and leaves the folder as it was. */
  async function isRefused(program: Program, at: string, says: RegExp, but?: readonly string[]): Promise<void> {
    const found = contentsOf(at, but);
    assert.equal(await program.end(), 1, program.output);
    assert.match(program.output, says);
    assert.doesNotMatch(program.output, /\bat .*:\d+:\d+/, 'no stack for a mistake of the operator');
    assert.deepEqual(contentsOf(at, but), found);
  }

  before(async () => {
    const first = await freePortRange(3);
    ports = [first, first + 1, first + 2];
    writeFileSync(keyFile, hex(1));
    const node = run(1, data, withKey);
    await node.writes(/kvorum node 1 is running/);
    const client = connectOnce(first);
    await client.set('key', 'value');
    client.disconnect();
    const admin = new AdminClient(`127.0.0.1:${first + 1}`);
    await until('backups are switched on', async () => {
      const { features } = await admin.call('ListFeatures', {}, CALL_MS);
      return features.some(({ name, isActive }) => name === 'backups' && isActive);
    });
    admin.close();
    assert.equal(await node.end('SIGTERM'), 0);
  });
  after(async () => {
    for (const program of started) await program.end('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  test('is refused without its key, and with another one', async () => {
    await isRefused(run(1, data, []), data, /is encrypted, and no key is given/);
    const other = join(folder, 'other');
    writeFileSync(other, hex(2));
    await isRefused(
      run(1, data, [`--encryption-key-file=${other}`]),
      data,
      /needs key \w+, and the keys that are given/,
    );
  });

  test('is refused as another node', async () => {
    // The lock of the folder is LevelDB's, which makes notes when it is taken.
    await isRefused(run(2, data, withKey), data, /belongs to node 1, not to node 2/, ['identity']);
  });

  test('ends for good when its program lacks what its cluster has switched on', async () => {
    const older = run(1, data, withKey, {
      NODE_OPTIONS: `--import=${PRELOAD}`,
      KVORUM_MUTATIONS: JSON.stringify(OLDER),
    });
    assert.equal(await older.end(), EXIT_CODES.NODE_LACKS_FEATURE, older.output);
    assert.match(older.output, /NODE_LACKS_FEATURE.*backups/);
  });
});
