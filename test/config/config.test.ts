import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import {
  ConfigError,
  clusterSettings,
  configurationPage,
  environmentName,
  flagName,
  formatFlags,
  loadConfig,
  nodeSettings,
  toClusterNodes,
  toNodeOptions,
} from '../../src/config/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'kvorum-config-'));
after(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function file(text: string): string {
  const path = join(folder, `config-${files++}.yaml`);
  writeFileSync(path, text);
  return path;
}

const load = (flags: Record<string, unknown>, environment: Record<string, string>, text?: string) =>
  loadConfig(nodeSettings, { flags, environment, filePath: text === undefined ? undefined : file(text) });

/** What a command line of a node says. */
function flagsIn(written: readonly string[]): Record<string, unknown> {
  const flags: Record<string, unknown> = {};
  for (const flag of written) {
    const [name, ...rest] = flag.slice(2).split('=');
    const key = Object.keys(nodeSettings).find((known) => [name, name!.replace(/^no-/, '')].includes(flagName(known)))!;
    flags[key] = rest.length > 0 ? rest.join('=') : !name!.startsWith('no-');
  }
  return flags;
}

function problemsOf(action: () => unknown): readonly { key: string; origin: string; message: string }[] {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems;
  }
  return assert.fail('no error');
}

describe('where a setting comes from', () => {
  test('a flag wins over the environment, that over the file, that over the default', () => {
    const text = 'redis:\n  port: 3\n';
    const environment = { KVORUM_REDIS_PORT: '2' };
    assert.equal(load({ 'redis.port': '1' }, environment, text).values['redis.port'], 1);
    assert.equal(load({}, environment, text).values['redis.port'], 2);
    assert.equal(load({}, {}, text).values['redis.port'], 3);
    assert.equal(load({}, {}).values['redis.port'], 6379);
  });

  test('the origin of every value that is not a default is known', () => {
    const { origins } = load({ nodeId: '1' }, { KVORUM_LOG_LEVEL: 'info' }, '{"redis": {"port": 7}}');
    assert.equal(origins.get('nodeId'), '--node-id');
    assert.equal(origins.get('logLevel'), 'KVORUM_LOG_LEVEL');
    assert.match(origins.get('redis.port')!, /config-\d+\.yaml$/);
    assert.equal(origins.has('grpc.port'), false);
  });

  test('an empty environment variable counts as not set, and a foreign one is left alone', () => {
    assert.equal(load({}, { KVORUM_REDIS_PORT: '', KVORUM_SERVICE_HOST: '10.0.0.1' }).values['redis.port'], 6379);
  });

  test('YAML, JSON, nested and dotted keys mean the same', () => {
    const expected = load({}, {}, 'redis:\n  port: 7000\n').values;
    assert.deepEqual(load({}, {}, '{"redis": {"port": 7000}}').values, expected);
    assert.deepEqual(load({}, {}, 'redis.port: 7000\n').values, expected);
    assert.deepEqual(load({}, {}, '# nothing\n').values, load({}, {}).values);
  });
});

