import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { freePortRange } from '../../bench/scratch.ts';
import { AdminClient } from '../../src/adapter/grpc/index.ts';
import { clusterSettings, formatFlags, loadConfig } from '../../src/config/index.ts';
import { clusterFlags, connectOnce, temporaryFolder } from '../support/process-nodes.ts';
import { until } from '../support/until.ts';
import { Program } from './program.ts';

const folder = temporaryFolder();
const started: Program[] = [];
after(async () => {
  for (const program of started) await program.end('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

function run(args: readonly string[]): Program {
  const program = new Program(args);
  started.push(program);
  return program;
}

async function withClient<T>(port: number, use: (client: ReturnType<typeof connectOnce>) => Promise<T>): Promise<T> {
  const client = connectOnce(port);
  try {
    return await use(client);
  } finally {
    client.disconnect();
  }
}

/** A process that is still reading its program on a loaded machine ends behind that. */
const END_MS = 60_000;

/** What has ended and was not waited for has no command line. */
function isRunning(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`).length > 0;
  } catch {
    return false;
  }
}

/** Processes that another one has started, as Linux tells. */
const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').filter(Boolean).map(Number);

describe('kvorum cluster', () => {
  test('is a cluster on every port, stops cleanly on Ctrl-C and finds its data again', async () => {
    const { values } = loadConfig(clusterSettings, { flags: await clusterFlags(folder), environment: {} });
    const args = ['cluster', ...formatFlags(clusterSettings, values)];
    const port = values['redis.port'];

    const first = run(args);
    await first.writes(/Ctrl-C stops them all/);
    assert.match(first.output, /^node +role +redis +redis cluster +grpc +metrics +process +data folder$/m);
    assert.equal(first.output.match(/^[123] +(leader|follower|leads \d of \d) +127\.0\.0\.1:\d+/gm)?.length, 3);
    await withClient(port + 1, (client) => client.set('greeting', 'hello'));
    assert.equal(await withClient(port + 2, (client) => client.get('greeting')), 'hello');
    assert.equal(await withClient(port, (client) => client.incr('visits')), 1);
    // Until then each node has looked for work of the cluster, and done some or found it done.
    const admin = new AdminClient(`127.0.0.1:${values['grpc.port']}`);
    await until('the past is let go of for the first time', async () => {
      const { roundAtMs } = await admin.call('Gc', {}, 5_000);
      return roundAtMs > 0;
    }).finally(() => admin.close());
    // On a machine that is slow to start them nodes say that they wait for each other.
    const complaints = first.output.match(/^n\d \| .*$/gm)?.filter((line) => !line.includes('is not founded here yet'));
    assert.deepEqual(complaints ?? [], []);
    assert.equal(await first.end('SIGINT'), 0);
    assert.match(first.output, /All nodes stopped\./);

    const second = run(args);
    await second.writes(/Ctrl-C stops them all/);
    assert.equal(await withClient(port, (client) => client.get('greeting')), 'hello');
    assert.equal(await withClient(port + 1, (client) => client.incr('visits')), 2);
    assert.equal(await second.end('SIGTERM'), 0);
  });

  for (const when of ['while they start', 'when they serve']) {
    const skip = process.platform === 'linux' ? false : 'looks at /proc';
    test(`leaves no node behind when it is killed itself ${when}`, { skip }, async () => {
      const { values } = loadConfig(clusterSettings, {
        flags: { ...(await clusterFlags(folder)), dataFolder: join(folder, 'orphans') },
        environment: {},
      });
      const launcher = run(['cluster', ...formatFlags(clusterSettings, values)]);
      let nodes: number[] = [];
      await until('three processes', () => {
        nodes = childrenOf(launcher.child.pid!);
        return nodes.length === 3;
      });
      if (when === 'when they serve') await launcher.writes(/Ctrl-C stops them all/);
      await launcher.end('SIGKILL');
      for (const pid of nodes) await until(`the end of process ${pid}`, () => !isRunning(pid), END_MS);
    });
  }
});

describe('kvorum server', () => {
  test('is a whole cluster by itself, and its folder belongs to one process at a time', async () => {
    const first = await freePortRange(6);
    const data = join(folder, 'single');
    const args = (offset: number): string[] => [
      'server',
      `--data-folder=${data}`,
      `--redis-port=${first + offset}`,
      `--grpc-port=${first + offset + 1}`,
      `--metrics-port=${first + offset + 2}`,
    ];
    const node = run(args(0));
    await node.writes(/kvorum node 1 is running/);
    await withClient(first, (client) => client.set('k', 'v'));
    assert.equal((await fetch(`http://127.0.0.1:${first + 2}/healthz`)).status, 200);
    assert.equal((await fetch(`http://127.0.0.1:${first + 2}/readyz`)).status, 200);
    assert.match(await (await fetch(`http://127.0.0.1:${first + 2}/metrics`)).text(), /^# HELP /m);

    const second = run(args(3));
    assert.equal(await second.end(), 1);
    assert.match(second.output, /the data folder .* is in use/);
    assert.doesNotMatch(second.output, /\bat .*:\d+:\d+/, 'no stack for a mistake of the operator');
    assert.equal(await withClient(first, (client) => client.get('k')), 'v');

    await node.end('SIGKILL');
    const again = run(args(0));
    await again.writes(/kvorum node 1 is running/);
    assert.equal(await withClient(first, (client) => client.get('k')), 'v', 'the lock of a killed process is gone');

    // Stopped by its folder: that node and no other, and only while one runs with it.
    const stopper = run(['stop', data]);
    assert.equal(await stopper.end(), 0);
    assert.match(stopper.output, new RegExp(`^stopped process ${again.child.pid}$`, 'm'));
    assert.equal(await again.end(), 0);
    const idle = run(['stop', data]);
    assert.equal(await idle.end(), 1);
    assert.match(idle.output, /no node runs with/);
  });

  test('says what memory it stays within, and begins with an allocator that gives memory back', async () => {
    const first = await freePortRange(3);
    const ports = [`--redis-port=${first}`, `--grpc-port=${first + 1}`, `--metrics-port=${first + 2}`];
    const node = run(['server', `--data-folder=${join(folder, 'memory')}`, '--memory=512mb', ...ports]);
    await node.writes(/kvorum node 1 is running: .*memory limit 512 MiB/);
    const info = await withClient(first, (client) => client.info('memory'));
    assert.match(info, /^kvorum_memory_limit:536870912\r$/m);
    const [, used, resident] = /^used_memory:(\d+)[\s\S]*^used_memory_rss:(\d+)/m.exec(info) ?? [];
    assert.ok(
      Number(used) > 0 && Number(used) <= Number(resident),
      `${used} of ${resident} bytes are no pages of files`,
    );
    const metrics = await (await fetch(`http://127.0.0.1:${first + 2}/metrics`)).text();
    assert.match(metrics, /^kvorum_memory_limit_bytes 536870912$/m);
    assert.match(metrics, /^process_resident_memory_bytes \d+$/m);
    if (process.platform === 'linux') {
      // The process that was started: it was not replaced by a child of its own.
      const environment = await readFile(`/proc/${node.child.pid}/environ`, 'latin1');
      assert.match(environment, /(^|\0)MALLOC_ARENA_MAX=\d+(\0|$)/);
    }
    assert.equal(await node.end('SIGTERM'), 0);
  });

  test('ends at once when its folder is named to `kvorum stop --kill`, also after a crash left a note of it', async () => {
    const first = await freePortRange(3);
    const data = join(folder, 'killed');
    const args = ['server', `--data-folder=${data}`, `--redis-port=${first}`];
    const ports = [`--grpc-port=${first + 1}`, `--metrics-port=${first + 2}`];
    for (let round = 0; round < 2; round++) {
      const node = run([...args, ...ports]);
      await node.writes(/kvorum node 1 is running/);
      const killer = run(['stop', '--kill', data]);
      assert.equal(await killer.end(), 0);
      assert.match(killer.output, new RegExp(`^killed process ${node.child.pid}$`, 'm'));
      assert.equal(await node.end(), null, 'a signal, no exit code');
    }
    const late = run(['stop', '--kill', data]);
    assert.equal(await late.end(), 1, 'the note that the crash left names nobody');
  });
});
