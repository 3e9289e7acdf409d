/** Whole nodes on the machine's disk: what is stored becomes encrypted, changes its keys, and is refused without them. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cp, readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { Redis } from 'ioredis';
import { loadConfig, nodeSettings, toNodeOptions } from '../../src/config/index.ts';
import { type RunningNode, startNode } from '../../src/node.ts';
import { groupId } from '../../src/platform/index.ts';
import { SimulatedNodes } from '../support/simulated-nodes.ts';
import { until } from '../support/until.ts';

const hex = (byte: number): string => Buffer.alloc(32, byte).toString('hex');
const MARKERS = ['keymark', 'valuemark', 'fieldmark', 'membermark'];

interface Place {
  readonly data: string;
  readonly keyFile: string;
}

function placeOf(t: TestContext): Place {
  const folder = mkdtempSync(join(tmpdir(), 'kvorum-encrypted-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return { data: join(folder, 'data'), keyFile: join(folder, 'key') };
}

/** Nodes that were started and not stopped, by a test that failed. */
const running = new Set<RunningNode>();
after(async () => {
  for (const node of running) await node.stop();
});

async function stop(node: RunningNode): Promise<void> {
  running.delete(node);
  await node.stop();
}

async function start({ data }: Place, settings: Readonly<Record<string, unknown>>): Promise<RunningNode> {
  const flags = {
    ...{ dataFolder: data, 'redis.port': 0, 'grpc.port': 0, 'metrics.port': 0, groups: 1 },
    ...{ logLevel: 'silent', storeMemory: '32mb' },
    ...settings,
  };
  const { values } = loadConfig(nodeSettings, { flags, environment: {} });
  const node = await startNode(toNodeOptions(values), 'test');
  running.add(node);
  return node;
}

async function withClient<Result>(node: RunningNode, work: (client: Redis) => Promise<Result>): Promise<Result> {
  const client = new Redis(Number(node.addresses.redis.split(':')[1]), '127.0.0.1');
  client.on('error', () => {});
  try {
    await until('the node serves', () => node.readiness().ready);
    return await work(client);
  } finally {
    client.disconnect();
  }
}

async function write(client: Redis): Promise<void> {
  for (let at = 0; at < 20; at++) await client.set(`keymark:${at}`, 'valuemark '.repeat(50));
  // Large enough to lie in rows of their own, so that fields and members are in keys of rows.
  const numbers = Array.from({ length: 1500 }, (_, at) => at);
  await client.hset('keymark:hash', ...numbers.flatMap((at) => [`fieldmark:${at}`, `valuemark:${at}`]));
  await client.sadd('keymark:set', ...numbers.map((at) => `membermark:${at}`));
}

async function check(client: Redis): Promise<void> {
  assert.equal(await client.get('keymark:7'), 'valuemark '.repeat(50));
  assert.equal(await client.hget('keymark:hash', 'fieldmark:777'), 'valuemark:777');
  assert.equal((await client.smembers('keymark:set')).length, 1500);
  assert.equal((await client.keys('*')).length, 22);
}

/** Which markers the files of a folder show, and how many bytes there are. */
async function shown(folder: string): Promise<{ found: string[]; bytes: number }> {
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((file) => file.isFile());
  const found = new Set<string>();
  let bytes = 0;
  for (const file of files) {
    const content = await readFile(join(file.parentPath, file.name));
    bytes += content.length;
    for (const marker of MARKERS) if (content.includes(marker)) found.add(marker);
  }
  return { found: [...found].sort(), bytes };
}

const settled = (node: RunningNode): Promise<void> =>
  until('everything is encrypted', () => node.encryption()?.isSettled === true);

