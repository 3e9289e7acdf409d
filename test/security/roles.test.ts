import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import grpc from '@grpc/grpc-js';
import { freePortRange } from '../../bench/scratch.ts';
import { KvorumClient } from '../../src/client/index.ts';
import type { NodeOptions } from '../../src/config/index.ts';
import { type RunningNode, startNode } from '../../src/node.ts';
import { type Outcome, run } from '../cmd/raftadmin-bed.ts';
import { skipWithout } from '../support/programs.ts';
import { until } from '../support/until.ts';
import { type Issued, TestAuthority } from './authority.ts';

const HOST = '127.0.0.1';
const TOKEN = { boss: 'b'.repeat(32), shop: 's'.repeat(32), next: 'n'.repeat(32) };

const options = (folder: string, port: number, access: Partial<NodeOptions['grpc']>): NodeOptions => ({
  nodeId: 1,
  clusterName: 'roles',
  dataFolder: join(folder, 'n1'),
  members: [],
  joins: false,
  groups: 1,
  memoryBytes: 512 * 1024 * 1024,
  storeMemoryBytes: 32 * 1024 * 1024,
  redis: { host: HOST, port: 0 },
  grpc: { host: HOST, port, ...access },
  metrics: { host: HOST, port: 0 },
  raft: { tickMs: 10, heartbeatMs: 100, electionTimeoutMs: 600 },
  retentionMs: 60_000,
  logLevel: 'silent',
});