describe('mistakes', () => {
  test('every mistake is named with its key and its origin, all of them at once', () => {
    const problems = problemsOf(() =>
      load({ 'redis.port': '70000' }, { KVORUM_NODE_ID: 'one' }, 'logLevel: loud\nredis:\n  prot: 1\n'),
    );
    const byKey = new Map(problems.map((problem) => [problem.key, problem]));
    assert.deepEqual([...byKey.keys()].sort(), ['logLevel', 'nodeId', 'redis.port', 'redis.prot']);
    assert.equal(byKey.get('redis.port')!.origin, '--redis-port');
    assert.match(byKey.get('redis.port')!.message, /0 to 65535, not "70000"/);
    assert.equal(byKey.get('nodeId')!.origin, 'KVORUM_NODE_ID');
    assert.match(byKey.get('logLevel')!.message, /trace, debug, info, warn/);
    assert.match(byKey.get('redis.prot')!.message, /did you mean redis\.port\?/);
  });

  test('a key of the file in the wrong case or place is answered with the right one', () => {
    const suggestion = (text: string) => problemsOf(() => load({}, {}, text))[0]!.message;
    assert.match(suggestion('node_id: 3\n'), /did you mean nodeId\?/);
    assert.match(suggestion('raft:\n  heartbeat: 3\n'), /did you mean raft\.heartbeatMs\?/);
    assert.match(suggestion('colour: red\n'), /no such setting$/);
  });

  test('a file that is absent, broken or not a mapping is refused by name', () => {
    const missing = join(folder, 'missing.yaml');
    const absent = problemsOf(() => loadConfig(nodeSettings, { flags: {}, environment: {}, filePath: missing }));
    assert.deepEqual(absent, [{ key: 'config', origin: missing, message: 'the file does not exist' }]);
    assert.match(problemsOf(() => load({}, {}, '{"redis": {"port": 1'))[0]!.message, /neither YAML nor JSON.*line 1/);
    assert.match(problemsOf(() => load({}, {}, '- 1\n- 2\n'))[0]!.message, /mapping/);
  });

  test('settings that contradict each other are refused', () => {
    const contradiction = (flags: Record<string, unknown>) =>
      problemsOf(() => toNodeOptions(load(flags, {}).values)).map((problem) => problem.key);
    assert.deepEqual(contradiction({ members: '2=a:1,3=b:1' }), ['members']);
    assert.deepEqual(contradiction({ 'raft.electionTimeoutMs': '150' }), ['raft.electionTimeoutMs']);
    assert.deepEqual(contradiction({ 'raft.tickMs': '200ms' }), ['raft.heartbeatMs']);
  });

  test('a list of members must be well formed and without repetition', () => {
    const message = (members: unknown) => problemsOf(() => load({ members }, {}))[0]!.message;
    assert.match(message('1=a:1,1=b:1'), /one node id twice/);
    assert.match(message('1=a:1,2=A:1'), /one address twice/);
    for (const broken of ['1', '0=a:1', '70000=a:1', '1=a', '1=a:0', '1=a:99999', 'x=a:1', '1=:1']) {
      assert.match(message(broken), /<node id>=<host>:<port>/, broken);
    }
    assert.match(message(17), /must be a list/);
  });
});

describe('written forms', () => {
  test('durations and sizes take units', () => {
    const { values } = load({ retentionMs: '2h', 'redis.maxBulkBytes': '64mb', 'raft.heartbeatMs': '50' }, {});
    assert.equal(values.retentionMs, 7_200_000);
    assert.equal(values['redis.maxBulkBytes'], 67_108_864);
    assert.equal(values['raft.heartbeatMs'], 50);
    assert.match(problemsOf(() => load({ retentionMs: '2 days' }, {}))[0]!.message, /ms, s, m, h/);
    assert.match(problemsOf(() => load({ retentionMs: '1ms' }, {}))[0]!.message, /from 1s to 720h/);
  });

  test('switches take the usual words', () => {
    const enabled = (raw: unknown) => load({ 'redis.enableDebugCommand': raw }, {}).values['redis.enableDebugCommand'];
    for (const yes of [true, 'yes', 'ON', 'true', '1']) assert.equal(enabled(yes), true);
    for (const no of [false, 'no', 'off', 'False', '0']) assert.equal(enabled(no), false);
    assert.throws(() => enabled('maybe'), ConfigError);
  });

  test('the flags made from any values are read back as the same values', () => {
    const values = fc.record({
      port: fc.integer({ min: 0, max: 65535 }),
      durationMs: fc.integer({ min: 1000, max: 86_400_000 }),
      bytes: fc.integer({ min: 1024, max: 512 * 1024 ** 2 }),
      debug: fc.boolean(),
      ids: fc.uniqueArray(fc.integer({ min: 1, max: 65535 }), { maxLength: 5 }),
    });
    fc.assert(
      fc.property(values, ({ port, durationMs, bytes, debug, ids }) => {
        const original = {
          ...load({}, {}).values,
          'redis.port': port,
          retentionMs: durationMs,
          'redis.maxBulkBytes': bytes,
          'redis.enableDebugCommand': debug,
          members: ids.sort((left, right) => left - right).map((nodeId) => ({ nodeId, address: `h${nodeId}:1` })),
        };
        const flags = flagsIn(formatFlags(nodeSettings, original));
        assert.deepEqual(loadConfig(nodeSettings, { flags, environment: {} }).values, original);
      }),
    );
  });

  test('every key has one flag and one variable', () => {
    assert.equal(flagName('redis.maxBulkBytes'), 'redis-max-bulk-bytes');
    assert.equal(environmentName('redis.maxBulkBytes'), 'KVORUM_REDIS_MAX_BULK_BYTES');
    for (const settings of [nodeSettings, clusterSettings]) {
      const keys = Object.keys(settings);
      assert.equal(new Set(keys.map(flagName)).size, keys.length);
    }
  });

  test('every default passes its own validation', () => {
    for (const [key, setting] of Object.entries({ ...nodeSettings, ...clusterSettings })) {
      if (key === 'members') continue;
      assert.deepEqual(setting.parse(setting.format(setting.defaultValue as never)), setting.defaultValue, key);
    }
    assert.ok(toNodeOptions(load({}, {}).values));
  });
});