test('a folder in clear becomes encrypted while its node serves, and its keys change while it does', async (t) => {
  const place = placeOf(t);
  const { data, keyFile } = place;
  let node = await start(place, {});
  await withClient(node, write);
  assert.equal(node.encryption(), undefined);
  await stop(node);
  assert.deepEqual((await shown(data)).found, MARKERS.toSorted(), 'a folder in clear shows them');

  writeFileSync(keyFile, hex(1));
  const encrypted = { 'encryption.keyFile': keyFile };
  node = await start(place, encrypted);
  await withClient(node, async (client) => {
    await settled(node);
    await check(client);
  });
  assert.deepEqual(node.encryption(), { isSealed: true, isSettled: true, dataKeys: 1 });
  assert.ok(!(await shown(data)).found.includes('valuemark'));

  const old = join(data, '..', 'old');
  await stop(node);
  await cp(data, old, { recursive: true });
  node = await start(place, encrypted);
  await withClient(node, check);
  assert.deepEqual((await shown(data)).found, [], 'also what LevelDB notes about its files is gone at the next start');
  writeFileSync(keyFile, `${hex(2)}\n${hex(1)}`);
  await node.reloadSecurity();
  await withClient(node, async (client) => {
    await client.set('keymark:7', 'valuemark '.repeat(50));
    await settled(node);
    await check(client);
  });
  await stop(node);
  writeFileSync(keyFile, hex(2));

  const before = await readFile(join(data, 'keys.json'));
  await assert.rejects(start(place, {}), { code: 'ENCRYPTION_KEY_MISSING' });
  await assert.rejects(start(place, { 'encryption.key': hex(1) }), { code: 'ENCRYPTION_KEY_WRONG' });
  assert.ok(before.equals(await readFile(join(data, 'keys.json'))));
  node = await start(place, encrypted);
  await withClient(node, check);
  await stop(node);
  // The older key opens what there was under it, and nothing that came later.
  await assert.rejects(start({ ...place, data: old }, encrypted), { code: 'ENCRYPTION_KEY_WRONG' });
  await cp(join(old, 'keys.json'), join(data, 'keys.json'));
  await assert.rejects(start(place, { 'encryption.key': hex(1) }), { code: /^(?:LOG_CORRUPT|CORRUPT_STORE)$/ });
});

test('a new folder is encrypted from its first byte, and is refused without its keys', async (t) => {
  const place = placeOf(t);
  let node = await start(place, { 'encryption.keyCommand': `echo ${hex(3)}` });
  assert.deepEqual(node.encryption(), { isSealed: true, isSettled: true, dataKeys: 1 });
  await withClient(node, async (client) => {
    await write(client);
    await check(client);
  });
  assert.deepEqual((await shown(place.data)).found, []);
  await stop(node);
  rmSync(join(place.data, 'keys.json'));
  for (const settings of [{}, { 'encryption.key': hex(3) }]) {
    await assert.rejects(start(place, settings), { code: /^ENCRYPTION_KEY_/ });
  }
  assert.ok(!(await readdir(place.data)).includes('keys.json'), 'nothing was made in its place');
  node = await start(placeOf(t), { 'encryption.key': hex(3) });
  await stop(node);
});

test('the nodes of a cluster become encrypted one after another, through power losses, and nobody else notices', async () => {
  const cluster = new SimulatedNodes(3, 1, 11);
  cluster.start();
  await cluster.ready();
  let written = 0;
  const write = async (through: number): Promise<void> => {
    assert.equal(await cluster.command(through, 'set', `k${written}`, String(written)), 'OK');
    written++;
  };
  for (let at = 0; at < 40; at++) await write(1);
  for (const node of cluster.nodes) {
    const other = (node.id % 3) + 1;
    node.crash(true);
    node.isEncrypted = true;
    // It is cut off in the middle, again and again, before it may finish.
    for (const afterMs of [20, 60, 150, 400]) {
      node.start();
      await cluster.until('it is up', () => node.isUp);
      for (let at = 0; at < 3; at++) await write(other);
      await cluster.simulation.runFor(afterMs);
      node.crash(true);
    }
    node.start();
    await cluster.until('it is encrypted', () => node.process?.encryption?.status().isSettled === true);
    await write(node.id);
  }
  await cluster.until('all have everything', () => {
    const applied = cluster.nodes.map((node) => node.raft(groupId(2))?.status().appliedIndex ?? 0);
    return Math.min(...applied) === Math.max(...applied);
  });
  for (let at = 0; at < written; at++) assert.equal(await cluster.command((at % 3) + 1, 'get', `k${at}`), String(at));
  const digests = new Set<string>();
  for (const { id } of cluster.nodes) {
    digests.add(await cluster.run(cluster.running(id).host.get(groupId(2))!.store.digest()));
  }
  assert.equal(digests.size, 1);
});