describe('a node whose operators have certificates', { skip: skipWithout('openssl') }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvorum-roles-'));
  let authority: TestAuthority;
  let node: RunningNode;
  let endpoint = '';
  const issued = new Map<string, Issued>();
  const raftadmin = (who: string, ...args: string[]): Promise<Outcome> => {
    const { ca, cert, key } = issued.get(who)!;
    return run(['-e', endpoint, '--tls-ca', ca, '--tls-cert', cert, '--tls-key', key, ...args]);
  };
  const clientOf = (who: string): KvorumClient => {
    const { ca, cert, key } = authority.read(issued.get(who)!);
    const credentials = grpc.credentials.createSsl(ca, key, cert);
    return new KvorumClient({ endpoints: [`localhost:${endpoint.split(':')[1]}`], credentials });
  };

  before(async () => {
    authority = new TestAuthority();
    for (const name of ['node1', 'grafana', 'oncall', 'boss', 'shop', 'stranger']) {
      issued.set(name, authority.issue(name, name === 'node1' ? {} : { usage: 'clientAuth' }));
    }
    const port = await freePortRange(1);
    endpoint = `${HOST}:${port}`;
    const tls = { ...issued.get('node1')!, nodeNames: ['node1'] };
    const roles = { read: ['grafana'], operate: ['oncall'], admin: ['boss'], data: ['shop'] };
    node = await startNode(options(folder, port, { tls, roles }), 'test');
    await until('the node is ready', () => node.readiness().ready);
  });
  after(async () => {
    await node?.stop();
    authority?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  test('lets each do what its role is for, and says to others what they lack', async () => {
    assert.equal((await raftadmin('grafana', 'health')).code, 0);
    const split = await raftadmin('grafana', 'routes', 'split', 'slot:8192');
    assert.equal(split.code, 1);
    assert.match(
      split.err,
      /Split needs the role operate; certificate "grafana" has read: .*grpc\.roles\.operate.* \[ROLE_MISSING\]/,
    );
    assert.equal((await raftadmin('oncall', 'routes', 'split', 'slot:8192')).code, 0);
    assert.match(
      (await raftadmin('oncall', 'settings', 'set', 'autosplit', 'off')).err,
      /SetSetting needs the role admin/,
    );
    assert.equal((await raftadmin('boss', 'settings', 'set', 'autosplit', 'off')).code, 0);
    assert.match((await raftadmin('stranger', 'health')).err, /certificate "stranger" has none/);
    assert.match((await raftadmin('shop', 'status')).err, /certificate "shop" has data/);
  });

  test('keeps data from operators, also the copies of it', async () => {
    const [shop, boss] = [clientOf('shop'), clientOf('boss')];
    await shop.put('cart', '2 apples');
    assert.equal(String(await shop.get('cart')), '2 apples');
    await assert.rejects(boss.get('cart'), {
      code: 'ROLE_MISSING',
      disposition: 'final',
      message: /Get needs the role data/,
    });
    await assert.rejects(boss.put('cart', 'none'), { code: 'ROLE_MISSING' });
    for (const client of [shop, boss]) client.close();
    const saved = await raftadmin('oncall', 'snapshot', 'save', join(folder, 'copy'));
    assert.match(saved.err, /needs the role admin; certificate "oncall" has read, operate/);
  });
});

describe('a node whose operators have tokens', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kvorum-tokens-'));
  const [tokenFile, secretFile, ownFile] = ['tokens', 'secret', 'own'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  let node: RunningNode;
  let endpoint = '';

  before(async () => {
    writeFileSync(tokenFile, `admin boss ${TOKEN.boss}\ndata shop ${TOKEN.shop}\n`);
    writeFileSync(secretFile, `${'c'.repeat(32)}\n`);
    const port = await freePortRange(1);
    endpoint = `${HOST}:${port}`;
    node = await startNode(options(folder, port, { tokenFile, secretFile }), 'test');
    await until('the node is ready', () => node.readiness().ready);
  });
  after(async () => {
    await node?.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const raftadmin = (env: Record<string, string>, ...args: string[]): Promise<Outcome> =>
    run(['-e', endpoint, ...args], { env });

  test('asks raftadmin for one, from a file or the environment', async () => {
    const none = await raftadmin({}, 'health');
    assert.equal(none.code, 1);
    assert.match(
      none.err,
      /Health needs the role read, and the call shows neither.*--token-file.* \[UNAUTHENTICATED\]/,
    );
    writeFileSync(ownFile, `${TOKEN.boss}\n`);
    assert.equal((await raftadmin({}, '--token-file', ownFile, 'health')).code, 0);
    assert.equal((await raftadmin({ RAFTADMIN_TOKEN_FILE: ownFile }, 'health')).code, 0);
    assert.equal((await raftadmin({ RAFTADMIN_TOKEN: TOKEN.boss }, 'snapshot', 'save', join(folder, 'copy'))).code, 0);
    assert.match(
      (await raftadmin({ RAFTADMIN_TOKEN: TOKEN.next }, 'health')).err,
      /grpc\.tokenFile.* \[UNAUTHENTICATED\]/,
    );
    const missing = await raftadmin({}, '--token-file', join(folder, 'nothing'), 'health');
    assert.deepEqual([missing.code, missing.err.includes('does not exist')], [2, true]);
    assert.equal((await raftadmin({ RAFTADMIN_TOKEN: 'two words' }, 'health')).code, 2);
  });

  test('asks programs for one too, and takes it as it is at each call', async () => {
    let token = TOKEN.boss;
    const client = new KvorumClient({ endpoints: [endpoint], token: () => token });
    await assert.rejects(client.put('a', '1'), {
      code: 'ROLE_MISSING',
      message: /token "boss" has read, operate, admin/,
    });
    token = TOKEN.shop;
    await client.put('a', '1');
    assert.equal(String(await client.get('a')), '1');
    client.close();
  });

  test('goes by the file as it is now', async () => {
    const env = { RAFTADMIN_TOKEN: TOKEN.next };
    writeFileSync(tokenFile, `admin boss ${TOKEN.boss}\nread next ${TOKEN.next}\n`);
    await node.reloadSecurity();
    assert.equal((await raftadmin(env, 'health')).code, 0);
    assert.match(
      (await raftadmin(env, 'settings', 'set', 'autosplit', 'off')).err,
      /SetSetting needs the role admin; token "next" has read/,
    );
    writeFileSync(tokenFile, `admin boss ${TOKEN.boss}\n`);
    await node.reloadSecurity();
    assert.match((await raftadmin(env, 'health')).err, /UNAUTHENTICATED/);
    writeFileSync(tokenFile, 'nonsense\n');
    await node.reloadSecurity();
    assert.equal((await raftadmin({ RAFTADMIN_TOKEN: TOKEN.boss }, 'health')).code, 0, 'a mistake changes nothing');
  });
});