describe('the port for DynamoDB clients', () => {
  const portOf = (flags: Record<string, unknown>): number | undefined =>
    toNodeOptions(load(flags, {}).values).dynamodb?.port;
  const keys = { 'dynamodb.credentialsFile': '/etc/keys' };

  test('is open by itself where they can do anything, and only there', () => {
    assert.equal(portOf({}), undefined, 'a configuration from before there was such a port opens none');
    assert.equal(portOf(keys), 8000);
    assert.equal(portOf({ 'dynamodb.accessKeyId': 'a', 'dynamodb.secretAccessKey': 'b' }), 8000);
    assert.equal(portOf({ 'dynamodb.unsigned': true }), 8000);
  });

  test('is what is said of it', () => {
    assert.equal(portOf({ ...keys, 'dynamodb.port': 'none' }), undefined);
    assert.equal(portOf({ ...keys, 'dynamodb.port': '0' }), 0);
    assert.equal(portOf({ 'dynamodb.port': 9000 }), 9000);
    assert.throws(() => portOf({ 'dynamodb.port': 'some' }), ConfigError);
  });

  test('is none in a local cluster without one, with keys or without', () => {
    for (const more of [{}, keys]) {
      const flags = { 'dynamodb.port': 'none', ...more };
      const { values } = loadConfig(clusterSettings, { flags, environment: {} });
      for (const node of toClusterNodes(values)) {
        const said = formatFlags(nodeSettings, node);
        assert.equal(portOf(flagsIn(said)), undefined);
        // Older programs, which do not know the flag, are started without it.
        assert.equal(said.includes('--dynamodb-port=none'), more === keys);
      }
    }
  });
});

describe('a local cluster', () => {
  const cluster = (flags: Record<string, unknown>) => loadConfig(clusterSettings, { flags, environment: {} }).values;

  test('its nodes count ports and folders up and know each other', () => {
    const nodes = toClusterNodes(cluster({ 'redis.port': '7000', dataFolder: '/d' }));
    assert.deepEqual(
      nodes.map((node) => node['redis.port']),
      [7000, 7001, 7002],
    );
    assert.deepEqual(
      nodes.map((node) => node['redis.clusterPort']),
      [7379, 7380, 7381],
    );
    const without = toClusterNodes(cluster({ 'redis.clusterPort': 'none' }));
    assert.deepEqual(
      without.map((node) => toNodeOptions(node).redis.clusterPort),
      [undefined, undefined, undefined],
    );
    // Older programs, which do not know the flag, are started without it.
    assert.ok(formatFlags(nodeSettings, without[0]!).every((flag) => !flag.startsWith('--redis-cluster-port')));
    assert.deepEqual(
      nodes.map((node) => node.dataFolder),
      ['/d/n1', '/d/n2', '/d/n3'],
    );
    for (const node of nodes) assert.equal(toNodeOptions(node).members.length, 3);
    assert.equal(nodes[2]!.members[2]!.address, '127.0.0.1:50053');
  });

  test('port ranges that overlap or run out are refused by the key to change', () => {
    const keys = (flags: Record<string, unknown>) =>
      problemsOf(() => toClusterNodes(cluster(flags))).map((problem) => problem.key);
    assert.deepEqual(keys({ 'redis.port': '50049' }), ['grpc.port']);
    assert.deepEqual(keys({ 'metrics.port': '6381' }), ['metrics.port']);
    assert.deepEqual(keys({ 'redis.clusterPort': '6381' }), ['redis.clusterPort']);
    assert.ok(toClusterNodes(cluster({ 'redis.clusterPort': 'none', 'metrics.port': '7379' })));
    assert.deepEqual(keys({ 'redis.port': '65534' }), ['redis.port']);
    assert.deepEqual(keys({ 'grpc.port': '0' }), ['grpc.port']);
  });
});

test('the reference page in docs is the one that the declarations give', () => {
  const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
  assert.equal(page, configurationPage(), 'run `npm run docs`');
});
