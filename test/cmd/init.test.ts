import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { addInitCommand } from '../../cmd/commands/init.ts';
import { addLaterNode, configurationsOf, configurationText, writeCluster } from '../../cmd/init/index.ts';
import { loadConfig, nodeSettings, toNodeOptions } from '../../src/config/index.ts';
import { readCertificates } from '../../src/security/index.ts';
import { runCommand } from './support/in-process.ts';

const work = mkdtempSync(join(tmpdir(), 'kvorum-init-'));
const LIFETIMES = { certificateDays: 365, authorityDays: 3650 };
const PLAN = {
  clusterName: 'shop',
  hosts: ['10.0.0.1', 'db2.example.org', 'fd00::3'],
  bind: '0.0.0.0',
  configFolder: '/etc/kvorum',
  hasDynamodb: true,
  hasClientTls: true,
  settings: {},
};

after(() => rmSync(work, { recursive: true, force: true }));

describe('the configurations of a new cluster', () => {
  test("are read back as they were meant, the same for all but what is each node's own", () => {
    const nodes = configurationsOf(PLAN).map((settings, at) => {
      const filePath = join(work, `config${at}.yaml`);
      writeFileSync(filePath, configurationText(settings));
      return toNodeOptions(loadConfig(nodeSettings, { flags: {}, environment: {}, filePath }).values);
    });
    assert.deepEqual(
      nodes.map(({ nodeId }) => nodeId),
      [1, 2, 3],
    );
    assert.deepEqual(nodes[0]!.members, [
      { nodeId: 1, address: '10.0.0.1:50051' },
      { nodeId: 2, address: 'db2.example.org:50051' },
      { nodeId: 3, address: '[fd00::3]:50051' },
    ]);
    const shared = nodes.map(({ nodeId, redis, ...rest }) => ({
      ...rest,
      redis: { ...redis, announcedHost: nodeId && '' },
    }));
    assert.deepEqual(shared[1], shared[0]);
    assert.deepEqual(nodes[2]!.grpc.tls?.nodeNames, ['node.shop.kvorum']);
    assert.deepEqual(nodes[2]!.grpc.roles?.admin, ['admin.shop.kvorum']);
    assert.deepEqual(nodes[2]!.grpc.roles?.data, ['data.shop.kvorum']);
    assert.equal(nodes[0]!.redis.passwordFile, '/etc/kvorum/passwords');
    assert.equal(nodes[0]!.dynamodb?.port, 8000);
  });

  test('are refused with the key when they do not fit together', () => {
    assert.throws(() => configurationsOf({ ...PLAN, settings: { 'redis.port': 'http' } }), /redis\.port/);
    assert.throws(
      () => configurationsOf({ ...PLAN, settings: { 'redis.passwordFile': '' } }),
      /redis\.host.*without proving/s,
    );
  });
});

describe('the folder of a new cluster', () => {
  test('has for each node what proves it to the others, and one password', async () => {
    const folder = join(work, 'whole');
    await writeCluster(folder, PLAN, LIFETIMES, Date.now());
    const own = (node: string, file: string): string => join(folder, node, file);
    for (const node of ['node1', 'node2', 'node3']) {
      const files = { cert: own(node, 'node.pem'), key: own(node, 'node.key'), ca: own('node1', 'ca.pem') };
      await readCertificates(files, 'peer', Date.now());
      assert.equal(statSync(own(node, 'passwords')).mode & 0o777, 0o600);
      assert.equal(readFileSync(own(node, 'passwords'), 'utf8'), readFileSync(own('node1', 'passwords'), 'utf8'));
      assert.equal(existsSync(own(node, 'ca.key')), false);
    }
    const environment = readFileSync(own('admin', 'env'), 'utf8');
    assert.match(environment, /RAFTADMIN_ENDPOINTS='10\.0\.0\.1:50051,db2\.example\.org:50051,\[fd00::3\]:50051'/);
    assert.match(environment, new RegExp(`REDISCLI_AUTH='${readFileSync(own('node1', 'passwords'), 'utf8').trim()}'`));
    assert.equal(statSync(own('admin', 'env')).mode & 0o777, 0o600);
    await assert.rejects(writeCluster(folder, PLAN, LIFETIMES, Date.now()), /is there already and not empty/);
  });

  test('is whole or not there, and what an interrupted attempt has left is no hindrance', async () => {
    const folder = join(work, 'interrupted');
    mkdirSync(`${folder}.new/node1`, { recursive: true });
    writeFileSync(`${folder}.new/ca.pem`, 'half of');
    await assert.rejects(
      writeCluster(folder, { ...PLAN, settings: { memory: 'much' } }, LIFETIMES, Date.now()),
      /memory/,
    );
    assert.equal(existsSync(folder), false);
    await writeCluster(folder, PLAN, LIFETIMES, Date.now());
    assert.equal(existsSync(`${folder}.new`), false);
  });
});

