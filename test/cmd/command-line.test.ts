import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readableLogLine } from '../../cmd/cli/log-lines.ts';
import { formatMs, formatTable } from '../../cmd/cli/table.ts';

const program = fileURLToPath(new URL('../../cmd/kvorum.ts', import.meta.url));

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the program to its end with nothing on its standard input. */
function kvorum(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [program, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH, ...env },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => (stdout += chunk));
    child.stderr.on('data', (chunk) => (stderr += chunk));
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

describe('the command line', () => {
  const listener = createServer();
  let takenPort = 0;
  before(async () => {
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    takenPort = (listener.address() as AddressInfo).port;
  });
  after(() => listener.close());

  test('every command explains itself with its flags and examples', async () => {
    for (const command of ['server', 'cluster', 'bench']) {
      const { code, stdout } = await kvorum([command, '--help']);
      assert.equal(code, 0);
      assert.match(stdout, /^Usage: kvorum /);
      assert.match(stdout, /^Examples:$/m);
      assert.match(stdout, /\(default: /);
    }
  });

  test('a mistake ends the program with code 2, its key and its origin', async () => {
    const { code, stderr } = await kvorum(['server', '--redis-port', 'http'], { KVORUM_NODE_ID: '0' });
    assert.equal(code, 2);
    assert.match(stderr, /redis\.port \(from --redis-port\): must be a whole number from 0 to 65535, not "http"/);
    assert.match(stderr, /nodeId \(from KVORUM_NODE_ID\): /);
    assert.doesNotMatch(stderr, /\bat .*:\d+:\d+/, 'no stack for a mistake of the user');
  });

  test('an unknown flag is answered with the one that was probably meant', async () => {
    const { code, stderr } = await kvorum(['server', '--redis-prot', '1']);
    assert.equal(code, 2, 'whoever starts it again and again knows that this is of no use');
    assert.match(stderr, /Did you mean --redis-port\?/);
  });

  test('a taken port is named together with the flag that changes it', async () => {
    const single = await kvorum(['server', '--redis-port', String(takenPort)]);
    assert.equal(single.code, 1);
    assert.match(
      single.stderr,
      new RegExp(`port ${takenPort} on 127\\.0\\.0\\.1 is taken; choose another one with --redis-port`),
    );
    const optional = await kvorum(['server', '--redis-port', '0', '--dynamodb-port', String(takenPort)]);
    assert.match(optional.stderr, /choose another one with --dynamodb-port, or do without: --dynamodb-port=none/);
    const cluster = await kvorum(['cluster', '--metrics-port', String(takenPort - 1)]);
    assert.equal(cluster.code, 1);
    assert.match(cluster.stderr, new RegExp(`port ${takenPort} on 127\\.0\\.0\\.1 is taken; .*--metrics-port`));
  });

  test('config shows the settings in force and where each comes from', async () => {
    const { stdout } = await kvorum(['config', '--redis-port', '7000', '--no-redis-enable-debug-command'], {
      KVORUM_RETENTION_MS: '1h',
    });
    assert.match(stdout, /^redis\.port +7000 +--redis-port$/m);
    assert.match(stdout, /^retentionMs +1h +KVORUM_RETENTION_MS$/m);
    assert.match(stdout, /^grpc\.port +50051 +default$/m);
    const json = JSON.parse((await kvorum(['config', '--json'])).stdout) as { raft: { heartbeatMs: number } };
    assert.equal(json.raft.heartbeatMs, 100);
  });

  test('bench says where it could not connect', async () => {
    const { code, stderr } = await kvorum(['bench', '--address', '127.0.0.1:1', '-n', '10']);
    assert.equal(code, 1);
    assert.match(stderr, /kvorum: set on 127\.0\.0\.1:1: .*ECONNREFUSED/);
  });

  test('version names the versions of the program and of Node.js', async () => {
    assert.match((await kvorum(['version'])).stdout, /^kvorum \d+\.\d+\.\d+, node 24\./);
  });
});

describe('what is printed', () => {
  test('tables are aligned and carry no trailing blanks', () => {
    const rows = [
      ['name', 'n'],
      ['a', '1000'],
      ['longer', '7'],
    ];
    assert.equal(formatTable(rows, ['left', 'right']), 'name       n\na       1000\nlonger     7');
    assert.equal(formatTable(rows), 'name    n\na       1000\nlonger  7');
  });

  test('times keep three figures', () => {
    assert.equal(formatMs(0.21367), '0.214 ms');
    assert.equal(formatMs(1234.5), '1235 ms');
  });

  test('structured log lines become readable, others stay as they are', () => {
    const line = JSON.stringify({
      level: 40,
      time: 45_296_789,
      pid: 1,
      hostname: 'h',
      msg: 'slow disk',
      ms: 9,
      path: '/d/n1',
      err: { type: 'E', message: 'no space', code: 'ENOSPC', stack: '...' },
    });
    assert.equal(readableLogLine(line), '12:34:56.789 warn  slow disk ms=9 path=/d/n1 err="ENOSPC: no space"');
    for (const other of ['', 'plain', '{broken', '{"msg":"no level"}', '[1]'])
      assert.equal(readableLogLine(other), other);
  });
});
