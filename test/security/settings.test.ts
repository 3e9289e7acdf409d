import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import {
  ConfigError,
  clusterSettings,
  formatFlags,
  loadConfig,
  metricsNote,
  type NodeOptions,
  nodeSettings,
  secretEnvironment,
  toClusterNodes,
  toNodeOptions,
} from '../../src/config/index.ts';

const PASSWORD = 'correct-horse';
const GRPC_TLS = { 'grpc.tls.ca': 'ca.pem', 'grpc.tls.cert': 'n.pem', 'grpc.tls.key': 'n.key' };
const REDIS_TLS = { 'redis.tls.cert': 's.pem', 'redis.tls.key': 's.key' };

const load = (flags: Record<string, unknown>, environment: Record<string, string> = {}) =>
  loadConfig(nodeSettings, { flags, environment }).values;
const node = (flags: Record<string, unknown>): NodeOptions => toNodeOptions(load(flags));

/** Keys that are complained about; empty when the node may start. */
function complaints(flags: Record<string, unknown>): string[] {
  try {
    node(flags);
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems.map(({ key }) => key);
  }
}

describe('who may come from elsewhere', () => {
  test('nobody, by default: everything is on this machine', () => {
    const { redis, grpc, metrics } = node({});
    assert.deepEqual([redis.host, grpc.host, metrics.host], ['127.0.0.1', '127.0.0.1', '127.0.0.1']);
  });

  test('Redis clients only with a password or a certificate, or when insecurity is asked for', () => {
    const open = { 'redis.host': '0.0.0.0' };
    assert.deepEqual(complaints(open), ['redis.host']);
    assert.deepEqual(complaints({ ...open, ...REDIS_TLS }), ['redis.host'], 'TLS alone hides, and lets everybody in');
    const optional = { ...REDIS_TLS, 'redis.tls.ca': 'ca.pem', 'redis.tls.clientAuth': 'optional' };
    assert.deepEqual(complaints({ ...open, ...optional }), ['redis.host']);
    assert.deepEqual(complaints({ ...open, ...optional, 'redis.tls.clientAuth': 'required' }), []);
    assert.deepEqual(complaints({ ...open, 'redis.password': PASSWORD }), []);
    assert.deepEqual(complaints({ ...open, 'redis.passwordFile': '/p' }), []);
    assert.deepEqual(complaints({ ...open, insecure: true }), []);
  });

  test('nodes and tools only with mutual TLS, or when insecurity is asked for', () => {
    const open = { 'grpc.host': '10.0.0.1' };
    assert.deepEqual(complaints(open), ['grpc.host']);
    assert.deepEqual(complaints({ ...open, 'redis.password': PASSWORD }), ['grpc.host']);
    assert.deepEqual(complaints({ ...open, ...GRPC_TLS }), []);
    assert.deepEqual(complaints({ ...open, insecure: 'yes' }), []);
  });

  test('readers of metrics when their address was given, with a note', () => {
    const options = node({ 'metrics.host': '0.0.0.0' });
    assert.match(metricsNote(options)!, /metrics and health at 0\.0\.0\.0 can be read by whoever reaches/);
    assert.equal(metricsNote(node({})), undefined);
  });

  test('a local cluster follows the same rule', () => {
    const cluster = (flags: Record<string, unknown>) =>
      toClusterNodes(loadConfig(clusterSettings, { flags, environment: {} }).values);
    assert.equal(cluster({}).length, 3);
    assert.throws(() => cluster({ host: '0.0.0.0' }), /redis\.host.*\n.*grpc\.host/);
    assert.equal(cluster({ host: '0.0.0.0', insecure: true }).length, 3);
    const secured = cluster({ host: '0.0.0.0', 'redis.password': PASSWORD, ...GRPC_TLS });
    for (const values of secured) assert.equal(toNodeOptions(values).grpc.tls?.ca, 'ca.pem');
  });
});