describe('a machine that is added later', () => {
  test('has a number of its own, the settings and secrets of the others, and joins', async () => {
    const folder = join(work, 'grown');
    await writeCluster(folder, { ...PLAN, settings: { 'grpc.port': '50061' } }, LIFETIMES, Date.now());
    assert.equal(await addLaterNode(folder, '10.0.0.4', 365, Date.now()), 4);
    assert.equal(await addLaterNode(folder, '10.0.0.5', 365, Date.now()), 5);
    const own = (node: string, file: string): string => join(folder, node, file);
    const optionsOf = (node: string) =>
      toNodeOptions(
        loadConfig(nodeSettings, { flags: {}, environment: {}, filePath: own(node, 'kvorum.yaml') }).values,
      );
    const [first, last] = [optionsOf('node1'), optionsOf('node5')];
    assert.deepEqual([first.joins, last.joins, last.nodeId], [false, true, 5]);
    assert.deepEqual(last.members.slice(0, 3), first.members);
    assert.deepEqual(
      last.members.slice(3).map(({ address }) => address),
      ['10.0.0.4:50061', '10.0.0.5:50061'],
    );
    assert.equal(last.redis.announcedHost, '10.0.0.5');
    for (const file of ['passwords', 'dynamodb-credentials']) {
      assert.equal(readFileSync(own('node5', file), 'utf8'), readFileSync(own('node1', file), 'utf8'));
    }
    const files = { cert: own('node5', 'node.pem'), key: own('node5', 'node.key'), ca: own('node1', 'ca.pem') };
    await readCertificates(files, 'peer', Date.now());
    // What others have in their list already counts for it: the name of the role.
    assert.match(new X509Certificate(readFileSync(files.cert)).subjectAltName!, /DNS:node\.shop\.kvorum/);
  });
});

describe('kvorum init', () => {
  const init = (...args: string[]) => runCommand(addInitCommand, ['init', ...args]);

  test('says what to do with the files, and does nothing twice', async () => {
    const folder = join(work, 'told');
    const hosts = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
    const { works, output } = await init(folder, ...hosts, '--no-client-tls', '--set', 'redis.clusterPort=7379');
    assert.ok(works, output);
    assert.match(output, /node2 +belongs on 10\.0\.0\.2 as \/etc\/kvorum/);
    const written = readFileSync(join(folder, 'node2/kvorum.yaml'), 'utf8');
    assert.match(written, /clusterPort: "?7379/);
    assert.doesNotMatch(output + written, new RegExp(readFileSync(join(folder, 'node2/passwords'), 'utf8').trim()));
    assert.doesNotMatch(written.slice(0, written.indexOf('grpc:')), /tls/);
    assert.match((await init(folder, '10.0.0.1')).output, /is there already and not empty/);
    const again = await init(folder, '10.0.0.1', '--if-missing');
    assert.deepEqual(again, { works: true, output: `${folder} is there already\n` });
  });

  test("refuses machines that are none, settings that are each node's own, and secrets", async () => {
    const folder = join(work, 'refused');
    for (const args of [
      ['10.0.0.1', '10.0.0.1'],
      ['-host-'],
      ['10.0.0.1', '--set', 'nodeId=4'],
      ['10.0.0.1', '--set', 'redis.password=secret'],
      ['10.0.0.1', '--set', 'redis.prot=1'],
    ]) {
      assert.equal((await init(folder, ...args)).works, false, args.join(' '));
    }
    assert.equal(existsSync(folder), false);
  });
});