describe('settings of security', () => {
  test('that are half given are refused', () => {
    assert.deepEqual(complaints({ 'redis.tls.cert': 'c' }), ['redis.tls.key']);
    assert.deepEqual(complaints({ 'redis.tls.key': 'k' }), ['redis.tls.cert']);
    assert.deepEqual(complaints({ 'redis.tls.clientAuth': 'required' }), ['redis.tls.clientAuth', 'redis.tls.ca']);
    assert.deepEqual(complaints({ ...REDIS_TLS, 'redis.tls.ca': 'a' }), ['redis.tls.ca']);
    assert.deepEqual(complaints({ 'grpc.tls.cert': 'c', 'grpc.tls.key': 'k' }), ['grpc.tls.ca']);
    assert.deepEqual(complaints({ 'grpc.tls.ca': 'a' }), ['grpc.tls.cert']);
    assert.deepEqual(complaints({ 'redis.password': 'a', 'redis.passwordFile': '/p' }), ['redis.passwordFile']);
  });

  test('never show the password: not in options, command lines, written forms or complaints', () => {
    const values = load({}, { KVORUM_REDIS_PASSWORD: PASSWORD });
    const options = toNodeOptions(values);
    assert.equal(options.redis.password?.reveal(), PASSWORD);
    const written = nodeSettings['redis.password'].format(values['redis.password']);
    assert.equal(written, '(hidden)');
    for (const shown of [
      JSON.stringify(options),
      inspect(options, { depth: 9 }),
      formatFlags(nodeSettings, values).join(' '),
    ]) {
      assert.ok(!shown.includes(PASSWORD));
    }
    // A launcher hands it to its nodes where only they read it.
    const others = { KVORUM_DYNAMODB_SECRET_ACCESS_KEY: '', KVORUM_BACKUP_KEY: '', KVORUM_ENCRYPTION_KEY: '' };
    assert.deepEqual(secretEnvironment(nodeSettings, values), { KVORUM_REDIS_PASSWORD: PASSWORD, ...others });
    assert.deepEqual(secretEnvironment(nodeSettings, load({})), { KVORUM_REDIS_PASSWORD: '', ...others });

    const folder = mkdtempSync(join(tmpdir(), 'kvorum-settings-'));
    const filePath = join(folder, 'node.yaml');
    try {
      for (const text of [
        `redis:\n  password: *${PASSWORD}\n`,
        `redis:\n  password: [${PASSWORD}]\n`,
        `redis:\n  password: ${PASSWORD}\n  tls: ]${PASSWORD}\n`,
        `redis: {password: "${PASSWORD}\n`,
        `redis:\n  password: ${'x'.repeat(600)}${PASSWORD}\n`,
        `redis:\n  password: 1234567\n`,
      ]) {
        writeFileSync(filePath, text);
        assert.throws(
          () => loadConfig(nodeSettings, { flags: {}, environment: {}, filePath }),
          (error: unknown) => {
            assert.ok(error instanceof ConfigError);
            assert.doesNotMatch(inspect(error), new RegExp(`${PASSWORD}|1234567`), text);
            return true;
          },
        );
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('who may do what on the gRPC port', () => {
  const NODES = { ...GRPC_TLS, 'grpc.tls.nodeNames': 'node1,node2' };
  const SECRET = { 'grpc.secretFile': '/s', 'grpc.tokenFile': '/t' };

  test('is everything, for whoever can connect, as long as nobody says it: as with release 0.1.0', () => {
    for (const flags of [{}, GRPC_TLS, NODES]) {
      assert.deepEqual(complaints(flags), []);
      const { roles, tokenFile, secretFile } = node(flags).grpc;
      assert.deepEqual([roles, tokenFile, secretFile], [undefined, undefined, undefined]);
    }
  });

  test('is read as names by role', () => {
    const { roles } = node({ ...NODES, 'grpc.roles.admin': 'boss, spiffe://here/boss', 'grpc.roles.read': '*' }).grpc;
    assert.deepEqual(roles, { read: ['*'], admin: ['boss', 'spiffe://here/boss'] });
  });

  test('needs certificates that tell nodes from others, and somebody who may change it', () => {
    assert.deepEqual(complaints({ 'grpc.roles.admin': 'boss', ...SECRET }), ['grpc.roles.admin']);
    assert.deepEqual(complaints({ ...GRPC_TLS, 'grpc.roles.admin': 'boss' }), ['grpc.tls.nodeNames']);
    assert.deepEqual(complaints({ ...NODES, 'grpc.roles.read': 'grafana' }), ['grpc.roles.admin']);
    assert.deepEqual(complaints({ ...NODES, 'grpc.roles.read': 'grafana', 'grpc.tokenFile': '/t' }), []);
    assert.deepEqual(complaints({ ...NODES, 'grpc.roles.admin': 'boss' }), []);
  });

  test('needs a secret of the nodes where there are no certificates', () => {
    assert.deepEqual(complaints({ 'grpc.tokenFile': '/t' }), ['grpc.secretFile']);
    assert.deepEqual(complaints({ ...SECRET, 'grpc.secretOptional': true }), ['grpc.secretFile']);
    assert.deepEqual(complaints({ 'grpc.secretOptional': true }), ['grpc.secretOptional']);
    assert.deepEqual(complaints(SECRET), []);
    assert.deepEqual(complaints({ 'grpc.secretFile': '/s' }), []);
  });

  test('may be beyond this machine by a secret and tokens, both, or by certificates', () => {
    const open = { 'grpc.host': '10.0.0.1' };
    assert.deepEqual(complaints({ ...open, ...SECRET }), []);
    assert.deepEqual(complaints({ ...open, 'grpc.secretFile': '/s' }), ['grpc.host']);
    assert.deepEqual(complaints({ ...open, 'grpc.secretFile': '/s', 'grpc.secretOptional': 'yes' }), ['grpc.host']);
  });
});
